//! Every kind of tunnel packet, both ways, before two judges that we did not write.
//!
//! A cell is a key, a checksum or none, a sequence number or none, an IP version, what carries GRE,
//! and a [`Variant`] of TTL, DSCP, ECN and DF. In each cell what Greyhound sends is read by scapy,
//! field by field, and decapsulated by Open vSwitch; what scapy and Open vSwitch send is
//! decapsulated by Greyhound. [`cells`] has the axes.
//!
//! Open vSwitch has no GRE in UDP, so those cells are scapy's alone. With checksum and sequence
//! number together, 3.1 sums before it writes the number: what it sends then has a wrong checksum
//! and must be dropped, so there scapy builds, and Open vSwitch only reads.

#![allow(clippy::unwrap_used)] // a judge that does not answer is no judge

mod cells;
#[path = "../greyhound/mod.rs"]
mod greyhound;

use cells::{Cell, Key, all, frame};
use greyhound::{Greyhound, UNDERLAY, mac_text};
use judge::{Dummy, Gre, Ip, Keyed, Outer, Output, Scapy, Seen, Setup, Summed, Tunnel, Udp};
use judge::{Written, hex};
use serde_json::json;
use std::net::IpAddr;

/// A host on the underlay: its addresses of both versions, and its MAC.
type End = ([&'static str; 2], [u8; 6]);

const HERE: End = (["10.0.0.1", "fd00::1"], [2, 1, 0, 0, 0, 1]);
const THERE: End = (["10.0.0.2", "fd00::2"], [2, 1, 0, 0, 0, 2]);

/// 5 keys, 2 checksums, 2 sequences, 2 IP versions, 2 transports, 12 variants.
const CELLS: usize = 5 * 2 * 2 * 2 * 2 * 12;

#[test]
fn what_greyhound_sends_is_what_was_programmed_and_open_vswitch_takes_it() {
    let mut scapy = Scapy::start().unwrap();
    let mut ours = greyhound();
    let mut theirs = Peer::start();
    let (mut read, mut taken, mut failures) = (0, 0, Failures::default());
    for cell in all() {
        program(&mut ours, &cell);
        let inner = frame(&cell.variant);
        let mut before = None;
        for _ in 0..2 {
            let left = ours.feed(&cell.key.port(), &inner);
            let [(port, packet)] = &left[..] else {
                failures.add(&cell, "one packet leaves", &inner, &left);
                continue;
            };
            assert_eq!(port, UNDERLAY);
            let seen = scapy.read(packet).unwrap();
            let mut wrong = differences(&cell, &seen, &inner);
            wrong.extend(
                before
                    .iter()
                    .flat_map(|before| breaks(&cell, &seen, before)),
            );
            for wrong in wrong {
                failures.add(&cell, &wrong, &inner, &left);
            }
            before = Some(seen);
            read += 1;
            if !cell.udp {
                theirs.be(&cell, false);
                let got = theirs.switch.underlay(packet).unwrap();
                if got != [("g1".to_owned(), inner.clone())] {
                    failures.add(
                        &cell,
                        &format!("Open vSwitch makes {}", shown(&got)),
                        &inner,
                        &left,
                    );
                }
                taken += 1;
            }
        }
    }
    failures.none();
    assert_eq!((read, taken), (2 * CELLS, CELLS), "packets read, and taken");
}

#[test]
fn what_scapy_and_open_vswitch_send_greyhound_takes() {
    let mut scapy = Scapy::start().unwrap();
    let mut ours = greyhound();
    let mut theirs = Peer::start();
    let (mut built, mut sent, mut failures) = (0, 0, Failures::default());
    for cell in all() {
        program(&mut ours, &cell);
        let inner = frame(&cell.variant);
        let packet = scapy.build(&outer(&cell, &inner, THERE)).unwrap();
        let mut take = |who: &str, packet: &[u8]| {
            let got = ours.feed(UNDERLAY, packet);
            if got != [(cell.key.port(), inner.clone())] {
                let moved = ours.moved();
                let what = format!("what {who} sent is {}, and {moved:?}", shown(&got));
                failures.add(&cell, &what, &inner, &[(who.to_owned(), packet.to_vec())]);
            }
        };
        take("scapy", &packet);
        built += 1;
        if !(cell.udp || cell.checksum && cell.sequence) {
            theirs.be(&cell, true);
            let left = theirs.switch.guest("g1", &inner).unwrap();
            let [(_, packet)] = &left[..] else {
                panic!("Open vSwitch sends {}", shown(&left));
            };
            take("Open vSwitch", packet);
            sent += 1;
        }
    }
    failures.none();
    // Half of the cells are GRE in UDP, and a quarter of the others both summed and numbered.
    assert_eq!(
        (built, sent),
        (CELLS, CELLS * 3 / 8),
        "packets built, and sent"
    );
}

#[test]
fn the_judges_take_what_the_other_sends_but_for_the_sum_we_know_of() {
    let mut scapy = Scapy::start().unwrap();
    let mut theirs = Peer::start();
    let mut cells = 0;
    for cell in all().into_iter().filter(|cell| !cell.udp) {
        theirs.be(&cell, true);
        let inner = frame(&cell.variant);
        let packet = scapy.build(&outer(&cell, &inner, HERE)).unwrap();
        let got = theirs.switch.underlay(&packet).unwrap();
        assert_eq!(
            got,
            [("g1".to_owned(), inner.clone())],
            "{cell}: {}",
            hex(&packet)
        );

        let left = theirs.switch.guest("g1", &inner).unwrap();
        let seen = scapy.read(&left[0].1).unwrap();
        let gre = seen.gre.unwrap();
        let expected = match (cell.checksum, cell.sequence) {
            (false, _) => Summed::None,
            // The number 0 adds nothing to a sum.
            (true, true) if gre.sequence != Some(0) => Summed::Wrong,
            (true, _) => Summed::Right,
        };
        assert_eq!(
            (gre.key, gre.checksum),
            (cell.key.value(), expected),
            "{cell}"
        );
        cells += 1;
    }
    assert_eq!(cells, CELLS / 2);
}

/// A host with one network a key, and a guest in each.
fn greyhound() -> Greyhound {
    let mut host = Greyhound::new(&setup(HERE, THERE));
    for key in Key::ALL {
        let (network, vnet) = (format!("net{}", key.port()), key.vnet());
        host.put(json!({ "kind": "network", "name": network, "vnet": vnet }));
        host.port(&key.port(), vnet, "any");
    }
    host
}

/// The tunnel of `cell`, in place of the one before in the same network.
fn program(host: &mut Greyhound, cell: &Cell) {
    // An unkeyed tunnel and keyed ones to the same peer are different tunnels: all are there at once.
    host.put(json!({
        "kind": "tunnel",
        "name": format!("t{}", cell.key.port()),
        "vnet": cell.key.vnet(),
        "remote": cell.ends().1,
        "keyed": cell.key.value().is_some(),
        "checksum": cell.checksum,
        "sequence": if cell.sequence { "sent" } else { "none" },
        "transport": if cell.udp { "udp" } else { "gre" },
        "ttl": cell.variant.ttl,
        "dscp": match cell.variant.dscp { None => json!("uniform"), Some(dscp) => json!(dscp) },
        "df": cell.variant.df,
    }));
}

/// Open vSwitch on the other host.
struct Peer {
    switch: Dummy,
    tunnel: String,
    now: Option<Tunnel>,
}

impl Peer {
    fn start() -> Self {
        let mut switch = Dummy::start(&setup(THERE, HERE)).unwrap();
        let first = Tunnel::new("10.0.0.1".parse().unwrap(), Keyed::No);
        let tunnel = switch.tunnel(&first).unwrap();
        Self {
            switch,
            tunnel,
            now: None,
        }
    }

    /// Makes its tunnel the other end of `cell`; what it need not say when it only reads is left
    /// as it is.
    fn be(&mut self, cell: &Cell, sends: bool) {
        let mut wanted = Tunnel::new(cell.ends().0, cell.key.keyed());
        if sends {
            wanted.checksum = cell.checksum;
            wanted.sequence = cell.sequence;
            wanted.dont_fragment = cell.variant.sets_df();
            wanted.tos = cell.variant.dscp.map(|dscp| dscp << 2);
            wanted.ttl = cell.variant.ttl;
        }
        if self.now.as_ref() != Some(&wanted) {
            self.switch.change(&self.tunnel, &wanted).unwrap();
            self.now = Some(wanted);
        }
    }
}

/// One end of the underlay, that knows the other.
fn setup((own, mac): End, (others, other): End) -> Setup {
    let [v4, v6] = own.map(|text| text.parse::<IpAddr>().unwrap());
    let others = others.map(|text| text.parse::<IpAddr>().unwrap());
    Setup {
        mac,
        addresses: vec![(v4, 24), (v6, 64)],
        neighbours: others.map(|address| (address, other)).to_vec(),
        guests: vec!["g1".to_owned()],
        mtu: 1600,
    }
}

/// What the host at `end` sends in `cell` when it carries `inner`.
fn outer(cell: &Cell, inner: &[u8], end: End) -> Outer {
    let (here, there) = cell.ends();
    let (from, to) = if end == HERE {
        (here, there)
    } else {
        (there, here)
    };
    let mut ip = Ip::new(from, to);
    ip.tos = cell.variant.tos();
    ip.ttl = cell.variant.ttl;
    ip.dont_fragment = cell.variant.sets_df();
    let gre = Gre {
        checksum: if cell.checksum {
            Written::Right
        } else {
            Written::None
        },
        sequence: cell.sequence.then_some(u32::MAX),
        ..Gre::new(cell.key.value())
    };
    let mut outer = Outer::new(ip, gre, inner);
    outer.source = mac_text(end.1);
    outer.destination = mac_text(if end == HERE { THERE.1 } else { HERE.1 });
    outer.udp = cell.udp.then_some(Udp {
        source: 50_000,
        destination: 4754,
        checksum: true,
    });
    outer
}

/// Each field of a packet of `cell` that is not as programmed.
fn differences(cell: &Cell, seen: &Seen, inner: &[u8]) -> Vec<String> {
    let (v4, variant) = (!cell.v6, &cell.variant);
    let (from, to) = cell.ends();
    let mut wrong = Vec::new();
    let mut is = |what: &str, holds: bool| {
        if !holds {
            wrong.push(format!("{what} is right"));
        }
    };
    is(
        "the Ethernet header",
        (&seen.source, &seen.destination) == (&mac_text(HERE.1), &mac_text(THERE.1)),
    );
    is("no tag", seen.vlans.is_empty());
    is(
        "the addresses",
        (seen.ip.source, seen.ip.destination) == (from, to),
    );
    is("TOS", seen.ip.tos == variant.tos());
    is("TTL", seen.ip.ttl == variant.ttl);
    is("DF", seen.ip.dont_fragment == (variant.sets_df() || !v4));
    is("a whole packet", !seen.ip.more && seen.ip.offset == 0);
    is(
        "no options",
        seen.ip.options.is_empty() && seen.ip.extensions.is_empty(),
    );
    is("the flow label", (seen.ip.flow_label != 0) != v4);
    is(
        "the header's checksum",
        seen.ip_checksum == if v4 { Summed::Right } else { Summed::None },
    );
    is("the length", seen.trailing == 0);
    is("UDP", seen.udp.is_some() == cell.udp);
    if let Some(udp) = &seen.udp {
        // RFC 8086 §3.2: ephemeral ports; §5 and §6: IPv4 may go without a checksum.
        is("the source port", udp.source >= 49_152);
        is("the destination port", udp.destination == 4754);
        let unsummed = v4 && udp.checksum == Summed::None;
        is("UDP's checksum", udp.checksum == Summed::Right || unsummed);
    }
    let Some(gre) = &seen.gre else {
        is("GRE", false);
        return wrong;
    };
    is(
        "GRE's checksum",
        gre.checksum
            == if cell.checksum {
                Summed::Right
            } else {
                Summed::None
            },
    );
    is("the key", gre.key == cell.key.value());
    is(
        "the sequence number",
        gre.sequence.is_some() == cell.sequence,
    );
    is("the protocol", gre.protocol == 0x6558);
    is(
        "version and flags",
        (gre.version, gre.routing, gre.reserved) == (0, false, 0),
    );
    is("the inner frame", seen.inner == hex(inner));
    wrong
}

/// What of a packet of `cell` does not go on from the one before: RFC 2890 §2.2 counts up by one;
/// RFC 6864 §4.1 wants what may be fragmented told apart; RFC 6437 §3 and RFC 8086 §3.2 want the
/// packets of a flow to stay together.
fn breaks(cell: &Cell, seen: &Seen, before: &Seen) -> Vec<String> {
    let number = |seen: &Seen| seen.gre.as_ref().and_then(|gre| gre.sequence);
    let port = |seen: &Seen| seen.udp.as_ref().map(|udp| udp.source);
    let next = number(before).map(|last| last.wrapping_add(1));
    let told_apart = cell.v6 || cell.variant.sets_df() || seen.ip.id != before.ip.id;
    let facts = [
        ("the next number", number(seen) == next),
        ("the identification", told_apart),
        ("the same label", seen.ip.flow_label == before.ip.flow_label),
        ("the same source port", port(seen) == port(before)),
    ];
    let wrong = facts.iter().filter(|(_, holds)| !holds);
    wrong.map(|(what, _)| format!("{what} is right")).collect()
}

/// What went wrong, and where.
#[derive(Default)]
struct Failures {
    said: Vec<String>,
}

impl Failures {
    fn add(&mut self, cell: &Cell, what: &str, inner: &[u8], left: &[Output]) {
        let (inner, left) = (hex(inner), shown(left));
        self.said.push(format!(
            "{cell}: not so: {what}\n  inner {inner}\n  outer {left}"
        ));
    }

    fn none(&self) {
        let first = self
            .said
            .iter()
            .take(12)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n");
        assert!(
            self.said.is_empty(),
            "{} failures, the first:\n{first}",
            self.said.len()
        );
    }
}

fn shown(outputs: &[Output]) -> String {
    let outputs = outputs
        .iter()
        .map(|(port, frame)| format!("{port}: {}", hex(frame)));
    format!("[{}]", outputs.collect::<Vec<_>>().join(", "))
}
