//! Reports, as a person reads them.

use crate::counters;
use crate::table::{grouped, table};
use agent::api::Status;
use agent::desired::{Change, Difference};
use program::Name;
use program::report::{Event, Neighbour, Network, Port, Report, Station, Tunnel, Worker};
use serde::Serialize;
use serde_json::Value;
use std::fmt::{Display, Write as _};

/// What is not there.
const NONE: &str = "-";

pub(crate) fn report(report: &Report) -> String {
    match report {
        Report::Ports(all) => ports(all),
        Report::Networks(all) => networks(all),
        Report::Tunnels(all) => tunnels(all),
        Report::Stations(all) => stations(all),
        Report::Counters(counters) => counters::plain(counters),
        Report::Workers(all) => workers(all),
        Report::Neighbours(all) => neighbours(all),
        Report::Events(all) => events(all),
    }
}

fn or_none(value: Option<impl Display>) -> String {
    value.map_or(NONE.to_owned(), |value| value.to_string())
}

/// A number that is 0 while it is not known.
fn known(number: u32) -> String {
    if number == 0 {
        NONE.to_owned()
    } else {
        number.to_string()
    }
}

/// All of a list in one cell.
fn listed(all: &[impl Display]) -> String {
    if all.is_empty() {
        return NONE.to_owned();
    }
    let all: Vec<_> = all.iter().map(ToString::to_string).collect();
    all.join(", ")
}

fn ports(all: &[Port]) -> String {
    let row = |port: &Port| {
        let queue = |q: &program::report::Queue| format!("{}:w{} {}", q.queue, q.worker, q.mode);
        let queues: Vec<_> = port.queues.iter().map(queue).collect();
        vec![
            port.name.to_string(),
            or_none(port.vnet),
            port.interface.to_string(),
            port.speaks.map_or(NONE.to_owned(), String::from),
            port.state.clone(),
            if port.steer.is_empty() {
                NONE.to_owned()
            } else {
                port.steer.clone()
            },
            if queues.is_empty() {
                NONE.to_owned()
            } else {
                queues.join(", ")
            },
            known(port.mtu),
            port.epoch.to_string(),
        ]
    };
    let head = [
        "NAME",
        "VNET",
        "INTERFACE",
        "MAC",
        "STATE",
        "STEER",
        "QUEUES",
        "MTU",
        "EPOCH",
    ];
    let rows: Vec<_> = all.iter().map(row).collect();
    let mut text = table(&head, &rows, "no ports");
    for port in all {
        for note in &port.notes {
            let _ = writeln!(text, "{}: {note}", port.name); // a string takes all
        }
    }
    text
}

fn networks(all: &[Network]) -> String {
    let row = |network: &Network| {
        vec![
            network.name.to_string(),
            network.vnet.to_string(),
            known(network.mtu),
            network.ports.to_string(),
            network.tunnels.to_string(),
            network.worker.to_string(),
            network.epoch.to_string(),
        ]
    };
    let head = ["NAME", "VNET", "MTU", "PORTS", "TUNNELS", "WORKER", "EPOCH"];
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&head, &rows, "no networks")
}

fn tunnels(all: &[Tunnel]) -> String {
    let row = |tunnel: &Tunnel| {
        vec![
            tunnel.name.to_string(),
            tunnel.vnet.to_string(),
            or_none(tunnel.local),
            tunnel.remote.to_string(),
            tunnel.wraps.clone(),
            or_none(tunnel.interface.as_ref()),
            listed(&tunnel.next_hops),
            known(tunnel.mtu),
            known(tunnel.lowered_to),
            tunnel.epoch.to_string(),
            tunnel.state.clone(),
        ]
    };
    let head = [
        "NAME",
        "VNET",
        "LOCAL",
        "REMOTE",
        "WRAPS",
        "INTERFACE",
        "NEXT HOPS",
        "MTU",
        "LOWERED",
        "EPOCH",
        "STATE",
    ];
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&head, &rows, "no tunnels")
}

fn stations(all: &[Station]) -> String {
    let row = |station: &Station| {
        vec![
            station.vnet.to_string(),
            station.mac.to_string(),
            station.behind.clone(),
            format!("{} s", station.expires_s),
        ]
    };
    let head = ["VNET", "MAC", "BEHIND", "FORGOTTEN IN"];
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&head, &rows, "no stations were heard")
}

fn neighbours(all: &[Neighbour]) -> String {
    let row = |neighbour: &Neighbour| {
        vec![
            neighbour.vnet.to_string(),
            neighbour.address.to_string(),
            neighbour.mac.to_string(),
            neighbour.behind.clone(),
        ]
    };
    let head = ["VNET", "ADDRESS", "MAC", "BEHIND"];
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&head, &rows, "no neighbours were heard or programmed")
}

/// The latest last, so that it stands where the prompt is.
fn events(all: &[Event]) -> String {
    let mut all: Vec<_> = all.iter().collect();
    all.sort_by_key(|event| event.number);
    let row = |event: &&Event| {
        vec![
            event.number.to_string(),
            since_start(event.at_ms),
            event.vnet.to_string(),
            event.kind.clone(),
            event.text.clone(),
        ]
    };
    let head = ["NUMBER", "AFTER START", "VNET", "KIND", "WHAT"];
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&head, &rows, "no events")
}

/// Hours, minutes, seconds and milliseconds, such as `26:03:09.120`.
fn since_start(ms: u64) -> String {
    let (s, ms) = (ms / 1000, ms % 1000);
    format!("{}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

fn workers(all: &[Worker]) -> String {
    let row = |worker: &Worker| {
        let number = |number: usize| grouped(u64::try_from(number).unwrap_or(u64::MAX));
        vec![
            worker.worker.to_string(),
            or_none(worker.core),
            worker.devices.to_string(),
            grouped(worker.turns),
            grouped(worker.busy_turns),
            grouped(worker.sleeps),
            grouped(worker.packets),
            number(worker.frames_made),
            number(worker.frames_free),
            number(worker.frames_lent),
            number(worker.stations),
            grouped(worker.configs),
        ]
    };
    let head = [
        "WORKER", "CORE", "DEVICES", "TURNS", "BUSY", "SLEEPS", "PACKETS", "FRAMES", "FREE",
        "LENT", "STATIONS", "CONFIGS",
    ];
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&head, &rows, "no workers")
}

pub(crate) fn changes(all: &[Change]) -> String {
    let row = |change: &Change| {
        let (what, epoch) = match (change.was, change.now) {
            (None, Some(now)) => ("new", format!("epoch {now}")),
            (Some(was), Some(now)) if was == now => ("unchanged", format!("epoch {now}")),
            (Some(was), Some(now)) => ("changed", format!("epoch {was} to {now}")),
            (_, None) => ("withdrawn", String::new()),
        };
        vec![change.id.to_string(), what.to_owned(), epoch]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let mut text = table(&["PROGRAM", "CHANGE", ""], &rows, "no programs");
    for change in all {
        for difference in &change.fields {
            let _ = writeln!(text, "{}: {}", change.id, changed(difference)); // a string takes all
        }
    }
    text
}

/// `checksum: not said, now true`; of a list what goes and what comes.
fn changed(difference: &Difference) -> String {
    let Difference { field, was, now } = difference;
    if let (Some(Value::Array(gone)), Some(Value::Array(new))) = (was, now) {
        let mut parts = Vec::new();
        for (what, entries) in [("gone", gone), ("new", new)] {
            if !entries.is_empty() {
                parts.push(format!("{what} {}", values(entries)));
            }
        }
        if parts.is_empty() {
            parts.push("in another order".to_owned());
        }
        return format!("{field}: {}", parts.join("; "));
    }
    let one = |value: &Option<Value>| value.as_ref().map_or("not said".to_owned(), value_text);
    format!("{field}: {}, now {}", one(was), one(now))
}

fn values(all: &[Value]) -> String {
    let all: Vec<_> = all.iter().map(value_text).collect();
    all.join(", ")
}

/// A value without the marks that only a machine needs.
fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) => values(all),
        Value::Object(fields) => {
            let fields: Vec<_> = fields.values().map(value_text).collect();
            fields.join(" ")
        }
        value => value.to_string(),
    }
}

/// A port that is not attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Waiting {
    /// Its program's name.
    pub(crate) port: Name,
    /// Why, for a person.
    pub(crate) why: String,
}

pub(crate) fn status(status: &Status, waiting: &[Waiting]) -> String {
    let mut text = String::new();
    let datapath = match status.instance {
        Some(instance) => format!("there, instance {instance:016x}"),
        None => format!(
            "not there ({}); start greyhound-datapath --socket {}",
            status.why,
            status.datapath.display()
        ),
    };
    let _ = writeln!(text, "agent     {}", status.version); // a string takes all
    let _ = writeln!(text, "datapath  {datapath}");
    let _ = writeln!(
        text,
        "programs  {} wanted, {} in force",
        status.wanted, status.applied
    );
    if !status.pending.is_empty() && status.connected {
        text.push_str("not yet in force on every worker:\n");
        for pending in &status.pending {
            let _ = writeln!(text, "  {}: {}", pending.id, pending.why);
        }
    }
    if !waiting.is_empty() {
        text.push_str("in force, and not attached to its interface:\n");
        for port in waiting {
            let _ = writeln!(text, "  {}: {}", port.port, port.why);
        }
    }
    if !status.unreachable.is_empty() {
        text.push_str("no way to:\n");
        for peer in &status.unreachable {
            let _ = writeln!(text, "  {}: {}", peer.remote, peer.why);
        }
    }
    text
}

#[cfg(test)]
mod tests;
