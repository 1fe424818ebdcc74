//! `greyhound`: asks the agent of this host, and prints what it says.
//!
//! Start at [`arguments`]: what can be asked. Exit codes: 0 done, 1 refused or failed, 2 the
//! command line is not good.

mod arguments;
mod counters;
mod documents;
mod print;
mod table;

use agent::Client;
use agent::api::{Reply, Request};
use agent::board::Pending;
use agent::desired::Change;
use anyhow::bail;
use arguments::{Arguments, Command, What};
use clap::Parser;
use documents::Documents;
use program::Id;
use program::report::{Report, Subject};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often `--watch` looks.
const WATCH: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let json = arguments.json;
    match &arguments.command {
        Command::Apply { files, no_wait } => {
            let documents = Documents::read(files)?;
            let request = Request::Apply {
                document: documents.text().to_owned(),
                wait: !no_wait,
            };
            taken(ask(arguments, &request)?, Some(&documents), json, !no_wait)
        }
        Command::Withdraw {
            kind,
            names,
            no_wait,
        } => {
            let id = |name: &program::Name| Id {
                kind: (*kind).into(),
                name: name.clone(),
            };
            let request = Request::Withdraw {
                ids: names.iter().map(id).collect(),
                wait: !no_wait,
            };
            taken(ask(arguments, &request)?, None, json, !no_wait)
        }
        Command::Plan { files } => {
            let documents = Documents::read(files)?;
            let document = documents.text().to_owned();
            let text = match ask(arguments, &Request::Plan { document })? {
                Reply::Planned { changes } if json => line(&changes)?,
                Reply::Planned { changes } => print::changes(&changes),
                reply => return unwanted(reply, Some(&documents)),
            };
            put(&text);
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { what, watch: true } => watch(arguments, *what),
        Command::Show { what, .. } => {
            put(&shown(&report(&mut connect(arguments)?, *what)?, json)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Status => status(arguments, json),
    }
}

/// Shows how far things are; success only if all that is wanted is in force and works.
fn status(arguments: &Arguments, json: bool) -> anyhow::Result<ExitCode> {
    let status = match ask(arguments, &Request::Status)? {
        Reply::Status(status) => status,
        reply => return unwanted(reply, None),
    };
    // A port's program is in force while its interface is not there yet.
    let waiting = if status.connected {
        waiting(&report(&mut connect(arguments)?, What::Ports)?)
    } else {
        Vec::new()
    };
    put(&if json {
        let mut value = serde_json::to_value(&status)?;
        value["waiting"] = serde_json::to_value(&waiting)?;
        line(&value)?
    } else {
        print::status(&status, &waiting)
    });
    let well = status.connected
        && status.pending.is_empty()
        && status.unreachable.is_empty()
        && waiting.is_empty();
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The ports that are not attached, each with its reason.
fn waiting(report: &Report) -> Vec<print::Waiting> {
    let Report::Ports(ports) = report else {
        return Vec::new();
    };
    let waiting = ports.iter().filter(|port| port.state != "up");
    waiting
        .map(|port| print::Waiting {
            port: port.name.clone(),
            why: port.state.clone(),
        })
        .collect()
}

fn connect(arguments: &Arguments) -> anyhow::Result<Client> {
    Ok(Client::connect(&arguments.socket)?)
}

fn ask(arguments: &Arguments, request: &Request) -> anyhow::Result<Reply> {
    Ok(connect(arguments)?.ask(request)?)
}

/// Prints what became of an `apply` or a `withdraw`.
fn taken(
    reply: Reply,
    documents: Option<&Documents>,
    json: bool,
    waited: bool,
) -> anyhow::Result<ExitCode> {
    let (changes, pending) = match reply {
        Reply::Taken { changes, pending } => (changes, pending),
        reply => return unwanted(reply, documents),
    };
    if json {
        let both = serde_json::json!({ "changes": changes, "pending": pending });
        put(&line(&both)?);
    } else {
        put(&print::changes(&changes));
        eprint!("{}", unfinished(&changes, &pending, waited));
    }
    Ok(if pending.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn unfinished(changes: &[Change], pending: &[Pending], waited: bool) -> String {
    if pending.is_empty() {
        return if waited || changes.is_empty() {
            String::new()
        } else {
            "kept; `greyhound status` says when it is in force\n".to_owned()
        };
    }
    let mut text = String::from("kept, but not yet in force on every worker:\n");
    for pending in pending {
        let _ = writeln!(text, "  {}: {}", pending.id, pending.why); // a string takes all
    }
    text
}

/// Says why the agent did not do it.
fn unwanted(reply: Reply, documents: Option<&Documents>) -> anyhow::Result<ExitCode> {
    match reply {
        Reply::Refused { field, id, why } => {
            let mut place = documents.map_or(field.clone(), |documents| documents.place(&field));
            if let Some(id) = id.map(|id| id.to_string())
                && !why.starts_with(&id)
            {
                let colon = if place.is_empty() { "" } else { ": " };
                place = format!("{place}{colon}{id}");
            }
            let colon = if place.is_empty() { "" } else { ": " };
            bail!("{place}{colon}{why}\nnothing was changed")
        }
        Reply::Failed { why } => bail!("{why}"),
        _ => {
            bail!("the agent's answer is not the one to this question; are the versions the same?")
        }
    }
}

fn report(client: &mut Client, what: What) -> anyhow::Result<Report> {
    let subject = Subject::from(what);
    match client.ask(&Request::Show(subject))? {
        Reply::Shown(report) => Ok(report),
        reply => {
            unwanted(reply, None)?;
            bail!("nothing to show")
        }
    }
}

fn shown(report: &Report, json: bool) -> anyhow::Result<String> {
    Ok(match report {
        Report::Ports(all) if json => line(all)?,
        Report::Networks(all) if json => line(all)?,
        Report::Tunnels(all) if json => line(all)?,
        Report::Stations(all) if json => line(all)?,
        Report::Counters(counters) if json => line(counters)?,
        Report::Workers(all) if json => line(all)?,
        Report::Neighbours(all) if json => line(all)?,
        Report::Events(all) if json => line(all)?,
        report => print::report(report),
    })
}

/// Shows the same again every second, with rates where there are some, until it is interrupted.
fn watch(arguments: &Arguments, what: What) -> anyhow::Result<ExitCode> {
    let mut client = connect(arguments)?;
    let clear = if std::io::stdout().is_terminal() {
        "\x1b[H\x1b[2J"
    } else {
        ""
    };
    let mut before: Option<(Instant, Report)> = None;
    loop {
        let (at, now) = (Instant::now(), report(&mut client, what)?);
        let text = match (&before, &now) {
            (Some((then, Report::Counters(old))), Report::Counters(new)) if !arguments.json => {
                counters::with_rates(old, new, at.duration_since(*then))
            }
            _ => shown(&now, arguments.json)?,
        };
        if !put(&format!("{clear}{text}")) {
            return Ok(ExitCode::SUCCESS);
        }
        before = Some((at, now));
        std::thread::sleep(WATCH);
    }
}

fn line(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}

/// Prints `text`; false if nobody reads it any more, as behind `| head`.
fn put(text: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_ok()
}
