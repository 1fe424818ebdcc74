//! Why a peer cannot be reached, in words.

use super::Vlan;
use program::Interface;
use std::fmt;
use std::net::IpAddr;
use thiserror::Error;

/// Why there is no way to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoWay {
    /// Nobody said where this host meets its peers.
    #[error("no underlay is programmed")]
    NoUnderlay,
    /// The underlay is of another family.
    #[error("the underlay has no {family} endpoint, and {0} needs one", family = family(.0))]
    NoEndpoint(IpAddr),
    /// No route.
    #[error("no route to {0}")]
    NoRoute(IpAddr),
    /// A route that forbids it.
    #[error("the route to {0} prohibits it")]
    Prohibited(IpAddr),
    /// A route that swallows it.
    #[error("the route to {0} is a blackhole")]
    Blackhole(IpAddr),
    /// The endpoint is not ours.
    #[error("the endpoint {0} is no address of this host")]
    NotOurs(IpAddr),
    /// The kernel's own words are not known to us.
    #[error("the kernel has no route to {0}: {1}")]
    Kernel(IpAddr, std::io::ErrorKind),
    /// The kernel's route is not one we can read.
    #[error("what the kernel says of the route to {0} cannot be read")]
    Unread(IpAddr),
    /// The peer is this host.
    #[error("{0} is an address of this host")]
    Here(IpAddr),
    /// A route by the wrong interface, or by the wrong VLAN.
    #[error("the route to {remote} leaves by {by}, which is no underlay port; that is {underlay}")]
    Elsewhere {
        /// The peer.
        remote: IpAddr,
        /// Where the route leaves.
        by: Box<Leaves>,
        /// Where it should.
        underlay: Box<Leaves>,
    },
    /// A route by a VLAN of the underlay's interface, or of another, which no program speaks of.
    #[error(
        "the route to {remote} leaves by {by}, a VLAN interface: \
         say \"vlan\": {id} on interface {below}"
    )]
    Tagged {
        /// The peer.
        remote: IpAddr,
        /// Where the route leaves.
        by: Interface,
        /// The VLAN's number.
        id: u16,
        /// The interface it is a VLAN of.
        below: Interface,
    },
    /// The interface went away while we looked.
    #[error("the interface of the route to {0} is gone")]
    Gone(IpAddr),
    /// The interface is switched off.
    #[error("{0} is down")]
    Down(Interface),
    /// Nobody is at the other end.
    #[error("{0} has no carrier")]
    NoCarrier(Interface),
    /// The kernel does not go there now.
    #[error("the kernel holds the route to {0} by {1} for dead")]
    Dead(IpAddr, Interface),
    /// The interface has no Ethernet addresses, or asks for no neighbours.
    #[error("{1} does not speak Ethernet and {by}", by = asking(.0))]
    NoArp(IpAddr, Interface),
    /// The route puts something around the packet.
    #[error("the route to {0} wraps packets in something else, which is not supported")]
    Wrapped(IpAddr),
    /// The next hop was asked for and has not answered yet.
    #[error("{0} has not answered {by} on {1} yet", by = asking(.0))]
    Asking(IpAddr, Interface),
    /// The next hop was asked for and did not answer.
    #[error("{0} does not answer {by} on {1}", by = asking(.0))]
    Silent(IpAddr, Interface),
    /// Of several next hops none is of use; each has its reason.
    #[error("{}", joined(.0))]
    Each(Vec<NoWay>),
}

/// An interface, and the VLAN by which packets leave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves {
    /// The interface.
    pub interface: Interface,
    /// The VLAN, and the interface it is one of, if that is another.
    pub vlan: Option<Vlan>,
}

impl fmt::Display for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.interface.fmt(f)?;
        if let Some(vlan) = &self.vlan {
            write!(f, " (VLAN {}", vlan.id)?;
            if let Some(below) = &vlan.below {
                write!(f, " on {below}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

fn family(address: &IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// What a neighbour with this address is asked by (RFC 826, RFC 4861 §4.3).
fn asking(address: &IpAddr) -> &'static str {
    if address.is_ipv4() {
        "ARP"
    } else {
        "neighbour solicitations"
    }
}

fn joined(reasons: &[NoWay]) -> String {
    let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    reasons.join("; ")
}
