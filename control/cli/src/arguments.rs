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
A first network, on a host whose eth0 has 10.0.0.1, with a peer host 10.0.0.2:

  cat > red.json <<'END'
  [
    {\"version\": 1, \"kind\": \"underlay\", \"name\": \"u\", \"endpoint\": \"10.0.0.1\", \"interface\": \"eth0\"},
    {\"version\": 1, \"kind\": \"network\", \"name\": \"red\", \"vnet\": 5001},
    {\"version\": 1, \"kind\": \"tunnel\", \"name\": \"red-h2\", \"vnet\": 5001, \"remote\": \"10.0.0.2\"},
    {\"version\": 1, \"kind\": \"port\", \"name\": \"a\", \"vnet\": 5001, \"interface\": \"vm-a\", \"mac\": \"02:00:00:00:00:0a\"}
  ]
  END
  greyhound plan -f red.json       what would change
  greyhound apply -f red.json      all of it or nothing; done when every worker has it
  greyhound show tunnels           is there a way to the peer, and if not, why
  greyhound show counters          where every packet went

Exit codes: 0 done; 1 refused or failed; 2 the command line is not good."
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
  received + copied = sent + answered + dropped, and each drop has its reason.

Examples:
  greyhound show ports
  greyhound show counters --watch
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

    /// The programs in the help are what a newcomer copies first.
    #[test]
    fn the_example_in_the_help_is_good() {
        let help = Arguments::command().render_help().to_string();
        let start = help.find("  [\n").unwrap();
        let end = help.find("  ]\n").unwrap() + 4;
        let programs = program::read(&help.as_bytes()[start..end]).unwrap();
        let mut all = program::Programs::default();
        for (_, program) in programs {
            let epoch = program::Epoch(1);
            all.apply(&program::Step::Put { epoch, program }).unwrap();
        }
        assert_eq!(all.len(), 4);
    }
}
