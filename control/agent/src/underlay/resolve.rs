//! What the kernel's facts mean. Pure: they are gathered in `kernel`.

use super::{Leaves, NoWay};
use program::link::{Hop, MAX_HOPS, NextHop};
use program::{Interface, Mac, UnderlayProgram};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// All that is known of one peer.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The peer.
    pub remote: IpAddr,
    /// Our endpoint, and where GRE leaves; none if none is programmed.
    pub underlay: Option<&'a UnderlayProgram>,
    /// The kernel's route for a packet from our endpoint to the peer.
    pub route: Result<Route, NoRoute>,
    /// Interfaces, by their index; none if one is gone again.
    pub links: &'a BTreeMap<u32, Option<LinkState>>,
    /// Neighbours, by interface and address; none if the kernel does not know one.
    pub neighbours: &'a BTreeMap<(u32, IpAddr), Option<Neighbour>>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Whether it ends on this host.
    pub local: bool,
    /// The MTU of the route, if it has its own, in bytes.
    pub mtu: Option<u32>,
    /// Where it goes on: one place, or several that are as good. Weights are not looked at.
    pub hops: Vec<RouteHop>,
}

/// One of the places where a route goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteHop {
    /// The index of the interface it leaves by.
    pub interface: u32,
    /// The router on it, if there is one. One with an IPv6 address may be on an IPv4 route
    /// (RFC 8950).
    pub gateway: Option<IpAddr>,
    /// Whether more is to be done than to send the packet there: labels, another envelope.
    pub wrapped: bool,
    /// Whether the kernel does not use it at present.
    pub dead: bool,
}

/// Why the kernel has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// There is no endpoint to ask for.
    NotAsked,
    /// No route, or one that says `unreachable`.
    Unreachable,
    /// A route that says `prohibit`.
    Prohibited,
    /// A route that says `blackhole`.
    Blackhole,
    /// Our endpoint is not an address of this host.
    NotOurs,
    /// What the kernel said of it could not be read.
    Unread,
    /// Another refusal, by its number.
    Errno(i32),
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Its name.
    pub name: Interface,
    /// Its address; none if it is not Ethernet.
    pub mac: Option<Mac>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its MTU for IPv6, if that is another: a router may say so (RFC 4861 §4.6.4).
    pub mtu6: Option<u32>,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether somebody is at the other end.
    pub carrier: bool,
    /// Whether it asks for neighbours, by ARP or by neighbour solicitation.
    pub arp: bool,
    /// The VLAN it is, if it is one (802.1Q).
    pub vlan: Option<Vlan>,
}

/// A VLAN of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// Its number, 1 to 4,094.
    pub id: u16,
    /// The interface below; none if that is not on this host, or gone.
    pub below: Option<Interface>,
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// It answered a moment ago.
    Fresh(Mac),
    /// It answered once; the kernel may look again, or forget it.
    Fading(Mac),
    /// Somebody wrote it down.
    Lasting(Mac),
    /// It is being asked for.
    Sought,
    /// It did not answer.
    Failed,
}

impl Facts<'_> {
    /// The neighbours the way hangs on, by interface and address; none if it fails before that.
    pub fn needs_neighbours(&self) -> Vec<(u32, IpAddr)> {
        let Ok((underlay, route)) = self.route() else {
            return Vec::new();
        };
        let good = |hop: &&RouteHop| self.link(underlay, hop).is_ok();
        let hops = route.hops.iter().filter(good);
        hops.map(|hop| (hop.interface, self.next(hop))).collect()
    }

    /// The route, if there is one that leads away from here.
    fn route(&self) -> Result<(&UnderlayProgram, &Route), NoWay> {
        let underlay = self.underlay.ok_or(NoWay::NoUnderlay)?;
        let remote = self.remote;
        let endpoint = underlay.endpoint.towards(remote);
        let endpoint = endpoint.ok_or(NoWay::NoEndpoint(remote))?;
        let route = self.route.as_ref().map_err(|why| match *why {
            NoRoute::NotAsked | NoRoute::Unreachable => NoWay::NoRoute(remote),
            NoRoute::Prohibited => NoWay::Prohibited(remote),
            NoRoute::Blackhole => NoWay::Blackhole(remote),
            NoRoute::NotOurs => NoWay::NotOurs(endpoint),
            NoRoute::Unread => NoWay::Unread(remote),
            NoRoute::Errno(number) => {
                let kind = std::io::Error::from_raw_os_error(number).kind();
                NoWay::Kernel(remote, kind)
            }
        })?;
        if route.local {
            return Err(NoWay::Here(remote));
        }
        Ok((underlay, route))
    }

    /// The link of a hop and its address, if GRE can leave there.
    fn link(&self, underlay: &UnderlayProgram, hop: &RouteHop) -> Result<(&LinkState, Mac), NoWay> {
        let remote = self.remote;
        if hop.wrapped {
            return Err(NoWay::Wrapped(remote));
        }
        let link = self.links.get(&hop.interface).and_then(Option::as_ref);
        let link = link.ok_or(NoWay::Gone(remote))?;
        place(remote, underlay, link)?;
        if !link.up {
            return Err(NoWay::Down(link.name.clone()));
        }
        if !link.carrier {
            return Err(NoWay::NoCarrier(link.name.clone()));
        }
        if hop.dead {
            return Err(NoWay::Dead(remote, link.name.clone()));
        }
        match link.mac {
            Some(mac) if link.arp => Ok((link, mac)),
            _ => Err(NoWay::NoArp(self.next(hop), link.name.clone())),
        }
    }

    /// Whose address is asked for.
    fn next(&self, hop: &RouteHop) -> IpAddr {
        hop.gateway.unwrap_or(self.remote)
    }

    /// One hop, and the MTU there.
    fn hop(&self, underlay: &UnderlayProgram, hop: &RouteHop) -> Result<(Hop, u32), NoWay> {
        let (link, source) = self.link(underlay, hop)?;
        let next = self.next(hop);
        let neighbour = self.neighbours.get(&(hop.interface, next));
        let destination = match neighbour.copied().flatten() {
            Some(Neighbour::Fresh(mac) | Neighbour::Fading(mac) | Neighbour::Lasting(mac)) => mac,
            Some(Neighbour::Sought) | None => return Err(NoWay::Asking(next, link.name.clone())),
            Some(Neighbour::Failed) => return Err(NoWay::Silent(next, link.name.clone())),
        };
        let mtu6 = link.mtu6.filter(|_| self.remote.is_ipv6());
        let interface = underlay.interface.clone();
        let hop = Hop {
            interface,
            source,
            destination,
        };
        Ok((hop, mtu6.map_or(link.mtu, |mtu6| mtu6.min(link.mtu))))
    }
}

/// Whether `link` is where the underlay's program says.
fn place(remote: IpAddr, underlay: &UnderlayProgram, link: &LinkState) -> Result<(), NoWay> {
    let (below, id) = (&underlay.interface, underlay.vlan);
    let vlan = link.vlan.as_ref();
    let there = match id {
        None => link.name == *below,
        Some(id) => vlan.is_some_and(|v| v.id == id && v.below.as_ref() == Some(below)),
    };
    if there {
        return Ok(());
    }
    if id.is_none()
        && let Some(Vlan {
            id,
            below: Some(below),
        }) = vlan
    {
        return Err(NoWay::Tagged {
            remote,
            by: link.name.clone(),
            id: *id,
            below: below.clone(),
        });
    }
    Err(NoWay::Elsewhere {
        remote,
        by: Box::new(Leaves {
            interface: link.name.clone(),
            vlan: link.vlan.clone(),
        }),
        underlay: Box::new(Leaves {
            interface: below.clone(),
            vlan: id.map(|id| Vlan { id, below: None }),
        }),
    })
}

/// The way to a peer, or why there is none. Of several hops those that are of no use are left
/// out, and those above [`MAX_HOPS`].
///
/// # Errors
///
/// The first reason on the way from here to there; of several hops each has its own.
pub fn resolve(facts: &Facts<'_>) -> Result<NextHop, NoWay> {
    let (underlay, route) = facts.route()?;
    let (mut hops, mut reasons) = (Vec::new(), Vec::new());
    let mut mtu = route.mtu.unwrap_or(u32::MAX);
    for hop in &route.hops {
        match facts.hop(underlay, hop) {
            Ok((hop, most)) => {
                mtu = mtu.min(most);
                hops.push(hop);
            }
            Err(why) if reasons.contains(&why) => {}
            Err(why) => reasons.push(why),
        }
    }
    if hops.is_empty() {
        return Err(match reasons.len() {
            0 => NoWay::Gone(facts.remote),
            1 => reasons.remove(0),
            _ => NoWay::Each(reasons),
        });
    }
    // The kernel names them in any order; what is the same way must look the same. Two addresses
    // of one router are one hop.
    hops.sort_by_cached_key(|hop| (hop.destination, hop.source));
    hops.dedup();
    hops.truncate(MAX_HOPS);
    Ok(NextHop {
        remote: facts.remote,
        hops,
        mtu,
    })
}

#[cfg(test)]
mod tests;
