//! Whether a guest speaks from IP addresses that are its own.

use crate::config::Addresses;
use crate::{DropReason, Marks, Packet};
use std::net::{Ipv4Addr, Ipv6Addr};
use wire::arp::Arp;
use wire::ethernet::{Ethernet, MacAddr};
use wire::ipv6::Ipv6;
use wire::l4::Protocol;
use wire::nd::{Kind, Nd};

/// What a client asks from before it has an address (RFC 2131 §4.1), with the ports it uses.
const DHCP_CLIENT: [u8; 4] = [0, 68, 0, 67];

/// The protocol by which hosts join groups over IPv4.
const IGMP: u8 = 2;

/// Multicast listener reports, which may be sent before an address is sure (RFC 3590 §4).
const LISTENER_REPORTS: [u8; 2] = [131, 143];

impl Addresses {
    #[inline]
    fn has_v4(&self, address: Ipv4Addr) -> bool {
        let bits = address.to_bits();
        self.v4.iter().any(|(first, mask)| bits & mask == *first)
    }

    fn has_v6(&self, address: Ipv6Addr) -> bool {
        let bits = address.to_bits();
        self.v6.iter().any(|(first, mask)| bits & mask == *first)
    }
}

/// Whether `packet` speaks from one of `own`: in IP, in ARP, in neighbour discovery.
#[inline]
pub(super) fn check(own: &Addresses, packet: &Packet) -> Result<(), DropReason> {
    let headers = &packet.headers;
    let bytes = packet.frame.bytes();
    let holds = if headers.marks.any(Marks::IPV4) {
        ipv4(own, packet, headers.packet(bytes))
    } else if headers.marks.any(Marks::IPV6) {
        ipv6(own, packet)
    } else if headers.marks.any(Marks::ARP) {
        arp(own, bytes, headers.l3)
    } else {
        true
    };
    holds.then_some(()).ok_or(DropReason::SpoofedAddress)
}

#[inline]
fn ipv4(own: &Addresses, packet: &Packet, ip: &[u8]) -> bool {
    let Some([.., a, b, c, d]) = ip.first_chunk::<16>() else {
        return false;
    };
    let source = Ipv4Addr::new(*a, *b, *c, *d);
    if source.is_unspecified() {
        // Who has no address yet may join groups (RFC 3376 §4.2.13) and ask for one.
        if packet.headers.protocol == IGMP {
            return true;
        }
        let segment = packet.headers.segment(packet.frame.bytes());
        return packet.headers.protocol == Protocol::UDP.0
            && !packet.headers.marks.any(Marks::FRAGMENT)
            && segment.starts_with(&DHCP_CLIENT);
    }
    own.has_v4(source)
}

/// The address of the frame is the address in the message: what others learn from the one and
/// from the other is the same.
fn arp(own: &Addresses, bytes: &[u8], l3: u8) -> bool {
    let Ok((ethernet, _)) = Ethernet::parse(bytes) else {
        return false;
    };
    let Ok(arp) = Arp::parse(bytes.get(usize::from(l3)..).unwrap_or_default()) else {
        return false;
    };
    arp.sender_mac() == ethernet.source() && (arp.is_probe() || own.has_v4(arp.sender_ip()))
}

fn ipv6(own: &Addresses, packet: &Packet) -> bool {
    let bytes = packet.frame.bytes();
    let headers = &packet.headers;
    let (Ok((ethernet, _)), Ok((ip, _))) =
        (Ethernet::parse(bytes), Ipv6::parse(headers.packet(bytes)))
    else {
        return false;
    };
    let message = headers.segment(bytes);
    if headers.marks.any(Marks::DISCOVERY) && !discovery(own, ethernet.source(), ip, message) {
        return false;
    }
    let source = ip.source();
    if source.is_unspecified() {
        // Nobody yet: it may ask whether an address is free, for routers, and join groups.
        let reports = headers.protocol == Protocol::ICMPV6.0
            && !headers.marks.any(Marks::FRAGMENT)
            && message
                .first()
                .is_some_and(|kind| LISTENER_REPORTS.contains(kind));
        return reports || headers.marks.any(Marks::DISCOVERY);
    }
    own.has_v6(source)
}

/// What it says of addresses: that one is its own, or that it has which MAC.
fn discovery(own: &Addresses, mac: MacAddr, ip: Ipv6<'_>, message: &[u8]) -> bool {
    let Ok(nd) = Nd::parse(&ip, message) else {
        return false;
    };
    let of = |told: Option<MacAddr>| told.is_none_or(|told| told == mac);
    match nd.kind() {
        Kind::NeighbourAdvert => {
            nd.target().is_some_and(|target| own.has_v6(target)) && of(nd.target_mac())
        }
        _ => of(nd.source_mac()),
    }
}
