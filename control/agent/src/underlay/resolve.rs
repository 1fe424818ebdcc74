//! What the kernel's facts mean. Pure: they are gathered in `kernel`.

use program::link::NextHop;
use program::{Interface, Mac};
use std::net::Ipv4Addr;
use thiserror::Error;

/// All that is known of one peer.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The peer.
    pub remote: Ipv4Addr,
    /// Our endpoint, and the interface GRE leaves by; none if none is programmed.
    pub underlay: Option<&'a (Ipv4Addr, Interface)>,
    /// What the kernel says to a packet from our endpoint to the peer.
    pub route: Result<Route, NoRoute>,
    /// The interface the route leaves by; none if it is gone again.
    pub link: Option<&'a LinkState>,
    /// The neighbour of [`needs_neighbour`](Facts::needs_neighbour); none if the kernel does not
    /// know it.
    pub neighbour: Option<Neighbour>,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Whether it ends on this host.
    pub local: bool,
    /// The router on the way, if there is one.
    pub gateway: Option<Ipv4Addr>,
    /// Whether the router has an address of another family (`via inet6 …`).
    pub foreign: bool,
    /// The index of the interface it leaves by.
    pub interface: u32,
    /// The MTU of the route, if it has its own, in bytes.
    pub mtu: Option<u32>,
}

/// Why the kernel has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// There is no underlay to ask for.
    NotAsked,
    /// No route, or one that says `unreachable`.
    Unreachable,
    /// A route that says `prohibit`.
    Prohibited,
    /// A route that says `blackhole`.
    Blackhole,
    /// Our endpoint is not an address of this host.
    NotOurs,
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
    /// Whether it is switched on.
    pub up: bool,
    /// Whether somebody is at the other end.
    pub carrier: bool,
    /// Whether it asks for neighbours by ARP.
    pub arp: bool,
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

/// Why there is no way to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoWay {
    /// Nobody said where this host meets its peers.
    #[error("no underlay is programmed")]
    NoUnderlay,
    /// No route.
    #[error("no route to {0}")]
    NoRoute(Ipv4Addr),
    /// A route that forbids it.
    #[error("the route to {0} prohibits it")]
    Prohibited(Ipv4Addr),
    /// A route that swallows it.
    #[error("the route to {0} is a blackhole")]
    Blackhole(Ipv4Addr),
    /// The endpoint is not ours.
    #[error("the endpoint {0} is no address of this host")]
    NotOurs(Ipv4Addr),
    /// The kernel's own words are not known to us.
    #[error("the kernel has no route to {0}: {1}")]
    Kernel(Ipv4Addr, std::io::ErrorKind),
    /// The peer is this host.
    #[error("{0} is an address of this host")]
    Here(Ipv4Addr),
    /// A route by the wrong interface.
    #[error("the route to {remote} leaves by {by}, which is no underlay port; that is {underlay}")]
    Elsewhere {
        /// The peer.
        remote: Ipv4Addr,
        /// Where the route leaves.
        by: Interface,
        /// Where it should.
        underlay: Interface,
    },
    /// The interface went away while we looked.
    #[error("the interface of the route to {0} is gone")]
    Gone(Ipv4Addr),
    /// The interface is switched off.
    #[error("{0} is down")]
    Down(Interface),
    /// Nobody is at the other end.
    #[error("{0} has no carrier")]
    NoCarrier(Interface),
    /// The interface has no Ethernet addresses or no ARP.
    #[error("{0} does not speak Ethernet and ARP")]
    NoArp(Interface),
    /// The router has an IPv6 address.
    #[error("the router on the way to {0} has an IPv6 address, which is not supported")]
    Foreign(Ipv4Addr),
    /// The next hop was asked for and has not answered yet.
    #[error("{0} has not answered ARP on {1} yet")]
    Asking(Ipv4Addr, Interface),
    /// The next hop was asked for and did not answer.
    #[error("{0} does not answer ARP on {1}")]
    Silent(Ipv4Addr, Interface),
}

impl Facts<'_> {
    /// The neighbour the way hangs on, by interface and address; none if it fails before that.
    pub fn needs_neighbour(&self) -> Option<(u32, Ipv4Addr)> {
        let (route, _, _) = self.link().ok()?;
        Some((route.interface, route.gateway.unwrap_or(self.remote)))
    }

    /// The route, the link, and its address, if GRE can leave there.
    fn link(&self) -> Result<(Route, &LinkState, Mac), NoWay> {
        let remote = self.remote;
        let Some((endpoint, underlay)) = self.underlay else {
            return Err(NoWay::NoUnderlay);
        };
        let route = self.route.map_err(|why| match why {
            NoRoute::NotAsked => NoWay::NoUnderlay,
            NoRoute::Unreachable => NoWay::NoRoute(remote),
            NoRoute::Prohibited => NoWay::Prohibited(remote),
            NoRoute::Blackhole => NoWay::Blackhole(remote),
            NoRoute::NotOurs => NoWay::NotOurs(*endpoint),
            NoRoute::Errno(number) => {
                let kind = std::io::Error::from_raw_os_error(number).kind();
                NoWay::Kernel(remote, kind)
            }
        })?;
        if route.local {
            return Err(NoWay::Here(remote));
        }
        if route.foreign {
            return Err(NoWay::Foreign(remote));
        }
        let link = self.link.ok_or(NoWay::Gone(remote))?;
        if link.name != *underlay {
            return Err(NoWay::Elsewhere {
                remote,
                by: link.name.clone(),
                underlay: underlay.clone(),
            });
        }
        if !link.up {
            return Err(NoWay::Down(link.name.clone()));
        }
        if !link.carrier {
            return Err(NoWay::NoCarrier(link.name.clone()));
        }
        match link.mac {
            Some(mac) if link.arp => Ok((route, link, mac)),
            _ => Err(NoWay::NoArp(link.name.clone())),
        }
    }
}

/// The way to a peer, or why there is none.
///
/// # Errors
///
/// The first reason on the way from here to there.
pub fn resolve(facts: &Facts<'_>) -> Result<NextHop, NoWay> {
    let (route, link, source) = facts.link()?;
    let next = route.gateway.unwrap_or(facts.remote);
    let destination = match facts.neighbour {
        Some(Neighbour::Fresh(mac) | Neighbour::Fading(mac) | Neighbour::Lasting(mac)) => mac,
        Some(Neighbour::Sought) | None => return Err(NoWay::Asking(next, link.name.clone())),
        Some(Neighbour::Failed) => return Err(NoWay::Silent(next, link.name.clone())),
    };
    Ok(NextHop {
        remote: facts.remote,
        interface: link.name.clone(),
        source,
        destination,
        mtu: route.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
    const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn interface(name: &str) -> Interface {
        Interface::try_from(name.to_owned()).unwrap()
    }

    fn underlay() -> (Ipv4Addr, Interface) {
        (Ipv4Addr::new(10, 0, 0, 1), interface("eth0"))
    }

    fn link() -> LinkState {
        LinkState {
            name: interface("eth0"),
            mac: Some(OURS),
            mtu: 1600,
            up: true,
            carrier: true,
            arp: true,
        }
    }

    const ROUTE: Route = Route {
        local: false,
        gateway: None,
        foreign: false,
        interface: 3,
        mtu: None,
    };

    /// What [`resolve`] says when all is well but for what `change` changes.
    fn with(change: impl FnOnce(&mut Facts<'_>, &mut LinkState)) -> Result<NextHop, String> {
        let (underlay, mut link) = (underlay(), link());
        let mut facts = Facts {
            remote: PEER,
            underlay: Some(&underlay),
            route: Ok(ROUTE),
            link: None,
            neighbour: Some(Neighbour::Fresh(THEIRS)),
        };
        change(&mut facts, &mut link);
        let gone = facts.route
            == Ok(Route {
                interface: 0,
                ..ROUTE
            });
        let facts = Facts {
            link: (!gone).then_some(&link),
            ..facts
        };
        resolve(&facts).map_err(|why| why.to_string())
    }

    #[test]
    fn a_peer_on_the_link_is_its_own_next_hop() {
        let way = with(|_, _| ()).unwrap();
        assert_eq!((way.remote, way.destination), (PEER, THEIRS));
        assert_eq!((way.source, way.mtu), (OURS, 1600));
        assert_eq!(way.interface.as_str(), "eth0");
    }

    #[test]
    fn behind_a_router_the_router_is_asked_for() {
        let (underlay, link) = (underlay(), link());
        let mut facts = Facts {
            remote: PEER,
            underlay: Some(&underlay),
            route: Ok(Route {
                gateway: Some(ROUTER),
                ..ROUTE
            }),
            link: Some(&link),
            neighbour: None,
        };
        assert_eq!(facts.needs_neighbour(), Some((3, ROUTER)));
        let why = resolve(&facts).unwrap_err().to_string();
        assert_eq!(why, "10.0.0.254 has not answered ARP on eth0 yet");
        facts.neighbour = Some(Neighbour::Fading(THEIRS));
        assert_eq!(resolve(&facts).unwrap().destination, THEIRS);
    }

    #[test]
    fn the_smaller_mtu_of_route_and_interface_counts() {
        for (route, link, is) in [(1400, 1600, 1400), (9000, 1600, 1600)] {
            let way = with(|facts, state| {
                facts.route = Ok(Route {
                    mtu: Some(route),
                    ..ROUTE
                });
                state.mtu = link;
            });
            assert_eq!(way.unwrap().mtu, is);
        }
    }

    #[test]
    fn without_a_way_the_reason_is_said() {
        let no_route = |why| with(|facts, _| facts.route = Err(why)).unwrap_err();
        assert_eq!(no_route(NoRoute::Unreachable), "no route to 10.0.0.2");
        assert_eq!(
            no_route(NoRoute::Prohibited),
            "the route to 10.0.0.2 prohibits it"
        );
        assert_eq!(
            no_route(NoRoute::Blackhole),
            "the route to 10.0.0.2 is a blackhole"
        );
        assert_eq!(
            no_route(NoRoute::NotOurs),
            "the endpoint 10.0.0.1 is no address of this host"
        );
        let route = |route| with(|facts, _| facts.route = Ok(route)).unwrap_err();
        assert_eq!(
            route(Route {
                local: true,
                ..ROUTE
            }),
            "10.0.0.2 is an address of this host"
        );
        assert_eq!(
            route(Route {
                interface: 0,
                ..ROUTE
            }),
            "the interface of the route to 10.0.0.2 is gone"
        );
        let why = route(Route {
            foreign: true,
            ..ROUTE
        });
        assert!(why.contains("IPv6"), "{why}");
        let link = |change: fn(&mut LinkState)| with(|_, link| change(link)).unwrap_err();
        assert_eq!(
            link(|link| link.name = interface("eth1")),
            "the route to 10.0.0.2 leaves by eth1, which is no underlay port; that is eth0"
        );
        assert_eq!(link(|link| link.up = false), "eth0 is down");
        assert_eq!(link(|link| link.carrier = false), "eth0 has no carrier");
        let dumb = "eth0 does not speak Ethernet and ARP";
        assert_eq!(link(|link| link.arp = false), dumb);
        assert_eq!(link(|link| link.mac = None), dumb);
        assert_eq!(
            with(|facts, _| facts.neighbour = Some(Neighbour::Failed)).unwrap_err(),
            "10.0.0.2 does not answer ARP on eth0"
        );
        assert_eq!(
            with(|facts, _| facts.underlay = None).unwrap_err(),
            "no underlay is programmed"
        );
    }

    #[test]
    fn no_neighbour_is_sought_where_gre_could_not_leave() {
        let (underlay, mut link) = (underlay(), link());
        link.name = interface("eth1");
        let facts = Facts {
            remote: PEER,
            underlay: Some(&underlay),
            route: Ok(ROUTE),
            link: Some(&link),
            neighbour: None,
        };
        assert_eq!(facts.needs_neighbour(), None);
    }
}
