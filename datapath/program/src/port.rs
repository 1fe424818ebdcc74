//! One guest's attachment.

use crate::{Interface, Name, Prefix, Speaks, Vnet};
use serde::{Deserialize, Serialize};

/// One guest's attachment to its network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortProgram {
    /// What people call it.
    pub name: Name,
    /// The network it belongs to.
    pub vnet: Vnet,
    /// The interface whose frames are the guest's. It need not exist yet.
    pub interface: Interface,
    /// Whose address the guest may speak in: `"02:00:00:00:00:01"`, or `"any"`.
    pub mac: Speaks,
    /// The IP addresses it may speak in, in IP, ARP and neighbour discovery: `["10.1.1.5"]`, or
    /// `["10.1.1.0/24", "2001:db8::/64"]`. At most 64. The IPv6 link-local address that belongs
    /// to its MAC (RFC 4291 appendix A) is always its own. Any address if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<Prefix>>,
    /// What a guest may not do, and this one may. Nothing if not said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allowed>,
    /// How many stations are remembered behind it: 1 to 1,000,000; 256 if not said. Others are
    /// flooded to.
    #[serde(default = "default_stations", skip_serializing_if = "is_default")]
    pub stations: u32,
    /// How much of what it sends is flooded.
    #[serde(default)]
    pub storm: Storm,
    /// How much it may send and be sent. As much as goes if not said.
    #[serde(default)]
    pub rate: Shape,
}

impl PortProgram {
    /// The most entries that `addresses` may have.
    pub const MAX_ADDRESSES: usize = 64;

    /// A program that says nothing but what it must.
    pub fn new(name: Name, vnet: Vnet, interface: Interface, mac: Speaks) -> Self {
        Self {
            name,
            vnet,
            interface,
            mac,
            addresses: None,
            allow: Vec::new(),
            stations: default_stations(),
            storm: Storm::default(),
            rate: Shape::default(),
        }
    }
}

fn default_stations() -> u32 {
    256
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_default(stations: &u32) -> bool {
    *stations == default_stations()
}

/// What guests may not do unless their program says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// Answer DHCP, of IPv4 and of IPv6.
    DhcpServer,
    /// Advertise itself as a router, and redirect (IPv6).
    Router,
}

/// How many frames of a guest are flooded, in packets per second, a tenth of that at once, but 8 at
/// least. 0 lets none through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storm {
    /// To every station. 1,000 if not said.
    pub broadcast: u32,
    /// To any other group. 10,000 if not said.
    pub multicast: u32,
    /// To a station that was not heard. 10,000 if not said.
    pub unknown: u32,
}

impl Default for Storm {
    fn default() -> Self {
        Self {
            broadcast: 1_000,
            multicast: 10_000,
            unknown: 10_000,
        }
    }
}

/// How much a guest may send and be sent, in Mbit/s (10^6 bits of whole frames, without what
/// Ethernet adds on the wire), 50 ms of it at once, but 65,536 bytes at least: 1 to 1,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shape {
    /// What it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_guest_mbit: Option<u32>,
    /// What it is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_guest_mbit: Option<u32>,
}
