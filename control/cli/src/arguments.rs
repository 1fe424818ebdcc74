//! What can be asked on the command line.

use clap::{Parser, Subcommand, ValueEnum};
use program::report::Subject;
use program::{Kind, Name};
use std::path::PathBuf;

/// Programs and shows the virtual networks of this host.
#[derive(Parser)]
#[command(
    name = "greyhound",
    version,
    arg_required_else_help = true,
    after_help = "\
What a program may say, with an example: greyhound --help

Exit codes: 0 done; 1 refused or failed; 2 the command line is not good.",
    after_long_help = include_str!("programs.txt")
)]
pub(crate) struct Arguments {
    /// The agent's socket
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/run/greyhound/agent.sock"
    )]
    pub(crate) socket: PathBuf,
    /// Print JSON, for machines
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Want the programs of these documents: all of them or, if one is not good, none
    #[command(after_help = "\
A program with the name of one that is there replaces it. What the documents do not name stays.
It is kept on disk, and sent again whenever the agent or the datapath starts.

Examples:
  greyhound apply -f red.json
  greyhound apply -f /etc/greyhound/programs
  generate | greyhound apply -f -")]
    Apply {
        /// A file, a directory (every *.json in it, by name), or - for the standard input
        #[arg(short, long = "file", value_name = "PATH", required = true)]
        files: Vec<PathBuf>,
        /// Return when it is kept, before the datapath has it
        #[arg(long)]
        no_wait: bool,
    },
    /// Want these programs no longer
    #[command(after_help = "\
A network goes only when no tunnel and no port stands on it.

Examples:
  greyhound withdraw port a b
  greyhound withdraw network red")]
    Withdraw {
        /// What they are
        kind: KindName,
        /// Their names
        #[arg(required = true, value_parser = name)]
        names: Vec<Name>,
        /// Return when it is kept, before the datapath knows
        #[arg(long)]
        no_wait: bool,
    },
    /// Say what `apply` would change, and change nothing
    #[command(after_help = "\
Of a program that changes it says in which fields, and of a list what goes and what comes.

Examples:
  greyhound plan -f red.json")]
    Plan {
        /// A file, a directory (every *.json in it, by name), or - for the standard input
        #[arg(short, long = "file", value_name = "PATH", required = true)]
        files: Vec<PathBuf>,
    },
    /// Show the datapath as it is now
    #[command(after_help = "\
For every port and every vnet the counters say where its packets went:
  received + copied = sent + answered + merged + dropped
Each drop has its reason. Merged are the fragments that went into another packet. What is noted,
such as a gap in sequence numbers, has moved no packet.

Examples:
  greyhound show ports
  greyhound show counters --watch
  greyhound show events --watch
  greyhound show stations --json")]
    Show {
        /// What to show
        what: What,
        /// Show it again every second, counters with their rates, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// Say whether everything that is wanted is in force, and if not, why
    #[command(after_help = "\
Exit code 0 if the datapath is there and has everything, 1 if not.")]
    Status,
}

/// What can be shown.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum What {
    /// Guests' and underlay ports: how each is attached, and what was got
    Ports,
    /// Networks
    Networks,
    /// Stations that were heard, and where
    Stations,
    /// Tunnels, and the way to each peer
    Tunnels,
    /// Where every packet went
    Counters,
    /// What the workers do with their time
    Workers,
    /// Who has which IP address, as far as was heard or programmed
    Neighbours,
    /// What happened that an operator may want to know, the latest last
    Events,
}

impl From<What> for Subject {
    fn from(what: What) -> Self {
        match what {
            What::Ports => Self::Ports,
            What::Networks => Self::Networks,
            What::Stations => Self::Stations,
            What::Tunnels => Self::Tunnels,
            What::Counters => Self::Counters,
            What::Workers => Self::Workers,
            What::Neighbours => Self::Neighbours,
            What::Events => Self::Events,
        }
    }
}

/// The kinds of program.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KindName {
    /// Where this host meets its peers
    Underlay,
    /// A tenant network
    Network,
    /// A peer host of a network
    Tunnel,
    /// A guest's attachment
    Port,
}

impl From<KindName> for Kind {
    fn from(kind: KindName) -> Self {
        match kind {
            KindName::Underlay => Self::Underlay,
            KindName::Network => Self::Network,
            KindName::Tunnel => Self::Tunnel,
            KindName::Port => Self::Port,
        }
    }
}

fn name(text: &str) -> Result<Name, program::ProgramError> {
    Name::try_from(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_socket_and_json_may_stand_anywhere() {
        let line = ["greyhound", "show", "ports", "--json", "--socket", "/x"];
        let arguments = Arguments::try_parse_from(line).unwrap();
        assert!(arguments.json);
        assert_eq!(arguments.socket, PathBuf::from("/x"));
    }

    #[test]
    fn a_bad_command_line_is_exit_code_2() {
        for line in [
            &["greyhound", "show", "everything"][..],
            &["greyhound", "apply"],
            &["greyhound", "withdraw", "port"],
            &["greyhound", "withdraw", "port", "no good"],
        ] {
            let Err(error) = Arguments::try_parse_from(line) else {
                panic!("{line:?} is good")
            };
            assert_eq!(error.exit_code(), 2, "{line:?}");
        }
    }

    /// The documents in the help: a first one, and one with everything.
    fn documents() -> [Vec<program::Program>; 2] {
        let help = Arguments::command().render_long_help().to_string();
        let mut rest = &help[..];
        core::array::from_fn(|_| {
            let start = rest.find("  [\n").unwrap();
            let end = rest.find("  ]\n").unwrap() + 4;
            let programs = program::read(&rest.as_bytes()[start..end]).unwrap();
            rest = &rest[end..];
            programs.into_iter().map(|(_, program)| program).collect()
        })
    }

    /// The programs in the help are what a newcomer copies first.
    #[test]
    fn the_examples_in_the_help_are_good() {
        for programs in documents() {
            let mut all = program::Programs::default();
            for program in programs {
                let epoch = program::Epoch(1);
                all.apply(&program::Step::Put { epoch, program }).unwrap();
            }
            assert_eq!(all.len(), 4);
        }
    }

    /// The fields that a program may have: those that one it has not got is told to be one of.
    fn fields(mut program: serde_json::Value) -> Vec<String> {
        program["wrong"] = true.into();
        let why = program::read(program.to_string().as_bytes()).unwrap_err();
        let why = why.to_string();
        let (_, expected) = why.split_once("expected").unwrap();
        let names = expected.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    }

    #[test]
    fn the_help_leaves_out_no_field_of_any_program() {
        let help = Arguments::command().render_long_help().to_string();
        let [_, everything] = documents();
        for program in everything {
            let mut object = serde_json::to_value(&program).unwrap();
            object["version"] = 1.into();
            let all = fields(object.clone());
            assert!(all.len() > 2, "{all:?}");
            for field in all {
                assert!(
                    object.get(&field).is_some(),
                    "{field} is not in the example"
                );
                let line = format!("\n    {field} ");
                assert!(help.contains(&line), "{field} is not explained");
            }
        }
    }
}
