//! Where this host meets its peers.

use crate::{Interface, Name, ProgramError};
use core::fmt;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where this host meets its peers: the addresses that GRE is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnderlayProgram {
    /// What people call it.
    pub name: Name,
    /// Our end of every tunnel. Only GRE to this address is taken from the interface, GRE in UDP
    /// and ICMP errors about our own GRE among it.
    pub endpoint: Endpoint,
    /// The interface that carries it. The kernel keeps the interface, its addresses and its routes.
    pub interface: Interface,
    /// The VLAN that carries it there, 1 to 4,094; untagged if not said. The interface is the one
    /// below the kernel's VLAN interface, which keeps the address and the routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
}

impl UnderlayProgram {
    /// A program that says nothing but what it must.
    pub fn new(name: Name, endpoint: Endpoint, interface: Interface) -> Self {
        Self {
            name,
            endpoint,
            interface,
            vlan: None,
        }
    }
}

/// Our end of every tunnel: an IPv4 address, an IPv6 address, or one of each.
///
/// Written `"192.0.2.1"`, or `["192.0.2.1", "2001:db8::1"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Endpoint {
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl Endpoint {
    /// The IPv4 address, if there is one.
    pub fn v4(&self) -> Option<Ipv4Addr> {
        self.v4
    }

    /// The IPv6 address, if there is one.
    pub fn v6(&self) -> Option<Ipv6Addr> {
        self.v6
    }

    /// The address of the family of `remote`: our end of a tunnel to it.
    pub fn towards(&self, remote: IpAddr) -> Option<IpAddr> {
        match remote {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }

    /// Each of its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.v4.map(IpAddr::V4);
        v4.into_iter().chain(self.v6.map(IpAddr::V6))
    }
}

impl From<Ipv4Addr> for Endpoint {
    fn from(address: Ipv4Addr) -> Self {
        Self {
            v4: Some(address),
            v6: None,
        }
    }
}

impl From<IpAddr> for Endpoint {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Self {
                v4: None,
                v6: Some(address),
            },
        }
    }
}

impl From<(Ipv4Addr, Ipv6Addr)> for Endpoint {
    fn from((v4, v6): (Ipv4Addr, Ipv6Addr)) -> Self {
        Self {
            v4: Some(v4),
            v6: Some(v6),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.addresses().enumerate() {
            let and = if index == 0 { "" } else { " and " };
            write!(f, "{and}{address}")?;
        }
        Ok(())
    }
}

/// As it stands in a document.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "an endpoint is an IP address, or a list of an IPv4 and an IPv6 address"
)]
enum Written {
    One(IpAddr),
    List(Vec<IpAddr>),
}

impl TryFrom<Written> for Endpoint {
    type Error = ProgramError;

    fn try_from(written: Written) -> Result<Self, ProgramError> {
        let list = match written {
            Written::One(address) => return Ok(address.into()),
            Written::List(list) => list,
        };
        match list[..] {
            [one] => Ok(one.into()),
            [IpAddr::V4(v4), IpAddr::V6(v6)] | [IpAddr::V6(v6), IpAddr::V4(v4)] => {
                Ok((v4, v6).into())
            }
            _ => Err(ProgramError::NotAnEndpoint),
        }
    }
}

impl From<Endpoint> for Written {
    fn from(endpoint: Endpoint) -> Self {
        let mut list: Vec<IpAddr> = endpoint.addresses().collect();
        match list.len() {
            1 => Self::One(list.remove(0)),
            _ => Self::List(list),
        }
    }
}
