//! Where Greyhound does something else than Open vSwitch, and why.

use crate::Seen;
use crate::bytes::sum_again;
use crate::capture::{A, B, Case, GUESTS, HELD, MAC};
use judge::Output;

/// The largest inner packet over this underlay: 1,500 less IPv4, GRE with a key, and Ethernet.
const FITS: u16 = 1500 - 20 - 8 - 14;

/// One difference that is meant.
pub(crate) struct Choice {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Why it is right to differ.
    pub(crate) why: &'static str,
    /// Whether this frame, and what came of it, is what the choice is about.
    pub(crate) explains: fn(&Case, &Seen) -> bool,
}

/// Every choice. Of two that could explain the same difference one is wrong.
pub(crate) const CHOICES: &[Choice] = &[
    Choice {
        name: "outer options are skipped",
        why: "RFC 791 lets any packet have options, and a router on the way may have added them.",
        explains: |case, seen| {
            case.enters == "p0"
                && case.frame[14] > 0x45
                && delivered(case, seen)
                && seen.theirs.is_empty()
        },
    },
    Choice {
        name: "ignored bits are ignored",
        why: "RFC 2784 §2.3: bits 6 to 12 of the GRE header must be ignored on receipt.",
        explains: |case, seen| {
            let ignored = case
                .frame
                .get(34..36)
                .is_some_and(|flags| flags[0] & 3 != 0 || flags[1] & 0xf8 != 0);
            is_plain(case) && ignored && delivered(case, seen) && seen.theirs.is_empty()
        },
    },
    Choice {
        name: "the endpoint is an IP address",
        why: "What the network card hands over and IP addresses to us is ours; only Open vSwitch's \
              bridge also compares the Ethernet address.",
        explains: |case, seen| {
            is_plain(case)
                && case.frame[..6] != MAC
                && delivered(case, seen)
                && seen.theirs.is_empty()
        },
    },
    Choice {
        name: "the VLAN was looked at before",
        why: "The program that steers takes what comes in the underlay's VLAN, and the kernel gets \
              the rest; what it hands over, tagged or not, is ours.",
        explains: |case, seen| {
            case.is("a tagged underlay") && delivered(case, seen) && seen.theirs.is_empty()
        },
    },
    Choice {
        name: "who moves all the time is held",
        why: "Two stations with one address would move it with every frame of either; after five \
              moves in ten seconds, those back to where it was first left out, it stays where it \
              is for a while, and an event says so.",
        explains: |case, seen| {
            let to_one = seen.ours.len() == 1 && seen.theirs.len() == 1;
            case.is("to one that moved too often") && to_one && seen.ours[0].0 != seen.theirs[0].0
        },
    },
    Choice {
        name: "padding of the underlay is not the guest's",
        why: "RFC 894 pads short frames behind the IP packet; Open vSwitch hands the padding on.",
        explains: |case, seen| {
            let more = |(port, frame): &Output| (port.clone(), [frame, padding(case)].concat());
            let theirs: Vec<Output> = seen.ours.iter().map(more).collect();
            delivered(case, seen) && !padding(case).is_empty() && seen.theirs == theirs
        },
    },
    Choice {
        name: "one table for all VLANs",
        why: "A network is one broadcast domain whose guests may use tags as they like; a station \
              is where it was heard, whatever the tag. Open vSwitch floods what it heard untagged.",
        explains: |case, seen| {
            let carried = carried(case);
            let tagged = matches!(carried[12..14], [0x81, 0x00] | [0x88, 0xa8]);
            let some = seen.ours.iter().all(|output| seen.theirs.contains(output));
            // What we drop is for a station behind the way the frame came: the port, or any peer.
            tagged && carried[0] & 1 == 0 && seen.ours.len() < 2 && some
        },
    },
    Choice {
        name: "makers' own groups are groups",
        why: "IEEE 802.1Q reserves 01:80:c2:00:00:00 to 0f and nothing else; CDP, VTP and the like \
              between guests are their own affair.",
        explains: |case, seen| {
            let makers = [[0x01, 0x00, 0x0c], [0x00, 0xe0, 0x2b]];
            let to = &carried(case)[..3];
            makers.iter().any(|maker| to == maker)
                && !seen.ours.is_empty()
                && seen.theirs.is_empty()
        },
    },
    Choice {
        name: "nobody's frames go nowhere",
        why: "No station has a group's address or none (IEEE 802.3 §3.2.3): such a frame is forged.",
        explains: |case, seen| {
            let from = &carried(case)[6..12];
            (from[0] & 1 != 0 || from == [0; 6]) && seen.ours.is_empty()
        },
    },
    Choice {
        name: "a guest speaks for itself",
        why: "Port security is on by default; Open vSwitch has it in flows, if somebody writes them.",
        explains: |case, seen| {
            case.enters == "g3" && case.frame[6..12] != HELD && seen.ours.is_empty()
        },
    },
    Choice {
        name: "unfinished checksums are finished",
        why: "A guest leaves the sum of the pseudo-header for its card to finish, and there is no \
              card behind a tunnel.",
        explains: |case, seen| {
            let ports = |outputs: &[Output]| -> Vec<String> {
                outputs.iter().map(|(port, _)| port.clone()).collect()
            };
            case.is("guest: unfinished") && ports(&seen.ours) == ports(&seen.theirs)
        },
    },
    Choice {
        name: "fragments are put together",
        why: "A router may have cut what may be cut (RFC 791), and RFC 7588 §3.3 wants the end of the \
              tunnel to put it together.",
        explains: |case, seen| {
            case.is("the fragment that was missing")
                && delivered(case, seen)
                && seen.theirs.is_empty()
        },
    },
    Choice {
        name: "GRE in UDP is GRE",
        why: "RFC 8086; what comes is read by what its headers say. Open vSwitch has no such tunnel.",
        explains: |case, seen| {
            case.is("GRE in UDP") && delivered(case, seen) && seen.theirs.is_empty()
        },
    },
    Choice {
        name: "congestion goes out as it is",
        why: "RFC 6040 §4.1 copies CE to the outer header; Open vSwitch sends ECT(0), which was \
              RFC 3168's other way.",
        explains: |case, seen| case.is("guest: ECN 11") && seen.ours == with_ecn(&seen.theirs, 3),
    },
    Choice {
        name: "ECT(1) comes in as ECT(1)",
        why: "RFC 6040 figure 4: the outer codepoint may say more than the inner; Open vSwitch looks \
              for CE only.",
        explains: |case, seen| {
            case.is("ECN 01 outside, 10 inside") && seen.ours == with_ecn(&seen.theirs, 1)
        },
    },
    Choice {
        name: "ARP is answered where the answer is known",
        why: "A question that is flooded to every host is the price of every first packet; the \
              answer has been heard.",
        explains: |case, seen| {
            let [(port, answer)] = &seen.ours[..] else {
                return false;
            };
            if !case.is("ARP: a question") {
                return false;
            }
            let answers = answer[20..22] == [0, 2] && answer[28..32] == case.frame[38..42];
            port == case.enters && answers && answer[22..28] == A && seen.theirs.len() > 1
        },
    },
    Choice {
        name: "a SYN asks for what fits",
        why: "The way holds packets of 1,458 bytes, so a segment has 1,418; hosts that never hear of \
              it are black holes (RFC 2923).",
        explains: |case, seen| {
            let asks = |(_, frame): &Output| frame.ends_with(&(FITS - 40).to_be_bytes());
            case.is("a SYN")
                && seen.ours.iter().all(asks)
                && with_mss(&seen.ours, FITS - 40) == with_mss(&seen.theirs, FITS - 40)
        },
    },
    Choice {
        name: "guests serve no DHCP and are no routers",
        why: "One guest could take over all others; its program may allow it. What a peer's guest \
              says its own host has judged.",
        explains: |case, seen| {
            let says = case.is("guest: a DHCP offer") || case.is("guest: a router");
            says && seen.ours.is_empty() && seen.theirs.len() > 1
        },
    },
    Choice {
        name: "too big is answered",
        why: "The guest learns the size that fits (RFC 1191 §4) from its own switch; Open vSwitch \
              drops and says nothing.",
        explains: |case, seen| {
            let [(port, answer)] = &seen.ours[..] else {
                return false;
            };
            let too_big = case.is("guest: 1") && answer[23] == 1 && answer[34..36] == [3, 4];
            let to_sender = port == case.enters && answer[..6] == case.frame[6..12];
            let fits = if case.frame[..6] == B { 1500 } else { FITS };
            too_big && to_sender && answer[40..42] == fits.to_be_bytes() && seen.theirs.is_empty()
        },
    },
    Choice {
        name: "what may be cut is cut",
        why: "A guest that lets its packets be fragmented has asked for it (RFC 791), and they \
              arrive; Open vSwitch drops them.",
        explains: |case, seen| {
            if !case.what.ends_with("may be cut") || seen.ours.len() != 2 {
                return false;
            }
            // They lie in the order of their bytes: put them in that of their offsets.
            let inner =
                |(port, frame): &Output| frame[if port == "p0" { 42 } else { 0 }..].to_vec();
            let mut pieces: Vec<Vec<u8>> = seen.ours.iter().map(inner).collect();
            pieces.sort_by_key(|piece| [piece[20] & 0x1f, piece[21]]);
            let whole: Vec<u8> = pieces
                .iter()
                .flat_map(|piece| piece[34..].to_vec())
                .collect();
            whole == case.frame[34..] && seen.theirs.is_empty()
        },
    },
];

/// The same with this ECN in the first IPv4 header of each, and the checksum that goes with it.
fn with_ecn(outputs: &[Output], ecn: u8) -> Vec<Output> {
    let changed = outputs.iter().map(|(port, frame)| {
        let mut frame = frame.clone();
        frame[15] = frame[15] & !3 | ecn;
        sum_again(&mut frame);
        (port.clone(), frame)
    });
    changed.collect()
}

/// The same with this MSS in the option that ends each, and no checksum.
fn with_mss(outputs: &[Output], mss: u16) -> Vec<Output> {
    let changed = outputs.iter().map(|(port, frame)| {
        let (end, mut frame) = (frame.len(), frame.clone());
        frame[end - 8..end - 6].fill(0);
        frame[end - 2..].copy_from_slice(&mss.to_be_bytes());
        (port.clone(), frame)
    });
    changed.collect()
}

/// The guest's frame: what the tunnel packet carries, or what was sent.
fn carried(case: &Case) -> &[u8] {
    match case.enters {
        "p0" if case.inner.len() >= 14 => &case.inner,
        "p0" => &[0; 14],
        _ => &case.frame,
    }
}

/// Whether it is a whole GRE packet with an IPv4 header of 20 bytes.
fn is_plain(case: &Case) -> bool {
    let whole = |frame: &[u8]| {
        let fragment = u16::from_be_bytes([frame[20], frame[21]]) & 0x3fff;
        frame[12..15] == [0x08, 0x00, 0x45] && fragment == 0 && frame[23] == 47
    };
    case.enters == "p0" && case.frame.len() >= 36 && whole(&case.frame)
}

/// What is behind the end of the IPv4 packet.
fn padding(case: &Case) -> &[u8] {
    let end = 14 + usize::from(u16::from_be_bytes([case.frame[16], case.frame[17]]));
    let behind = case.frame.get(end..).filter(|_| is_plain(case));
    behind.unwrap_or_default()
}

/// Whether we gave every guest exactly what the packet carries.
fn delivered(case: &Case, seen: &Seen) -> bool {
    let all = GUESTS.map(|(name, _)| (name.to_owned(), case.inner.clone()));
    seen.ours == all
}
