//! Reading what the kernel answers.

use crate::underlay::{LinkState, Neighbour, Route, RouteHop, Vlan};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo,
    LinkLayerType, LinkMessage, VlanProtocol,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteType, RouteVia,
};
use program::{Interface, Mac};
use std::net::IpAddr;

pub(super) fn route(message: &RouteMessage) -> Route {
    let mut route = Route {
        local: message.header.kind != RouteType::Unicast,
        mtu: None,
        hops: Vec::new(),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
                    _ => None,
                });
            }
            RouteAttribute::MultiPath(hops) => route.hops = hops.iter().map(one_of_many).collect(),
            _ => {}
        }
    }
    if route.hops.is_empty() {
        let flags = message.header.flags;
        let dead = flags.contains(RouteFlags::Dead);
        route.hops.push(hop(0, dead, &message.attributes));
    }
    route
}

/// The number of the next hops, if a route names them by that and says no more of them.
pub(super) fn by_number(message: &RouteMessage) -> Option<u32> {
    let mut number = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::NhId(id) => number = Some(*id),
            RouteAttribute::MultiPath(_) | RouteAttribute::Oif(_) => return None,
            _ => {}
        }
    }
    number
}

fn one_of_many(of: &RouteNextHop) -> RouteHop {
    let dead = of.flags.contains(RouteNextHopFlags::Dead);
    hop(of.interface_index, dead, &of.attributes)
}

fn hop(interface: u32, dead: bool, attributes: &[RouteAttribute]) -> RouteHop {
    let mut hop = RouteHop {
        interface,
        gateway: None,
        wrapped: false,
        dead,
    };
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(index) => hop.interface = *index,
            RouteAttribute::Gateway(RouteAddress::Inet(router))
            | RouteAttribute::Via(RouteVia::Inet(router)) => hop.gateway = Some((*router).into()),
            RouteAttribute::Gateway(RouteAddress::Inet6(router))
            | RouteAttribute::Via(RouteVia::Inet6(router)) => hop.gateway = Some((*router).into()),
            RouteAttribute::Gateway(_)
            | RouteAttribute::Via(_)
            | RouteAttribute::EncapType(_)
            | RouteAttribute::NewDestination(_) => hop.wrapped = true,
            _ => {}
        }
    }
    hop
}

/// The link, its VLAN without the name of the interface below.
pub(super) fn link(message: &LinkMessage) -> Option<LinkState> {
    let flags = message.header.flags;
    let mut link = LinkState {
        name: name(message)?,
        mac: None,
        mtu: 0,
        mtu6: None,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        arp: !flags.contains(LinkFlags::Noarp),
        vlan: None,
    };
    let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(bytes) if ethernet => {
                link.mac = <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac);
            }
            LinkAttribute::Mtu(bytes) => link.mtu = *bytes,
            LinkAttribute::AfSpecUnspec(families) => {
                link.mtu6 = families.iter().find_map(mtu6);
            }
            LinkAttribute::LinkInfo(info) => link.vlan = vlan(info),
            _ => {}
        }
    }
    Some(link)
}

pub(super) fn name(message: &LinkMessage) -> Option<Interface> {
    let mut attributes = message.attributes.iter();
    attributes.find_map(|attribute| match attribute {
        LinkAttribute::IfName(text) => Interface::try_from(text.clone()).ok(),
        _ => None,
    })
}

/// The index of the interface below, if that is in our network namespace.
pub(super) fn below(message: &LinkMessage) -> Option<u32> {
    let mut below = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(index) => below = Some(*index),
            LinkAttribute::LinkNetNsId(_) => return None,
            _ => {}
        }
    }
    below
}

fn mtu6(family: &AfSpecUnspec) -> Option<u32> {
    let AfSpecUnspec::Inet6(facts) = family else {
        return None;
    };
    facts.iter().find_map(|fact| match fact {
        AfSpecInet6::DevConf(conf) => u32::try_from(conf.mtu6).ok().filter(|mtu| *mtu > 0),
        _ => None,
    })
}

/// The VLAN, if it is one of 802.1Q: the outer tag of 802.1ad is another one.
fn vlan(info: &[LinkInfo]) -> Option<Vlan> {
    if !info.contains(&LinkInfo::Kind(InfoKind::Vlan)) {
        return None;
    }
    let mut id = None;
    for info in info {
        let LinkInfo::Data(InfoData::Vlan(facts)) = info else {
            continue;
        };
        for fact in facts {
            match fact {
                InfoVlan::Id(number) => id = Some(*number),
                InfoVlan::Protocol(VlanProtocol::Ieee8021Ad) => return None,
                _ => {}
            }
        }
    }
    id.map(|id| Vlan { id, below: None })
}

pub(super) fn neighbour_address(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(address) => Some((*address).into()),
        NeighbourAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

pub(super) fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let mut attributes = message.attributes.iter();
    let mac = attributes.find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => {
            <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac)
        }
        _ => None,
    });
    match (message.header.state, mac) {
        (NeighbourState::Reachable, Some(mac)) => Some(Neighbour::Fresh(mac)),
        (NeighbourState::Permanent, Some(mac)) => Some(Neighbour::Lasting(mac)),
        (NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe, Some(mac)) => {
            Some(Neighbour::Fading(mac))
        }
        (NeighbourState::Failed, _) => Some(Neighbour::Failed),
        (NeighbourState::Incomplete, _) => Some(Neighbour::Sought),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::route::RouteLwEnCapType;

    /// `eth0.7`: VLAN 7 of interface 3, as the kernel says it.
    fn tagged(protocol: VlanProtocol, more: &[LinkAttribute]) -> LinkMessage {
        let mut message = LinkMessage::default();
        let facts = vec![InfoVlan::Protocol(protocol), InfoVlan::Id(7)];
        message.attributes = vec![
            LinkAttribute::IfName("eth0.7".to_owned()),
            LinkAttribute::Mtu(1496),
            LinkAttribute::Link(3),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Vlan),
                LinkInfo::Data(InfoData::Vlan(facts)),
            ]),
        ];
        message.attributes.extend_from_slice(more);
        message
    }

    #[test]
    fn a_vlan_interface_names_its_vlan_and_the_interface_below() {
        let message = tagged(VlanProtocol::Ieee8021Q, &[]);
        let link = link(&message).unwrap();
        assert_eq!((link.name.as_str(), link.mtu), ("eth0.7", 1496));
        let vlan = Vlan { id: 7, below: None };
        assert_eq!((link.vlan, below(&message)), (Some(vlan), Some(3)));
    }

    #[test]
    fn an_outer_tag_of_802_1ad_is_no_vlan_of_ours_and_another_namespace_s_number_no_interface() {
        let message = tagged(VlanProtocol::Ieee8021Ad, &[]);
        assert_eq!(link(&message).unwrap().vlan, None);
        let elsewhere = [LinkAttribute::LinkNetNsId(0)];
        assert_eq!(below(&tagged(VlanProtocol::Ieee8021Q, &elsewhere)), None);
    }

    #[test]
    fn every_next_hop_of_a_route_is_read_with_what_makes_it_of_no_use() {
        let v4: std::net::Ipv4Addr = [10, 0, 0, 254].into();
        let v6: std::net::Ipv6Addr = "fe80::254".parse().unwrap();
        let next = |attributes: &[RouteAttribute], flags| {
            let mut next = RouteNextHop::default();
            next.interface_index = 3;
            next.attributes = attributes.to_vec();
            next.flags = flags;
            next
        };
        let (gateway, via) = (
            RouteAttribute::Gateway(v4.into()),
            RouteAttribute::Via(v6.into()),
        );
        let labels = RouteAttribute::EncapType(RouteLwEnCapType::Mpls);
        let (good, dead) = (RouteNextHopFlags::empty(), RouteNextHopFlags::Dead);
        let mut message = RouteMessage::default();
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            RouteAttribute::Metrics(vec![RouteMetric::Mtu(1400)]),
            RouteAttribute::MultiPath(vec![
                next(core::slice::from_ref(&gateway), good),
                next(&[via], good),
                next(core::slice::from_ref(&gateway), dead),
                next(&[gateway, labels], good),
            ]),
        ];
        let hop = |gateway: IpAddr, wrapped, dead| RouteHop {
            interface: 3,
            gateway: Some(gateway),
            wrapped,
            dead,
        };
        let hops = vec![
            hop(v4.into(), false, false),
            hop(v6.into(), false, false),
            hop(v4.into(), false, true),
            hop(v4.into(), true, false),
        ];
        let is = Route {
            local: false,
            mtu: Some(1400),
            hops,
        };
        assert_eq!(route(&message), is);
    }
}
