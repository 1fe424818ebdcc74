//! One tenant network.

use crate::{Mac, Name, Vnet};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One tenant network, everywhere on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkProgram {
    /// What people call it.
    pub name: Name,
    /// The GRE key: any 32-bit number, 0 included.
    pub vnet: Vnet,
    /// How long a station is remembered after it was last heard, in seconds.
    /// 1 to 1,000,000; 300 if not said.
    #[serde(default = "default_aging")]
    pub aging_s: u32,
    /// The largest IP packet of this network, in bytes: 68 to 9,216, of which a datapath without
    /// jumbo buffers carries 1,736. If not said, what the underlay leaves room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// How many of its stations this host remembers: 1 to 1,000,000; 16,384 if not said. Others
    /// are flooded to.
    #[serde(default = "default_stations")]
    pub stations: u32,
    /// Whether ARP and neighbour solicitations are answered here where the answer is known.
    /// Yes if not said.
    #[serde(default = "yes")]
    pub suppress: bool,
    /// What is flooded. All of it if not said.
    #[serde(default)]
    pub flood: Flooded,
    /// Who has which address, where control knows. At most 4,096.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<Neighbour>,
}

impl NetworkProgram {
    /// The most stations that a program may name the addresses of.
    pub const MAX_NEIGHBOURS: usize = 4096;

    /// A program that says nothing but what it must.
    pub fn new(name: Name, vnet: Vnet) -> Self {
        Self {
            name,
            vnet,
            aging_s: default_aging(),
            mtu: None,
            stations: default_stations(),
            suppress: true,
            flood: Flooded::default(),
            neighbours: Vec::new(),
        }
    }
}

fn default_aging() -> u32 {
    300
}

fn default_stations() -> u32 {
    16_384
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_no(value: &bool) -> bool {
    !*value
}

/// Which frames go to all of a network. Written `{"multicast": false}`; what is not said is true.
///
/// With `unknown` false, a station is reached only once it was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Flooded {
    /// Frames to ff:ff:ff:ff:ff:ff.
    pub broadcast: bool,
    /// Frames to any other group.
    pub multicast: bool,
    /// Frames to a station that was not heard.
    pub unknown: bool,
}

impl Default for Flooded {
    fn default() -> Self {
        Self {
            broadcast: true,
            multicast: true,
            unknown: true,
        }
    }
}

/// Who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// The address.
    pub address: IpAddr,
    /// Whose it is.
    pub mac: Mac,
    /// Whether it is a router: who asks for an IPv6 router must be told so again with each answer.
    #[serde(default, skip_serializing_if = "is_no")]
    pub router: bool,
}
