//! The capture: what arrives from the underlay and from guests.
//!
//! Each frame is right but for one thing, which its name says; and what is odd comes from a station
//! that is never heard again, so that one difference does not make another.

use crate::bytes::{
    Header, envelope, igmp, packet, sum_again, tunnelled, unfinished, with_options,
};
use crate::bytes::{dhcp_offer, in_udp, router_advertisement, segment};
use sim::Chance;
use std::net::Ipv4Addr;

/// The underlay: our end, our address there, and the two peers.
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const MAC: [u8; 6] = [2, 1, 0, 0, 0, 1];
pub(crate) const NEIGHBOURS: [(Ipv4Addr, [u8; 6]); 2] = [
    (Ipv4Addr::new(10, 0, 0, 2), [2, 1, 0, 0, 0, 2]),
    (Ipv4Addr::new(10, 0, 0, 3), [2, 1, 0, 0, 0, 3]),
];

/// The network, and its guests here: the last may speak in its own name only.
pub(crate) const VNET: u32 = 5001;
pub(crate) const GUESTS: [(&str, Option<[u8; 6]>); 3] =
    [("g1", None), ("g2", None), ("g3", Some(HELD))];

/// Stations that both know from the first frames on: behind each guest, and behind each peer.
pub(crate) const A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
pub(crate) const B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
pub(crate) const HELD: [u8; 6] = [2, 0, 0, 0, 0, 0xc];
pub(crate) const FAR: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 0], [2, 0, 0, 0, 1, 1]];
pub(crate) const ALL: [u8; 6] = [0xff; 6];
const UNKNOWN: [u8; 6] = [2, 0, 0, 0, 0xff, 0xff];

const SEED: u64 = 20_261_122;
const UNDERLAY: &str = "p0";

/// One frame, and what is odd about it.
pub(crate) struct Case {
    /// In a few words.
    pub(crate) what: String,
    /// The port it arrives at.
    pub(crate) enters: &'static str,
    /// Its bytes.
    pub(crate) frame: Vec<u8>,
    /// What it carries, if it arrives through a tunnel.
    pub(crate) inner: Vec<u8>,
}

impl Case {
    /// Whether its name begins so.
    pub(crate) fn is(&self, what: &str) -> bool {
        self.what.starts_with(what)
    }
}

/// The whole capture.
pub(crate) fn all() -> Vec<Case> {
    let mut capture = Capture {
        cases: Vec::new(),
        chance: Chance::new(SEED),
        stations: 0,
    };
    capture.everybody_speaks();
    capture.gre_headers();
    capture.outer_headers();
    capture.cuts();
    capture.inner_frames();
    capture.guests();
    capture.services();
    capture.moves();
    capture.at_random();
    capture.cases
}

struct Capture {
    cases: Vec<Case>,
    chance: Chance,
    stations: u32,
}

impl Capture {
    /// The address of a station that nobody has heard of.
    fn stranger(&mut self) -> [u8; 6] {
        self.stations += 1;
        let [a, b, c, d] = self.stations.to_be_bytes();
        [0x06, 0, a, b, c, d]
    }

    /// What arrives from the underlay, carrying `inner`.
    fn arrives(&mut self, what: impl Into<String>, frame: Vec<u8>, inner: &[u8]) {
        let (what, enters, inner) = (what.into(), UNDERLAY, inner.to_vec());
        self.cases.push(Case {
            what,
            enters,
            frame,
            inner,
        });
    }

    /// What a guest sends.
    fn sent(&mut self, what: impl Into<String>, enters: &'static str, frame: Vec<u8>) {
        let (what, inner) = (what.into(), Vec::new());
        self.cases.push(Case {
            what,
            enters,
            frame,
            inner,
        });
    }

    /// A tunnel packet with plain GRE, and what is in it, from a stranger behind the first peer.
    fn plain(&mut self, destination: [u8; 6]) -> (Vec<u8>, Vec<u8>) {
        let stranger = self.stranger();
        let inner = sim::ethernet(destination, stranger);
        (tunnelled(0, &Header::default(), &inner), inner)
    }

    fn everybody_speaks(&mut self) {
        for (guest, station) in [("g1", A), ("g2", B), ("g3", HELD)] {
            self.sent("a guest's first frame", guest, sim::ethernet(ALL, station));
        }
        for (peer, station) in FAR.into_iter().enumerate() {
            let inner = sim::ethernet(ALL, station);
            let frame = tunnelled(peer, &Header::default(), &inner);
            self.arrives("a peer's first frame", frame, &inner);
        }
    }

    fn gre_headers(&mut self) {
        for destination in [ALL, A, UNKNOWN] {
            for bits in 0..8u8 {
                let stranger = self.stranger();
                let inner = sim::ethernet(destination, stranger);
                let header = Header {
                    checksum: bits & 1 != 0,
                    key: (bits & 2 != 0).then_some(VNET),
                    sequence: (bits & 4 != 0).then_some(self.stations),
                    ..Header::default()
                };
                let frame = tunnelled(0, &header, &inner);
                let what = format!("GRE with flags {bits:03b}");
                self.arrives(what.clone(), frame.clone(), &inner);
                if header.checksum {
                    let mut wrong = frame;
                    *wrong.last_mut().unwrap() ^= 1;
                    self.arrives("a wrong checksum", wrong, &inner);
                }
            }
        }
        for bit in (1..16).filter(|bit| ![2, 3].contains(bit)) {
            let stranger = self.stranger();
            let inner = sim::ethernet(ALL, stranger);
            let header = Header {
                more: 0x8000 >> bit,
                ..Header::default()
            };
            let what = match bit {
                1 => "routing".to_owned(),
                13..=15 => format!("version, bit {bit}"),
                4 | 5 => format!("reserved, bit {bit}"),
                _ => format!("ignored, bit {bit}"),
            };
            self.arrives(what, tunnelled(0, &header, &inner), &inner);
        }
        for protocol in [0x0800, 0x86dd, 0x6559, 0x88be, 0, 0x0600] {
            let inner = sim::ethernet(ALL, self.stranger());
            let header = Header {
                protocol,
                ..Header::default()
            };
            self.arrives("no Ethernet in it", tunnelled(0, &header, &inner), &inner);
        }
        for key in [0, 1, VNET - 1, VNET + 1, VNET << 16, u32::MAX] {
            let inner = sim::ethernet(ALL, self.stranger());
            let header = Header {
                key: Some(key),
                ..Header::default()
            };
            self.arrives("another key", tunnelled(0, &header, &inner), &inner);
        }
    }

    fn outer_headers(&mut self) {
        for options in [
            &[1, 1, 1, 1][..],
            &[0x94, 4, 0, 0],
            &[7, 7, 4, 0, 0, 0, 0, 0],
            &[0; 40],
        ] {
            let (frame, inner) = self.plain(ALL);
            self.arrives("outer options", with_options(frame, options), &inner);
        }
        for (what, at, value) in [
            ("another peer", 29, 9),
            ("another endpoint", 33, 9),
            ("IP in IP", 23, 4),
            ("TTL 1", 22, 1),
            ("TTL 0", 22, 0),
            ("DSCP 46", 15, 46 << 2),
            ("may be fragmented", 20, 0),
            ("the reserved flag", 20, 0x80),
            ("IP version 5", 14, 0x55),
            ("a header of 16 bytes", 14, 0x44),
        ] {
            let (mut frame, inner) = self.plain(ALL);
            frame[at] = value;
            sum_again(&mut frame);
            self.arrives(what, frame, &inner);
        }
        let (mut frame, inner) = self.plain(ALL);
        frame[25] ^= 1;
        self.arrives("a wrong header checksum", frame, &inner);
        let (mut frame, inner) = self.plain(ALL);
        frame[5] ^= 0x10;
        self.arrives("another underlay station's", frame, &inner);
        let (mut frame, inner) = self.plain(ALL);
        frame.splice(12..12, [0x81, 0, 0, 5]);
        self.arrives("a tagged underlay", frame, &inner);
        for padding in [1, 7, 46] {
            let (mut frame, inner) = self.plain(ALL);
            frame.extend(vec![0; padding]);
            self.arrives("padding", frame, &inner);
        }
        self.fragments();
    }

    /// Both halves of a packet, in order and out of order, and one that never comes.
    fn fragments(&mut self) {
        for (number, order) in [&[0, 1][..], &[1, 0], &[0], &[1]].into_iter().enumerate() {
            let (frame, inner) = self.plain(ALL);
            let cut = 34 + 48;
            let mut halves = [
                frame[..cut].to_vec(),
                [&frame[..34], &frame[cut..]].concat(),
            ];
            for (half, flags) in halves.iter_mut().zip([0x2000_u16, 48 / 8]) {
                let len = u16::try_from(half.len() - 14).unwrap();
                half[16..18].copy_from_slice(&len.to_be_bytes());
                half[18..20].copy_from_slice(&[0x77, u8::try_from(number).unwrap()]);
                half[20..22].copy_from_slice(&flags.to_be_bytes());
                sum_again(half);
            }
            for (nth, half) in order.iter().enumerate() {
                let what = if nth == 1 {
                    "the fragment that was missing"
                } else {
                    "a fragment"
                };
                self.arrives(what, halves[*half].clone(), &inner);
            }
        }
    }

    /// A packet cut at every byte: on the wire, and within what its IP header says.
    fn cuts(&mut self) {
        let full = Header {
            checksum: true,
            key: Some(VNET),
            sequence: Some(1),
            ..Header::default()
        };
        for header in [Header::default(), full] {
            let stranger = self.stranger();
            let inner = sim::ethernet(ALL, stranger);
            let whole = tunnelled(0, &header, &inner);
            for len in 14..whole.len() {
                self.arrives(
                    format!("cut after {len} bytes"),
                    whole[..len].to_vec(),
                    &inner,
                );
            }
            let bytes = header.bytes(&[]);
            for len in 0..bytes.len() {
                let frame = envelope(0, &bytes[..len]);
                self.arrives(format!("GRE ends after {len} bytes"), frame, &inner);
            }
            for len in 0..inner.len() {
                let frame = tunnelled(0, &header, &inner[..len]);
                self.arrives(
                    format!("an inner frame of {len} bytes"),
                    frame,
                    &inner[..len],
                );
            }
        }
    }

    fn inner_frames(&mut self) {
        for peer in [0, 1] {
            for (what, inner) in self.frames() {
                let frame = tunnelled(peer, &Header::default(), &inner);
                self.arrives(format!("inner: {what}"), frame, &inner);
            }
        }
        for (outer, inner) in (0..4u8).flat_map(|outer| (0..4).map(move |inner| (outer, inner))) {
            let mut carried = packet(ALL, self.stranger());
            carried[15] = inner;
            sum_again(&mut carried);
            let mut frame = tunnelled(0, &Header::default(), &carried);
            frame[15] = outer;
            sum_again(&mut frame);
            self.arrives(
                format!("ECN {outer:02b} outside, {inner:02b} inside"),
                frame,
                &carried,
            );
        }
    }

    fn guests(&mut self) {
        for guest in ["g1", "g2"] {
            for (what, frame) in self.frames() {
                self.sent(format!("guest: {what}"), guest, frame);
            }
        }
        for destination in [A, FAR[0], ALL, UNKNOWN] {
            self.sent("in its own name", "g3", sim::ethernet(destination, HELD));
            let stranger = self.stranger();
            self.sent(
                "in another's name",
                "g3",
                sim::ethernet(destination, stranger),
            );
        }
        for ecn in 0..4 {
            let mut frame = packet(FAR[0], A);
            frame[15] = 46 << 2 | ecn;
            sum_again(&mut frame);
            self.sent(format!("guest: ECN {ecn:02b}"), "g1", frame);
        }
        for len in [14, 15, 59, 1472, 1473, 1514, 1515, 1518, 1519] {
            for destination in [B, FAR[0]] {
                let mut frame = sim::ethernet(destination, A);
                frame.resize(len, 0x5a);
                self.sent(format!("guest: {len} bytes"), "g1", frame);
            }
        }
    }

    /// What a switch that only switches has no opinion on.
    fn services(&mut self) {
        let (asked, asks) = (Ipv4Addr::new(192, 0, 2, 10), Ipv4Addr::new(192, 0, 2, 11));
        self.sent("ARP: an announcement", "g1", sim::arp(A, asked, asked));
        self.sent("ARP: a question about it", "g2", sim::arp(B, asks, asked));
        for (what, destination) in [("near", B), ("far", FAR[0])] {
            self.sent(
                format!("a SYN to {what}"),
                "g1",
                segment(destination, A, 0x02, 1460),
            );
            self.sent(
                format!("an ACK to {what}"),
                "g1",
                segment(destination, A, 0x10, 1460),
            );
            self.sent(
                format!("a modest SYN to {what}"),
                "g1",
                segment(destination, A, 0x02, 536),
            );
        }
        let syn = segment(A, FAR[0], 0x12, 1460);
        self.arrives(
            "a SYN that arrives",
            tunnelled(0, &Header::default(), &syn),
            &syn,
        );
        let offer = dhcp_offer(self.stranger());
        self.arrives(
            "a DHCP offer",
            tunnelled(0, &Header::default(), &offer),
            &offer,
        );
        let offer = dhcp_offer(self.stranger());
        self.sent("guest: a DHCP offer", "g1", offer);
        let router = router_advertisement(self.stranger());
        self.arrives(
            "a router",
            tunnelled(0, &Header::default(), &router),
            &router,
        );
        let router = router_advertisement(self.stranger());
        self.sent("guest: a router", "g1", router);
        for flags in [0x40, 0] {
            for (destination, len) in [(B, 1600), (FAR[0], 1458), (FAR[0], 1459), (FAR[0], 1500)] {
                let mut frame = packet(destination, A);
                frame.resize(14 + len, 0x5a);
                frame[16..18].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
                frame[20] = flags;
                frame[40..42].fill(0); // UDP without a checksum
                frame[38..40].copy_from_slice(&u16::try_from(len - 20).unwrap().to_be_bytes());
                sum_again(&mut frame);
                let df = if flags == 0 { "may" } else { "must not" };
                let what = format!("guest: {len} bytes of IPv4 that {df} be cut");
                self.sent(what, "g1", frame);
            }
        }
        let inner = sim::ethernet(ALL, self.stranger());
        self.arrives("GRE in UDP", in_udp(&Header::default(), &inner), &inner);
    }

    /// Frames of many kinds, each from a station of its own, with what they are.
    fn frames(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut frames = Vec::new();
        let group = [0x01, 0x00, 0x5e, 1, 2, 3];
        let group6 = [0x33, 0x33, 0, 0, 0, 1];
        let known = [A, B, HELD, FAR[0], FAR[1]];
        for destination in [ALL, UNKNOWN, group, group6].into_iter().chain(known) {
            let to = format!("to {}", crate::mac_text(destination));
            frames.push((to.clone(), sim::ethernet(destination, self.stranger())));
            frames.push((format!("IPv4 {to}"), packet(destination, self.stranger())));
            for (tag, name) in [
                (&[0x81, 0x00, 0x00, 0x05][..], "tagged"),
                (&[0x88, 0xa8, 0x00, 0x05], "S-tagged"),
                (
                    &[0x88, 0xa8, 0x00, 0x05, 0x81, 0x00, 0x00, 0x06],
                    "twice tagged",
                ),
                (&[0x81, 0x00, 0xe0, 0x00], "priority tagged"),
                (&[0x81, 0x00, 0x0f, 0xff], "tagged 4095"),
            ] {
                let mut frame = sim::ethernet(destination, self.stranger());
                frame.splice(12..12, tag.iter().copied());
                frames.push((format!("{name} {to}"), frame));
            }
        }
        for last in 0..=0x21 {
            let destination = [1, 0x80, 0xc2, 0, 0, last];
            let frame = sim::ethernet(destination, self.stranger());
            frames.push((format!("bridges' own {last:02x}"), frame));
        }
        for destination in [
            [0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcc],
            [0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd],
            [0x01, 0x00, 0x0c, 0xcd, 0xcd, 0xcd],
            [0x01, 0x00, 0x0c, 0x00, 0x00, 0x00],
            [0x00, 0xe0, 0x2b, 0x00, 0x00, 0x00],
        ] {
            let frame = sim::ethernet(destination, self.stranger());
            frames.push(("a maker's own".to_owned(), frame));
        }
        for source in [ALL, group, [0; 6]] {
            frames.push(("from no station".to_owned(), sim::ethernet(ALL, source)));
        }
        let stranger = self.stranger();
        frames.push(("to itself".to_owned(), sim::ethernet(stranger, stranger)));
        let target = Ipv4Addr::new(192, 0, 2, 77);
        let arp = sim::arp(self.stranger(), Ipv4Addr::new(192, 0, 2, 7), target);
        frames.push(("ARP".to_owned(), arp));
        let mut llc = sim::ethernet(ALL, self.stranger());
        llc[12..17].copy_from_slice(&[0, 46, 0x42, 0x42, 3]);
        frames.push(("802.3".to_owned(), llc));
        frames.push(("IGMP".to_owned(), igmp(self.stranger())));
        frames.push(("unfinished UDP".to_owned(), unfinished(self.stranger())));
        frames
    }

    /// A station that is heard elsewhere six times, and looked for each time.
    fn moves(&mut self) {
        let mover = self.stranger();
        let hello = sim::ethernet(ALL, mover);
        for (times, place) in [
            "g1", "g2", UNDERLAY, "g1", "g2", UNDERLAY, "g1", "g2", UNDERLAY,
        ]
        .iter()
        .enumerate()
        {
            if *place == UNDERLAY {
                let frame = tunnelled(0, &Header::default(), &hello);
                self.arrives("one that moves", frame, &hello);
            } else {
                self.sent("one that moves", place, hello.clone());
            }
            let often = if times < 8 { "" } else { " too often" };
            let what = format!("to one that moved{often}");
            self.sent(what, "g3", sim::ethernet(mover, HELD));
        }
    }

    /// Right packets of all kinds, in any order, between stations that are where they were.
    fn at_random(&mut self) {
        let stations = [A, B, FAR[0], FAR[1]];
        for _ in 0..600 {
            let destination = match self.chance.below(6) {
                4 => ALL,
                5 => UNKNOWN,
                known => stations[known],
            };
            let place = self.chance.below(4);
            let (source, enters) = (stations[place], ["g1", "g2", UNDERLAY, UNDERLAY][place]);
            let mut inner = match self.chance.below(2) {
                0 => sim::ethernet(destination, source),
                _ => packet(destination, source),
            };
            let room = self.chance.below(1400);
            inner.extend((0..room).map(|n| u8::try_from(n & 0xff).unwrap()));
            if enters == UNDERLAY {
                let header = Header {
                    checksum: self.chance.of_thousand(500),
                    sequence: self.chance.of_thousand(500).then_some(self.stations),
                    ..Header::default()
                };
                let frame = tunnelled(place - 2, &header, &inner);
                self.arrives("at random", frame, &inner);
            } else {
                self.sent("at random", enters, inner);
            }
        }
    }
}
