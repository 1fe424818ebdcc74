//! Any bytes as any header: read or refused, never a panic, and never more than there is. What was
//! read can be written, changed and cut, and is then read as it should be.

mod changed;
mod said;

use etherparse::checksum::Sum16BitWords;
use etherparse::{Ethernet2HeaderSlice, Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice};
use switch::{Headers, Marks};
use wire::l4::{Finding, Icmp, Tcp, Udp, complete, finding};
use wire::{
    EtherType, Ethernet, EthernetRepr, Gre, GreRepr, Ipv4, Ipv4Repr, Ipv6, ParseError, Protocol,
    checksum, ethernet,
};

/// Reads `bytes` as each format, and as a whole overlay packet.
pub fn check(bytes: &[u8]) {
    sums(bytes);
    ethernet_frame(bytes);
    ipv4_packet(bytes);
    ipv6_packet(bytes);
    gre_packet(bytes);
    inner_headers(bytes);
    said::arp(bytes);
    said::too_big_v4(bytes);
    changed::clamped(bytes);
    changed::fragment_header(bytes);
    changed::marks(bytes);
    changed::flow(bytes);
    changed::datagram(bytes);
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMP] {
        segment(protocol, bytes);
    }
}

/// `part` is a piece of `whole`; says where in it, in bytes.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    let (outer, inner) = (whole.as_ptr_range(), part.as_ptr_range());
    assert!(
        outer.start <= inner.start && inner.end <= outer.end,
        "a payload lies outside of its packet"
    );
    inner.start.addr() - outer.start.addr()
}

fn judged_sum(bytes: &[u8]) -> u16 {
    let sum = Sum16BitWords::new().add_slice(bytes);
    !sum.ones_complement().to_be()
}

fn sums(bytes: &[u8]) {
    assert_eq!(checksum::sum(bytes), judged_sum(bytes));
    let (first, rest) = bytes.split_at(bytes.len() / 4 * 2);
    let parts = checksum::add(checksum::sum(first), checksum::sum(rest));
    assert_eq!(parts, checksum::sum(bytes), "the sum of parts is another");
}

fn ethernet_frame(bytes: &[u8]) {
    let judged = Ethernet2HeaderSlice::from_slice(bytes);
    let Ok((view, payload)) = Ethernet::parse(bytes) else {
        assert!(judged.is_err());
        return;
    };
    let judged = judged.expect("we read it");
    assert_eq!(view.source(), judged.source());
    assert_eq!(view.destination(), judged.destination());
    assert_eq!(view.ethertype().0, judged.ether_type().0);
    let repr = EthernetRepr {
        destination: view.destination(),
        source: view.source(),
        ethertype: view.ethertype(),
    };
    assert_eq!(repr.emit()[..], bytes[..offset(bytes, payload)]);

    if let Ok((ethertype, behind)) = ethernet::payload_behind_tags(view.ethertype(), payload) {
        offset(payload, behind);
        match ethertype {
            EtherType::IPV4 => ipv4_packet(behind),
            EtherType::IPV6 => ipv6_packet(behind),
            EtherType::ARP => said::arp(behind),
            _ => {}
        }
    }
}

fn ipv4_packet(bytes: &[u8]) {
    let judged = Ipv4HeaderSlice::from_slice(bytes).ok().filter(|header| {
        let lengths = header.slice().len()..=bytes.len();
        lengths.contains(&usize::from(header.total_len())) && judged_sum(header.slice()) == 0xffff
    });
    let Ok((view, payload)) = Ipv4::parse(bytes) else {
        assert!(judged.is_none(), "the judge reads {judged:?}");
        return;
    };
    let judged = judged.expect("we read it");
    assert_eq!(view.header_len(), offset(bytes, payload));
    assert_eq!(
        view.header_len() + payload.len(),
        usize::from(view.total_len())
    );
    assert_eq!(view.options(), judged.options());
    assert_eq!(view.source(), judged.source_addr());
    assert_eq!(view.destination(), judged.destination_addr());
    assert_eq!(view.is_fragment(), judged.is_fragmenting_payload());
    assert_eq!(
        view.fragment_offset(),
        judged.fragments_offset().value() * 8
    );

    let cuts = [0, view.header_len() - 1, usize::from(view.total_len()) - 1];
    for cut in cuts {
        assert_eq!(
            Ipv4::parse(&bytes[..cut]),
            Err(ParseError::Truncated),
            "cut to {cut}"
        );
    }
    ipv4_again(&view, payload);
    let packet = &bytes[..usize::from(view.total_len())];
    changed::pieces(packet, &view, payload);
    changed::marked_v4(packet, &view);
    said::answer_v4(packet, payload);
    if view.protocol() == Protocol::ICMP {
        said::too_big_v4(payload);
    }
    if !view.is_fragment() {
        match view.protocol() {
            Protocol::GRE => gre_packet(payload),
            protocol => segment(protocol, payload),
        }
    }
}

/// What was read can be written, and read again.
fn ipv4_again(view: &Ipv4<'_>, payload: &[u8]) {
    let repr = Ipv4Repr {
        source: view.source(),
        destination: view.destination(),
        protocol: view.protocol(),
        ttl: view.ttl(),
        tos: view.tos(),
        identification: view.identification(),
        dont_fragment: view.dont_fragment(),
        payload_len: u16::try_from(payload.len()).expect("16 bits of length"),
    };
    let mut again = repr.emit().to_vec();
    again.extend(payload);
    let (second, behind) = Ipv4::parse(&again).expect("we wrote it");
    assert_eq!(behind, payload);
    assert_eq!(second.source(), view.source());
    assert_eq!(
        (second.protocol(), second.ttl()),
        (view.protocol(), view.ttl())
    );

    // A hop taken off by the incremental way is the one that is summed anew.
    if let Some(ttl) = repr.ttl.checked_sub(1) {
        let word = |ttl: u8| u16::from_be_bytes([ttl, repr.protocol.0]);
        let updated = checksum::updated(second.checksum(), word(repr.ttl), word(ttl));
        let emitted = Ipv4Repr { ttl, ..repr }.emit();
        assert_eq!(emitted[10..12], updated.to_be_bytes());
    }
}

fn ipv6_packet(bytes: &[u8]) {
    let Ok((view, payload)) = Ipv6::parse(bytes) else {
        return;
    };
    let judged = Ipv6HeaderSlice::from_slice(bytes).expect("we read it");
    assert_eq!(view.source(), judged.source_addr());
    assert_eq!(view.destination(), judged.destination_addr());
    assert_eq!(view.flow_label(), judged.flow_label().value());
    assert_eq!(
        (offset(bytes, payload), payload.len()),
        (40, view.payload_len().into())
    );
    let packet = &bytes[..40 + payload.len()];
    changed::marked_v6(packet, view);
    said::answer_v6(packet);
    let Ok(upper) = view.upper_layer(payload) else {
        return;
    };
    assert_eq!(
        offset(payload, upper.bytes) % 8,
        0,
        "extension headers come in eights"
    );
    assert!(upper.fragment.is_none() || upper.bytes.len() + 8 <= payload.len());
    said::discovery(view, upper.bytes);
    said::too_big_v6(view, upper.bytes);
    if upper.fragment.is_none() {
        match upper.protocol {
            Protocol::GRE => gre_packet(upper.bytes),
            protocol => segment(protocol, upper.bytes),
        }
    }
}

/// What the switch finds of a guest's headers lies in the frame, and is what this crate's views
/// say.
fn inner_headers(bytes: &[u8]) {
    let found = Headers::of(bytes);
    let (packet, upper) = (found.packet(bytes), found.segment(bytes));
    for part in [packet, upper].into_iter().filter(|part| !part.is_empty()) {
        offset(bytes, part);
    }
    if found.marks.any(Marks::IPV4)
        && let Ok((view, payload)) = Ipv4::parse(packet)
    {
        assert_eq!((packet.len(), upper), (view.total_len().into(), payload));
        assert_eq!((found.tos, found.protocol), (view.tos(), view.protocol().0));
        assert_eq!(found.marks.any(Marks::FRAGMENT), view.is_fragment());
    }
    if found.marks.any(Marks::IPV6)
        && let Ok((view, payload)) = Ipv6::parse(packet)
        && let Ok(judged) = view.upper_layer(payload)
    {
        assert_eq!((upper, found.protocol), (judged.bytes, judged.protocol.0));
        assert_eq!(found.tos, view.traffic_class());
    }
}

fn gre_packet(bytes: &[u8]) {
    let Ok((view, payload)) = Gre::parse(bytes) else {
        return;
    };
    assert_eq!(view.header_len(), offset(bytes, payload));
    assert_eq!(view.header_len() + payload.len(), bytes.len());
    assert!(!view.is_summed() || checksum::holds(bytes));
    for cut in 0..view.header_len() {
        assert_eq!(
            Gre::parse(&bytes[..cut]),
            Err(ParseError::Truncated),
            "cut to {cut}"
        );
    }
    let repr = GreRepr {
        key: view.key(),
        checksum: view.is_summed(),
        sequence: view.sequence(),
    };
    assert_eq!(repr.len(), view.header_len());
    let mut again = [&repr.emit()[..repr.len()], payload].concat();
    wire::gre::complete(&mut again);
    let (second, behind) = Gre::parse(&again).expect("we wrote it");
    let fields = |gre: &Gre<'_>| (gre.key(), gre.is_summed(), gre.sequence());
    assert_eq!((fields(&second), behind), (fields(&view), payload));
    if view.protocol() == EtherType::BRIDGED && payload.len() < bytes.len() {
        ethernet_frame(payload);
    }
}

fn segment(protocol: Protocol, bytes: &[u8]) {
    match protocol {
        Protocol::TCP => {
            let ours = Tcp::parse(bytes);
            assert_eq!(ours.is_ok(), TcpHeaderSlice::from_slice(bytes).is_ok());
            ours.map(|(_, payload)| offset(bytes, payload)).ok();
        }
        Protocol::UDP => {
            Udp::parse(bytes)
                .map(|(_, payload)| offset(bytes, payload))
                .ok();
        }
        _ => {
            Icmp::parse(bytes)
                .map(|(_, payload)| offset(bytes, payload))
                .ok();
        }
    }
    // Any pseudo-header will do: take what would make the checksum an unfinished one.
    let Some(field) = protocol.checksum_at().and_then(|at| bytes.get(at..at + 2)) else {
        return;
    };
    let pseudo = u16::from_be_bytes([field[0], field[1]]);
    if finding(protocol, pseudo, bytes) == Ok(Finding::Unfinished) {
        let mut finished = bytes.to_vec();
        complete(protocol, &mut finished);
        assert_eq!(finding(protocol, pseudo, &finished), Ok(Finding::Holds));
    }
}
