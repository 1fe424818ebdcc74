//! What holds for any tunnel and any frame, however chance makes them.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

use program::{Allowed, DontFragment, Dscp, Name, Oversize, Program, Sequence, Transport};
use program::{TunnelProgram, Vnet};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sim::{Chance, Guest, Lab, Part, Setup, ethernet, fragments, ipv4, ipv6, tagged, tcp, udp};
use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use wire::l4::Protocol;

const VNET: u32 = 7;
const ALL: [u8; 6] = [0xff; 6];
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x66];
const A: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 2);
const A6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// The MTU of the underlay.
const MTU: usize = 1500;

/// All that a tunnel's program may say.
#[derive(Clone, Copy, Debug)]
struct Options {
    keyed: bool,
    checksum: bool,
    sequence: Sequence,
    transport: Transport,
    ttl: u8,
    dscp: Dscp,
    df: DontFragment,
    oversize: Oversize,
}

impl Options {
    fn tunnel(self, lab: &Lab, from: usize, to: usize) -> TunnelProgram {
        let name = Name::try_from(format!("t{VNET}-{from}-{to}")).unwrap();
        let mut tunnel = TunnelProgram::new(name, Vnet(VNET), lab.endpoint(to));
        (tunnel.keyed, tunnel.checksum) = (self.keyed, self.checksum);
        (tunnel.sequence, tunnel.transport) = (self.sequence, self.transport);
        (tunnel.ttl, tunnel.dscp) = (self.ttl, self.dscp);
        (tunnel.df, tunnel.oversize) = (self.df, self.oversize);
        tunnel
    }

    /// The longest inner frame that gets through, in bytes.
    fn room(self, v6: bool) -> usize {
        let field = |there: bool| if there { 4 } else { 0 };
        let ip = if v6 { 40 } else { 20 };
        let udp = field(self.transport == Transport::Udp) * 2;
        let sequence = self.sequence != Sequence::None;
        MTU - ip - udp - 4 - field(self.keyed) - field(self.checksum) - field(sequence)
    }
}

fn options(v6: bool) -> impl Strategy<Value = Options> {
    let sequence = prop_oneof![
        Just(Sequence::None),
        Just(Sequence::Sent),
        Just(Sequence::Ordered)
    ];
    let dscp = prop_oneof![Just(Dscp::Uniform), (0..64u8).prop_map(Dscp::Pipe)];
    let cut = (
        prop_oneof![Just(Transport::Gre), Just(Transport::Udp)],
        prop_oneof![
            Just(DontFragment::Set),
            Just(DontFragment::Clear),
            Just(DontFragment::Copy)
        ],
        prop_oneof![
            Just(Oversize::Answer),
            Just(Oversize::Inner),
            Just(Oversize::Outer)
        ],
    );
    let cut = cut.prop_map(move |(transport, df, oversize)| match oversize {
        // What contradicts itself is refused; `program` has tests of that.
        Oversize::Outer if v6 => (Transport::Gre, df, oversize),
        Oversize::Outer => (Transport::Gre, DontFragment::Clear, oversize),
        _ => (transport, df, oversize),
    });
    let rest = (any::<bool>(), any::<bool>(), sequence, 1..=255u8, dscp, cut);
    rest.prop_map(
        |(keyed, checksum, sequence, ttl, dscp, (transport, df, oversize))| Options {
            keyed,
            checksum,
            sequence,
            transport,
            ttl,
            dscp,
            df,
            oversize,
        },
    )
}

/// A frame yet to be made: of what kind, behind how many tags, how long as a part of what fits, of
/// which type of service, and which bytes.
#[derive(Clone, Copy, Debug)]
struct Shape {
    kind: u8,
    tags: u8,
    part: f64,
    tos: u8,
    seed: u64,
}

fn shapes() -> impl Strategy<Value = Shape> {
    // The longest and the shortest are no more likely than others, unless somebody sees to it.
    let part = prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0];
    let all = (0..10u8, 0..3u8, part, any::<u8>(), any::<u64>());
    all.prop_map(|(kind, tags, part, tos, seed)| Shape {
        kind,
        tags,
        part,
        tos,
        seed,
    })
}

/// So many bytes by chance.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    let byte = |_| u8::try_from(chance.below(256)).unwrap();
    (0..len).map(byte).collect()
}

impl Shape {
    /// The frame from `from` to `to`, of at most `room` bytes.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    fn frame(self, from: &Guest, to: &Guest, room: usize) -> Vec<u8> {
        let tags: Vec<u16> = (0..u16::from(self.tags)).map(|n| 5 + n).collect();
        let least = 14 + 4 * tags.len();
        let len = ((room - least) as f64 * self.part) as usize;
        let macs = (to.mac, from.mac);
        let rest = |headers: usize| bytes(self.seed, len.saturating_sub(headers));
        let garbage = |ethertype: u16| {
            let mut frame = ethernet(to.mac, from.mac);
            frame.truncate(12);
            frame.extend(ethertype.to_be_bytes());
            frame.extend(bytes(self.seed, len));
            frame
        };
        let mut frame = match self.kind {
            0 if len >= 20 => ipv4(macs, (A, B), Protocol(253), &rest(20)),
            1 if len >= 28 => ipv4(macs, (A, B), Protocol::UDP, &udp((A, B), &rest(28))),
            2 if len >= 40 => {
                let segment = tcp((A.into(), B.into()), 0x18, &[], &rest(40));
                ipv4(macs, (A, B), Protocol::TCP, &segment)
            }
            3 if len >= 40 => ipv6(macs, (A6, B6), Protocol(253), &rest(40)),
            4 if len >= 60 => {
                let segment = tcp((A6.into(), B6.into()), 0x10, &[], &rest(60));
                ipv6(macs, (A6, B6), Protocol::TCP, &segment)
            }
            5 if len >= 41 => {
                let message = [&[128][..], &rest(41)].concat();
                ipv6(macs, (A6, B6), Protocol::ICMPV6, &message)
            }
            // What says that it is something, and is not.
            6 => garbage(0x0800),
            7 => garbage(0x86dd),
            8 => garbage(0x8847),
            _ => garbage(0x88b5),
        };
        match (self.kind, frame.len() > 34) {
            (0..=2, true) => wire::ecn::set_tos_v4(&mut frame[14..], self.tos),
            (3..=5, true) => wire::ecn::set_traffic_class_v6(&mut frame[14..], self.tos),
            _ => {}
        }
        tagged(&frame, &tags)
    }
}

/// Two hosts and a guest on each.
fn two(v6: bool) -> (Lab, Guest, Guest) {
    let mut lab = Lab::with(Setup {
        mtu: u32::try_from(MTU).unwrap(),
        v6,
        ..Setup::default()
    });
    lab.network(VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(1, VNET));
    // What cannot be read may be anything: only who may say everything may say it.
    for guest in [&a, &b] {
        lab.port_with(guest, |port| {
            port.allow = vec![Allowed::DhcpServer, Allowed::Router];
        });
    }
    (lab, a, b)
}

/// They know each other, and what they heard is over.
fn introduce(lab: &mut Lab, a: &Guest, b: &Guest) {
    lab.send(a, &ethernet(ALL, a.mac));
    lab.send(b, &ethernet(a.mac, b.mac));
    lab.received(a);
    lab.received(b);
    lab.captured();
    lab.wire();
}

#[test]
fn what_goes_into_any_tunnel_comes_out_of_it_the_same() {
    for v6 in [false, true] {
        let (lab, a, b) = two(v6);
        let lab = RefCell::new(lab);
        let mut runner = TestRunner::new(ProptestConfig::with_cases(192));
        let cases = (options(v6), vec((any::<bool>(), shapes()), 1..12));
        let outcome = runner.run(&cases, |(options, shapes)| {
            let lab = &mut *lab.borrow_mut();
            for (from, to) in [(0, 1), (1, 0)] {
                let tunnel = options.tunnel(lab, from, to);
                lab.put(from, Program::Tunnel(tunnel));
            }
            introduce(lab, &a, &b);
            let room = match options.oversize {
                Oversize::Outer => 14 + 1500,
                _ => options.room(v6),
            };
            for (there, shape) in shapes {
                let (from, to) = if there { (&a, &b) } else { (&b, &a) };
                let frame = shape.frame(from, to, room);
                prop_assert!(frame.len() <= room);
                lab.send(from, &frame);
                prop_assert_eq!(lab.received(to), [frame]);
                prop_assert!(lab.received(from).is_empty());
                let longest = lab.captured().iter().map(Vec::len).max();
                prop_assert!(longest.is_some_and(|longest| longest <= 14 + MTU));
            }
            Ok(())
        });
        outcome.unwrap_or_else(|why| panic!("{why}"));
    }
}

/// A part of a valid packet, of any kind that arrives at a host, with some bytes changed.
#[derive(Clone, Debug)]
struct Damaged {
    kind: u8,
    shape: Shape,
    changes: Vec<(u16, u8)>,
    len: Option<u16>,
}

fn damaged() -> impl Strategy<Value = Damaged> {
    let changes = vec((0..1600u16, any::<u8>()), 0..6);
    // Most of what decides is in front.
    let front = vec((0..90u16, any::<u8>()), 0..6);
    let changes = prop_oneof![changes, front];
    let all = (0..6u8, shapes(), changes, proptest::option::of(0..1600u16));
    all.prop_map(|(kind, shape, changes, len)| Damaged {
        kind,
        shape,
        changes,
        len,
    })
}

impl Damaged {
    /// The packets, and whether they come from the guest.
    fn packets(&self, lab: &Lab, (a, b): (&Guest, &Guest)) -> (Vec<Vec<u8>>, bool) {
        let ends = (lab.endpoint(1), lab.endpoint(0));
        let frame = self.shape.frame(b, a, 1400);
        let gre = [&[0x20, 0, 0x65, 0x58, 0, 0, 0, 7][..], &frame].concat();
        let (mut packets, from_guest) = match self.kind {
            0 => (vec![self.shape.frame(a, b, 1514)], true),
            1 => (vec![bytes(self.shape.seed, 400)], true),
            2 => (vec![sim::outer(ends, Protocol::GRE, &gre)], false),
            3 => {
                let part = Part {
                    protocol: Protocol::GRE,
                    identification: u32::from(self.shape.tos) % 4,
                    offset: 0,
                    more: true,
                    tos: 0,
                };
                (fragments(ends, part, &gre, &[8]), false)
            }
            4 => {
                let sent = sim::outer((ends.1, ends.0), Protocol::GRE, &gre);
                (vec![sim::too_big(ends, 600, &sent[14..])], false)
            }
            _ => (vec![bytes(self.shape.seed, 400)], false),
        };
        for packet in &mut packets {
            for (at, byte) in &self.changes {
                if let Some(place) = packet.get_mut(usize::from(*at)) {
                    *place ^= byte;
                }
            }
            if let Some(len) = self.len {
                packet.truncate(usize::from(len));
            }
        }
        packets.retain(|packet| !packet.is_empty());
        (packets, from_guest)
    }
}

#[test]
fn whatever_comes_every_ledger_balances_and_no_buffer_is_lost() {
    for v6 in [false, true] {
        let (lab, a, b) = two(v6);
        let lab = RefCell::new(lab);
        let mut runner = TestRunner::new(ProptestConfig::with_cases(256));
        let outcome = runner.run(&vec(damaged(), 1..40), |all| {
            let lab = &mut *lab.borrow_mut();
            for damaged in all {
                let (packets, from_guest) = damaged.packets(lab, (&a, &b));
                for packet in packets {
                    if from_guest {
                        prop_assert!(lab.offer(&a, &packet));
                    } else {
                        lab.arrive_quietly(0, &packet);
                    }
                }
                lab.step();
            }
            // Nothing waits for other pieces any more. That everything is accounted for, the lab
            // sees to itself.
            lab.wait(Duration::from_millis(1001));
            lab.received(&a);
            lab.received(&b);
            lab.captured();
            lab.wire();
            Ok(())
        });
        outcome.unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn pieces_of_any_length_in_any_order_are_the_packet_unless_one_is_missing() {
    for v6 in [false, true] {
        let (lab, a, _) = two(v6);
        let (lab, number) = (RefCell::new(lab), RefCell::new(0));
        let mut runner = TestRunner::new(ProptestConfig::with_cases(256));
        // Cuts in units of 8 bytes; an order; which come again, and which do not come.
        let cases = (
            60..1500usize,
            vec(1..180usize, 1..12),
            any::<u64>(),
            any::<u16>(),
            prop_oneof![Just(0), any::<u16>()],
        );
        let outcome = runner.run(&cases, |(len, cuts, order, again, missing)| {
            let lab = &mut *lab.borrow_mut();
            *number.borrow_mut() += 1;
            let mut frame = ethernet(ALL, STRANGER);
            frame.resize(len, 0x77);
            let whole = [&[0x20, 0, 0x65, 0x58, 0, 0, 0, 7][..], &frame].concat();
            let cuts: std::collections::BTreeSet<_> = cuts.iter().map(|cut| cut * 8).collect();
            let cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < whole.len()).collect();
            let part = Part {
                protocol: Protocol::GRE,
                identification: *number.borrow() & 0xffff,
                offset: 0,
                more: true,
                tos: 0,
            };
            let ends = (lab.endpoint(1), lab.endpoint(0));
            let pieces = fragments(ends, part, &whole, &cuts);
            let count = pieces.len();
            let chosen = |bits: u16, n: usize| count > 1 && bits >> (n % 16) & 1 == 1;
            let mut come = Vec::new();
            for (n, piece) in pieces.into_iter().enumerate() {
                let times = match (chosen(missing, n), chosen(again, n)) {
                    (true, _) => 0,
                    (false, true) => 2,
                    (false, false) => 1,
                };
                come.extend(vec![piece; times]);
            }
            let whole_came = (0..count).all(|n| !chosen(missing, n));
            let mut chance = Chance::new(order);
            for n in (1..come.len()).rev() {
                let other = chance.below(n + 1);
                come.swap(n, other);
            }
            for piece in come {
                lab.arrive_quietly(0, &piece);
            }
            lab.step();
            lab.wait(Duration::from_millis(1001));
            let heard = lab.received(&a);
            prop_assert!(heard.iter().all(|heard| *heard == frame));
            // If all pieces come twice, that may be two packets.
            let most = 1 + usize::from((0..count).all(|n| chosen(again, n)));
            let right = if whole_came { 1..=most } else { 0..=0 };
            prop_assert!(right.contains(&heard.len()), "{} came", heard.len());
            Ok(())
        });
        outcome.unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn a_segment_size_is_lowered_to_what_fits_and_the_checksum_holds() {
    let (lab, a, b) = two(false);
    let lab = RefCell::new(lab);
    {
        let lab = &mut *lab.borrow_mut();
        introduce(lab, &a, &b);
    }
    let mut runner = TestRunner::new(ProptestConfig::with_cases(512));
    // Options in front of it, each a kind and so many bytes; what it says; the payload.
    let others = vec((3..255u8, 0..6usize), 0..4);
    let cases = (
        any::<bool>(),
        others,
        0..4usize,
        any::<u16>(),
        vec(any::<u8>(), 0..99),
        0..3usize,
    );
    let outcome = runner.run(&cases, |(v6, others, paddings, asked, payload, tags)| {
        let lab = &mut *lab.borrow_mut();
        let mut options = vec![1; paddings];
        for (kind, len) in others {
            options.extend([kind, u8::try_from(len + 2).unwrap()]);
            options.extend(vec![0xaa; len]);
        }
        let at = 20 + options.len() + 2;
        options.extend([2, 4]);
        options.extend(asked.to_be_bytes());
        prop_assume!(options.len() <= 40);
        options.resize(options.len().next_multiple_of(4), 0);
        let macs = (b.mac, a.mac);
        let tags = &[5, 6][..tags];
        let l4 = 14 + 4 * tags.len() + if v6 { 40 } else { 20 };
        let make = |options: &[u8]| {
            let frame = if v6 {
                let segment = tcp((A6.into(), B6.into()), 0x02, options, &payload);
                ipv6(macs, (A6, B6), Protocol::TCP, &segment)
            } else {
                let segment = tcp((A.into(), B.into()), 0x02, options, &payload);
                ipv4(macs, (A, B), Protocol::TCP, &segment)
            };
            tagged(&frame, tags)
        };
        let most = 1458 - 4 * tags.len() - if v6 { 60 } else { 40 };
        let lowered = asked.min(u16::try_from(most).unwrap());
        let sent = make(&options);
        prop_assert_eq!(&sent[l4 + at..l4 + at + 2], asked.to_be_bytes());
        options[at - 20..at - 18].copy_from_slice(&lowered.to_be_bytes());
        lab.send(&a, &sent);
        prop_assert_eq!(lab.received(&b), [make(&options)]);
        Ok(())
    });
    outcome.unwrap_or_else(|why| panic!("{why}"));
}
