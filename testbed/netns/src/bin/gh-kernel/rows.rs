//! The axes: what a row is, and what is tried in each.

use serde_json::{Value, json};
use std::fmt;
use std::net::IpAddr;

/// Who is at the machine's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The kernel's own device: `gretap`, or `ip6gretap`.
    Gretap,
    /// Open vSwitch in the kernel: a port of type `gre`, or `ip6gre`. It writes no sequence
    /// numbers, and of checksums it only writes them: the kernel's device below it refuses every
    /// packet that has one.
    OpenVswitch,
}

/// One kind of GRE between Greyhound and the machine.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) v6: bool,
    pub(crate) key: Option<u32>,
    pub(crate) checksum: bool,
    pub(crate) sequence: bool,
}

/// The keys of a row; each is a network of its own with a guest of its own.
pub(crate) const KEYS: [Option<u32>; 5] = [None, Some(0), Some(1), Some(1 << 31), Some(u32::MAX)];

/// Hop counts by which a link of the machine knows the packets it is to mark: those that come to
/// it, and those that leave it.
pub(crate) const MARKED_THERE: u8 = 99;
/// See [`MARKED_THERE`].
pub(crate) const MARKED_HERE: u8 = 98;

/// All else that the ends are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) ours: Ours,
    pub(crate) theirs: Theirs,
}

/// What our program says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ours {
    pub(crate) ttl: u8,
    /// None is `uniform`.
    pub(crate) dscp: Option<u8>,
    pub(crate) df: &'static str,
    /// What is asked of a row with sequence numbers.
    pub(crate) sequence: &'static str,
}

/// What the machine's end is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theirs {
    pub(crate) ttl: u8,
    /// None inherits the inner packet's.
    pub(crate) tos: Option<u8>,
    pub(crate) df: Df,
}

/// How the kernel's `gretap` fills DF in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Df {
    /// `pmtudisc`.
    Set,
    /// `nopmtudisc ignore-df`.
    Clear,
    /// `nopmtudisc`: as the inner packet has it.
    Copy,
}

const PLAIN: Variant = Variant {
    name: "set",
    ours: Ours {
        ttl: 255,
        dscp: Some(46),
        df: "set",
        sequence: "ordered",
    },
    theirs: Theirs {
        ttl: 255,
        tos: None,
        df: Df::Set,
    },
};

/// Each changes all it can, so that five are enough.
#[rustfmt::skip]
pub(crate) const VARIANTS: [Variant; 5] = [
    PLAIN,
    Variant {
        name: "clear",
        ours: Ours { ttl: 1, dscp: None, df: "clear", ..PLAIN.ours },
        theirs: Theirs { ttl: 1, tos: Some(20 << 2), df: Df::Clear },
    },
    Variant {
        name: "copy",
        ours: Ours { ttl: 64, dscp: Some(0), df: "copy", sequence: "sent" },
        theirs: Theirs { ttl: 77, tos: Some(46 << 2), df: Df::Copy },
    },
    Variant {
        name: "marked on the way there",
        ours: Ours { ttl: MARKED_THERE, ..PLAIN.ours },
        theirs: PLAIN.theirs,
    },
    Variant {
        name: "marked on the way here",
        ours: Ours { sequence: "sent", ..PLAIN.ours },
        theirs: Theirs { ttl: MARKED_HERE, ..PLAIN.theirs },
    },
];

impl Variant {
    pub(crate) fn marked_there(&self) -> bool {
        self.ours.ttl == MARKED_THERE
    }

    pub(crate) fn marked_here(&self) -> bool {
        self.theirs.ttl == MARKED_HERE
    }
}

impl Row {
    /// Every row, in the order in which they cost least.
    pub(crate) fn all() -> Vec<Self> {
        let mut rows = Vec::new();
        for peer in [Peer::Gretap, Peer::OpenVswitch] {
            for v6 in [false, true] {
                for key in KEYS {
                    for (checksum, sequence) in
                        [(false, false), (true, false), (false, true), (true, true)]
                    {
                        if peer == Peer::Gretap || !sequence {
                            rows.push(Self {
                                peer,
                                v6,
                                key,
                                checksum,
                                sequence,
                            });
                        }
                    }
                }
            }
        }
        rows
    }

    /// Which of [`KEYS`] is its key.
    pub(crate) fn network(&self) -> usize {
        KEYS.iter().position(|key| *key == self.key).unwrap_or(0)
    }

    /// Whether our packets have a checksum; the machine's have one where the row has.
    pub(crate) fn summed_there(&self) -> bool {
        self.checksum && self.peer == Peer::Gretap
    }

    /// Our end, and the machine's.
    pub(crate) fn ends(&self) -> [IpAddr; 2] {
        if self.v6 {
            [1, 2].map(|last| [0xfd00, 0, 0, 0, 0, 0, 0, last].into())
        } else {
            [1, 2].map(|last| [192, 168, 77, last].into())
        }
    }

    /// The tunnel program of this row with `ours`.
    pub(crate) fn program(&self, ours: &Ours) -> Value {
        let network = self.network();
        json!({
            "version": 1,
            "kind": "tunnel",
            "name": format!("t{network}"),
            "vnet": vnet(network),
            "remote": self.ends()[1],
            "keyed": self.key.is_some(),
            "checksum": self.summed_there(),
            "sequence": if self.sequence { ours.sequence } else { "none" },
            "ttl": ours.ttl,
            "dscp": ours.dscp.map_or(json!("uniform"), |dscp| json!(dscp)),
            "df": ours.df,
        })
    }

    /// The words that make the kernel's device, behind its name.
    pub(crate) fn device(&self, theirs: Theirs) -> String {
        let [remote, local] = self.ends();
        let kind = if self.v6 { "ip6gretap" } else { "gretap" };
        let key = self.key.map_or(String::new(), |key| format!("key {key}"));
        let checksum = if self.checksum { "csum" } else { "" };
        let sequence = if self.sequence { "seq" } else { "" };
        let tos = theirs
            .tos
            .map_or("inherit".to_owned(), |tos| format!("{tos:#x}"));
        let rest = match (self.v6, theirs.df) {
            (true, _) => "encaplimit none",
            (false, Df::Set) => "pmtudisc",
            (false, Df::Clear) => "nopmtudisc ignore-df",
            (false, Df::Copy) => "nopmtudisc",
        };
        let ttl = theirs.ttl;
        format!(
            "type {kind} local {local} remote {remote} {key} {checksum} {sequence} \
             ttl {ttl} tos {tos} {rest}"
        )
    }

    /// The columns of Open vSwitch's interface.
    pub(crate) fn interface(&self, theirs: Theirs) -> String {
        let [remote, local] = self.ends();
        let kind = if self.v6 { "ip6gre" } else { "gre" };
        let key = self
            .key
            .map_or(String::new(), |key| format!("options:key={key}"));
        let tos = theirs
            .tos
            .map_or("inherit".to_owned(), |tos| format!("{tos:#x}"));
        let df = theirs.df != Df::Clear;
        let (ttl, checksum) = (theirs.ttl, self.checksum);
        format!(
            "type={kind} options:remote_ip={remote} options:local_ip={local} {key} \
             options:csum={checksum} options:ttl={ttl} options:tos={tos} options:df_default={df}"
        )
    }

    /// Whether the outer IPv4 header of the machine's packets has DF, given the inner one's.
    pub(crate) fn their_df(&self, theirs: Theirs, inner: bool) -> bool {
        match (self.peer, theirs.df) {
            (_, Df::Set) | (Peer::OpenVswitch, Df::Copy) => true,
            (_, Df::Clear) => false,
            (Peer::Gretap, Df::Copy) => inner,
        }
    }
}

/// The number of a network: its key, or any other number.
pub(crate) fn vnet(network: usize) -> u32 {
    KEYS[network].unwrap_or(77)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.peer, self.v6) {
            (Peer::Gretap, false) => "gretap",
            (Peer::Gretap, true) => "ip6gretap",
            (Peer::OpenVswitch, false) => "ovs gre",
            (Peer::OpenVswitch, true) => "ovs ip6gre",
        };
        let key = self.key.map_or("none".to_owned(), |key| key.to_string());
        let word = |said: bool, word| if said { word } else { "" };
        let (checksum, sequence) = (word(self.checksum, "csum"), word(self.sequence, "seq"));
        write!(f, "{name:<10} key {key:<10} {checksum:<4} {sequence:<3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_a_row_once() {
        let rows: Vec<_> = Row::all().iter().map(Row::to_string).collect();
        let distinct: std::collections::BTreeSet<_> = rows.iter().collect();
        assert_eq!((rows.len(), distinct.len()), (40 + 20, 60));
    }
}
