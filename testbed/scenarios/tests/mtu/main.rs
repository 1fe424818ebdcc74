//! How long a packet may be, who is told, and what else is done with one that does not fit.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

mod answers;
mod cuts;
mod routers;
mod segments;

use program::TunnelProgram;
use sim::{Guest, Lab, Setup, ethernet, ipv4, ipv6, upper_sum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::checksum;
use wire::l4::Protocol;

const VNET: u32 = 7;
const ALL: [u8; 6] = [0xff; 6];
const A: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);
const A6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// An underlay of 1,500 bytes, and guests that take it for theirs.
const PLAIN: Setup = Setup {
    hosts: 2,
    workers: 1,
    queues: 1,
    mtu: 1500,
    seed: 1,
    weather: sim::Weather {
        lost: 0,
        late: 0,
        twice: 0,
        stalled: 0,
    },
    v6: false,
    guest_mtu: 1500,
};

/// Hosts whose tunnels `say` more, a guest on the first and one on the host `other`, both known.
fn two_with(setup: Setup, other: usize, say: impl Fn(&mut TunnelProgram)) -> (Lab, Guest, Guest) {
    let mut lab = Lab::with(setup);
    lab.network_with(VNET, |_| (), say);
    let (a, b) = (lab.guest(0, VNET), lab.guest(other, VNET));
    introduce(&mut lab, &a, &b);
    (lab, a, b)
}

/// A guest on each of two hosts.
fn two(setup: Setup) -> (Lab, Guest, Guest) {
    two_with(setup, 1, |_| ())
}

/// The two hear each other, and what was seen of it is over.
fn introduce(lab: &mut Lab, a: &Guest, b: &Guest) {
    lab.send(a, &ethernet(ALL, a.mac));
    lab.send(b, &ethernet(a.mac, b.mac));
    lab.received(a);
    lab.received(b);
    lab.wire();
    lab.captured();
    lab.moved();
}

/// Bytes that are not all alike.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251).to_le_bytes()[0]).collect()
}

/// An IPv4 packet of `len` bytes from `a` to `b` that must not be cut.
fn v4(a: &Guest, b: &Guest, len: usize) -> Vec<u8> {
    ipv4((b.mac, a.mac), (A, B), Protocol(253), &bytes(len - 20))
}

/// An IPv6 packet of `len` bytes from `a` to `b`.
fn v6(a: &Guest, b: &Guest, len: usize) -> Vec<u8> {
    ipv6((b.mac, a.mac), (A6, B6), Protocol(253), &bytes(len - 40))
}

/// Where the IP packet of `frame` starts, behind any tags.
fn l3(frame: &[u8]) -> usize {
    let mut at = 12;
    while matches!(frame[at..at + 2], [0x81, 0x00] | [0x88, 0xa8]) {
        at += 4;
    }
    at + 2
}

/// The addresses of the IP packet in `frame`, source first.
fn ends(frame: &[u8]) -> (IpAddr, IpAddr) {
    let ip = &frame[l3(frame)..];
    if ip[0] >> 4 == 4 {
        let at = |n: usize| <[u8; 4]>::try_from(&ip[n..n + 4]).unwrap();
        return (at(12).into(), at(16).into());
    }
    let at = |n: usize| <[u8; 16]>::try_from(&ip[n..n + 16]).unwrap();
    (at(8).into(), at(24).into())
}

/// `answer` says of `packet` what RFC 1191 §4 and RFC 4443 §3.2 ask for: that `mtu` bytes fit;
/// from whom the packet was for, to whom it was from, behind the same tags.
fn says_too_big(answer: &[u8], packet: &[u8], mtu: usize) {
    says_too_big_in(answer, packet, mtu, usize::MAX);
}

/// The same, where the answer itself may have no more than `room` bytes from its IP header on.
fn says_too_big_in(answer: &[u8], packet: &[u8], mtu: usize, room: usize) {
    let at = l3(packet);
    assert_eq!(answer[..6], packet[6..12], "to whom it was from");
    assert_eq!(answer[6..12], packet[..6], "from whom it was for");
    assert_eq!(answer[12..at], packet[12..at], "tags and EtherType");
    let (from, to) = ends(packet);
    assert_eq!(ends(answer), (to, from));
    let (original, answer) = (&packet[at..], &answer[at..]);
    let (message, longest) = if from.is_ipv4() {
        assert_eq!(answer[0], 0x45);
        assert_eq!(checksum::sum(&answer[..20]), 0xffff, "of its header");
        let total = u16::from_be_bytes([answer[2], answer[3]]);
        assert_eq!(usize::from(total), answer.len());
        assert_eq!(answer[9], Protocol::ICMP.0);
        assert!(answer[8] >= 32, "it gets back to where it has to");
        let message = &answer[20..];
        assert_eq!(message[..2], [3, 4]);
        assert_eq!(checksum::sum(message), 0xffff, "of the message");
        assert_eq!(message[4..6], [0, 0]);
        (message, room.min(576) - 28)
    } else {
        let len = u16::from_be_bytes([answer[4], answer[5]]);
        assert_eq!(usize::from(len), answer.len() - 40);
        assert_eq!(answer[6], Protocol::ICMPV6.0);
        assert!(answer[7] >= 32, "it gets back to where it has to");
        let message = &answer[40..];
        assert_eq!(message[..2], [2, 0]);
        let sum = upper_sum((to, from), Protocol::ICMPV6, message);
        assert_eq!(sum, 0xffff, "of the message");
        (message, room.min(1280) - 48)
    };
    let said = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
    assert_eq!(usize::try_from(said).unwrap(), mtu);
    let quoted = original.len().min(longest);
    assert_eq!(message[8..], original[..quoted], "as much as there is room");
}

/// What `a` hears when it sends `packet`, which nobody else hears of.
fn told(lab: &mut Lab, a: &Guest, b: &Guest, packet: &[u8]) -> Vec<u8> {
    lab.moved();
    lab.send(a, packet);
    let counted = "received 1, answered 1, transmitted 1";
    let ledgers = [format!("h0 {}", a.name), format!("h0 vnet {VNET}")];
    assert_eq!(
        lab.moved(),
        ledgers.map(|name| format!("{name}: {counted}"))
    );
    assert!(lab.wire().is_empty() && lab.received(b).is_empty());
    let mut heard = lab.received(a);
    assert_eq!(heard.len(), 1);
    heard.remove(0)
}

/// `packet` gets from `a` to `b` as it is, and nothing is said of it.
fn arrives(lab: &mut Lab, a: &Guest, b: &Guest, packet: &[u8]) {
    lab.send(a, packet);
    assert_eq!(lab.received(b), [packet], "{} bytes", packet.len());
    assert!(lab.received(a).is_empty());
    lab.wire();
    lab.captured();
    lab.moved();
}
