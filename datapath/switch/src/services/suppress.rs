//! Answers questions for addresses where the answer is known, instead of flooding them.
//!
//! Reads who has which address: from programs first, then from what was heard in ARP (RFC 826)
//! and neighbour discovery (RFC 4861). Remembers what is heard. Comes behind `Learn`, whose table
//! says whether a station is still there, and before `Forward`.
//!
//! A guest that asks whether its own address is free (RFC 5227 §2.1, RFC 4862 §5.4) must hear
//! nothing of itself: a probe is answered from programs only, and never with the prober's own
//! address. What is only heard may be old, so the prober's question goes to whom it concerns.
//!
//! An IPv6 host forgets a router that is once advertised without the flag that says so (RFC 4861
//! §7.2.5). Only advertisements carry it, so nothing is learned from solicitations, and nothing
//! of routers: questions for these go to themselves, unless programs know them.

use super::learn::location;
use crate::{
    Cell, DropReason, Exit, Marks, NOWHERE, Network, Packet, Service, State, Turn, Verdict,
};
use std::net::{IpAddr, Ipv6Addr};
use tables::neighbours::{Change, Neighbour, Noted};
use tables::{Location, Station};
use wire::arp::{Arp, ArpRepr, Operation};
use wire::ethernet::{Ethernet, MacAddr, is_group};
use wire::ipv6::Ipv6;
use wire::nd::{ALL_NODES, Kind, Nd, NeighbourAdvertRepr};

/// Addresses that may be heard behind a port, and in a network, for each of its stations.
const ADDRESSES_A_STATION: u32 = 4;

/// Notes who has which address; answers who asks.
pub struct Suppress;

/// A question, and who has what it is for.
struct Question {
    target: IpAddr,
    /// Whether it only asks whether the address is free.
    probe: bool,
}

/// Who has an address.
struct Owner {
    mac: MacAddr,
    router: bool,
}

/// What a message says of addresses.
#[derive(Default)]
struct Said {
    fact: Option<(IpAddr, MacAddr)>,
    question: Option<Question>,
}

impl Service for Suppress {
    const NAME: &'static str = "suppress";
    const WANTS: Marks = Marks::ARP.with(Marks::DISCOVERY);

    fn decide(turn: &mut Turn<'_>, packet: &mut Packet) -> Verdict {
        let marks = packet.headers.marks;
        let Some(network) = turn.config.network(packet.vnet).filter(|n| n.suppress) else {
            return Verdict::Next;
        };
        // Behind a tag is another network of the guests' own, in which an address may be another's.
        if packet.headers.tags_len() > 0 {
            return Verdict::Next;
        }
        let bytes = packet.frame.bytes();
        let said = if marks.any(Marks::ARP) {
            arp(bytes, packet.headers.l3)
        } else if marks.any(Marks::DISCOVERY) {
            discovery(packet)
        } else {
            return Verdict::Next;
        };
        let Ok((ethernet, _)) = Ethernet::parse(bytes) else {
            return Verdict::Drop(DropReason::Malformed);
        };
        let asker = ethernet.source();
        if let Some((address, mac)) = said.fact {
            note(turn, packet, address, mac);
        }
        // What a peer asks was not known where it was asked: it is for who has the address. So is
        // what is asked of one station: that is whether it is still there (RFC 4861 §7.3).
        let of_all = packet.origin.tunnel == NOWHERE && is_group(ethernet.destination());
        let Some(question) = said.question.filter(|_| of_all) else {
            return Verdict::Next;
        };
        let Some(owner) = known(turn, packet, network, &question) else {
            return Verdict::Next;
        };
        if owner.mac == asker || !answer(packet, asker, &owner, &question) {
            return Verdict::Next;
        }
        packet.make_answer();
        packet.exit = Exit::Port(packet.origin.port);
        Verdict::Next
    }
}

fn arp(bytes: &[u8], l3: u8) -> Said {
    let Ok(arp) = Arp::parse(bytes.get(usize::from(l3)..).unwrap_or_default()) else {
        return Said::default();
    };
    let fact = (!arp.is_probe()).then(|| (arp.sender_ip().into(), arp.sender_mac()));
    let asks = arp.operation() == Operation::REQUEST && !arp.is_announcement();
    Said {
        fact,
        question: asks.then(|| Question {
            target: arp.target_ip().into(),
            probe: arp.is_probe(),
        }),
    }
}

fn discovery(packet: &Packet) -> Said {
    let bytes = packet.frame.bytes();
    let Ok((ip, _)) = Ipv6::parse(packet.headers.packet(bytes)) else {
        return Said::default();
    };
    let Ok(nd) = Nd::parse(&ip, packet.headers.segment(bytes)) else {
        return Said::default();
    };
    match (nd.kind(), nd.target()) {
        // Nobody is a group: what would be answered to it goes to all.
        (Kind::NeighbourSolicit, _) if ip.source().is_multicast() => Said::default(),
        (Kind::NeighbourSolicit, Some(target)) => Said {
            fact: None,
            question: Some(Question {
                target: target.into(),
                probe: nd.is_probe(),
            }),
        },
        (Kind::NeighbourAdvert, Some(target)) => Said {
            fact: nd
                .target_mac()
                .filter(|_| !nd.is_from_router())
                .map(|mac| (target.into(), mac)),
            question: None,
        },
        _ => Said::default(),
    }
}

/// Remembers that `mac` has `address`.
fn note(turn: &mut Turn<'_>, packet: &Packet, address: IpAddr, mac: MacAddr) {
    let (Some(location), Some(network)) =
        (location(turn, packet), turn.config.network(packet.vnet))
    else {
        return;
    };
    if is_group(mac) || address.is_unspecified() || network.neighbours.contains_key(&address) {
        return; // programs know better
    }
    let slot = usize::from(packet.origin.port);
    let limit = turn.config.guest(packet.origin.port);
    let limit = limit.map(|guest| guest.stations.saturating_mul(ADDRESSES_A_STATION));
    let all = network.stations.saturating_mul(ADDRESSES_A_STATION);
    let State {
        neighbours,
        ports,
        networks,
        ..
    } = &mut *turn.state;
    let port = ports.get(slot).map_or(0, |port| port.neighbours);
    let known = networks.get(usize::from(packet.vnet));
    let known = known.map_or(0, |network| network.neighbours);
    let heard = Neighbour {
        vnet: network.vnet,
        address,
        mac,
        location,
    };
    let admit = |change| {
        // One that is known already has its place, wherever it is now.
        change != Change::New || known < all && limit.is_none_or(|limit| port < limit)
    };
    let noted = neighbours.learn_if(turn.now, &heard, network.idle, admit);
    let cell = match noted {
        Noted::Known => return,
        Noted::New { replaced } => {
            if let Some(silent) = replaced {
                turn.state.count_neighbour_out(turn.config, &silent);
            }
            count_in(turn.state, packet);
            if let Some(network) = turn.state.networks.get_mut(usize::from(packet.vnet)) {
                network.neighbours += 1;
            }
            Cell::Neighbours
        }
        Noted::Changed { at, .. } => {
            turn.state.count_neighbour_away(turn.config, at);
            count_in(turn.state, packet);
            Cell::Neighbours
        }
        Noted::Full | Noted::Refused => Cell::NeighboursFull,
    };
    turn.counters.both(packet.origin.port, packet.vnet, cell, 1);
}

fn count_in(state: &mut State, packet: &Packet) {
    if packet.origin.tunnel == NOWHERE
        && let Some(port) = state.ports.get_mut(usize::from(packet.origin.port))
    {
        port.neighbours += 1;
    }
}

/// Who has what the question is for.
fn known(
    turn: &Turn<'_>,
    packet: &Packet,
    network: &Network,
    question: &Question,
) -> Option<Owner> {
    if let Some((mac, router)) = network.neighbours.get(&question.target).copied() {
        return Some(Owner { mac, router });
    }
    if question.probe {
        return None;
    }
    let (now, vnet) = (turn.now, network.vnet);
    let (mac, _) = turn.state.neighbours.lookup(now, vnet, question.target)?;
    // Who is silent may be gone; who is behind the same port answers for itself.
    let location = turn.state.fdb.lookup(now, Station::new(vnet, mac))?;
    let elsewhere = match location {
        Location::Port { slot, .. } => slot != packet.origin.port,
        Location::Peer { .. } => true,
    };
    let current = crate::state::network_at(turn.config, location) == Some(packet.vnet);
    let router = false;
    (elsewhere && current).then_some(Owner { mac, router })
}

/// Makes `packet` the answer to itself: `owner` has what `asker` asks for. False if it cannot be.
fn answer(packet: &mut Packet, asker: MacAddr, owner: &Owner, question: &Question) -> bool {
    let mac = owner.mac;
    let l3 = usize::from(packet.headers.l3);
    match question.target {
        IpAddr::V4(target) => {
            let bytes = packet.frame.bytes_mut();
            let Ok(arp) = Arp::parse(&bytes[l3..]) else {
                return false;
            };
            let reply = ArpRepr {
                operation: Operation::REPLY,
                sender_mac: mac,
                sender_ip: target,
                target_mac: arp.sender_mac(),
                target_ip: arp.sender_ip(),
            };
            bytes[l3..l3 + ArpRepr::LEN].copy_from_slice(&reply.emit());
        }
        IpAddr::V6(target) => {
            let Some(advert) = advert(packet, owner, target) else {
                return false;
            };
            packet.frame.truncate(l3);
            if packet.frame.append(&advert).is_err() {
                return false;
            }
            if question.probe {
                let group = wire::nd::multicast_mac(ALL_NODES);
                packet.frame.bytes_mut()[..6].copy_from_slice(&group);
                packet.frame.bytes_mut()[6..12].copy_from_slice(&mac);
                return true;
            }
        }
    }
    packet.frame.bytes_mut()[..6].copy_from_slice(&asker);
    packet.frame.bytes_mut()[6..12].copy_from_slice(&mac);
    true
}

/// The advertisement that answers a solicitation: `owner` has `target`.
fn advert(
    packet: &Packet,
    owner: &Owner,
    target: Ipv6Addr,
) -> Option<[u8; NeighbourAdvertRepr::LEN]> {
    let (ip, _) = Ipv6::parse(packet.headers.packet(packet.frame.bytes())).ok()?;
    let probe = ip.source().is_unspecified();
    let repr = NeighbourAdvertRepr {
        source: target,
        destination: if probe { ALL_NODES } else { ip.source() },
        target,
        target_mac: owner.mac,
        router: owner.router,
        solicited: !probe,
        overrides: false,
    };
    Some(repr.emit())
}
