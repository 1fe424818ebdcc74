//! What is changed on the way, or cut, or told of a packet: segment sizes, fragments, marks, flows.

use wire::ecn::{self, Ecn};
use wire::fragment::{FragmentRepr, Pieces, Uncut};
use wire::ipv6::Ipv6Repr;
use wire::{Ipv4, Ipv6, Protocol, UdpRepr, checksum, flow, mss};

/// `bytes` as a TCP segment whose largest segment is lowered: the checksum still says of it what
/// it said before, and nothing else changes.
pub(super) fn clamped(bytes: &[u8]) {
    let max = bytes
        .first_chunk()
        .map_or(536, |max| u16::from_be_bytes(*max));
    let mut segment = bytes.to_vec();
    let Some(said) = mss::clamp(&mut segment, max) else {
        assert_eq!(segment, bytes, "nothing was to change");
        return;
    };
    assert!(said > max);
    assert_eq!(mss::clamp(&mut segment, max), None, "one is still above");
    let pseudo = !checksum::sum(bytes); // with it, the checksum holds
    let sum = checksum::add(pseudo, checksum::sum(&segment));
    assert_eq!(sum, 0xffff, "a checksum that held does not any more");
    let header_len = usize::from(bytes[12] >> 4) * 4;
    assert_eq!(segment[header_len..], bytes[header_len..]);
    assert_eq!(segment[..16], bytes[..16]);
}

/// The pieces of `packet`, IPv4 that was read: each fits, and together they are the packet.
pub(super) fn pieces(packet: &[u8], view: &Ipv4<'_>, payload: &[u8]) {
    let from_input = usize::from(view.identification());
    for mtu in [28, 68, 300, 576, 1400, from_input] {
        let too_long = usize::from(view.total_len()) > mtu;
        match Pieces::new(packet, mtu) {
            Ok(pieces) => {
                assert!(!too_long || !view.dont_fragment(), "its sender forbids it");
                together(packet, view, payload, pieces, mtu);
            }
            Err(Uncut::Forbidden) => assert!(too_long && view.dont_fragment()),
            Err(Uncut::NoRoom) => assert!(too_long && mtu < view.header_len() + 8),
            Err(Uncut::Unread(_)) => {}
        }
    }
}

fn together(packet: &[u8], view: &Ipv4<'_>, payload: &[u8], pieces: Pieces, mtu: usize) {
    let mut whole: Vec<u8> = Vec::new();
    let mut more = true;
    let mut count = 0;
    for piece in pieces {
        count += 1;
        assert!(more || view.more_fragments(), "a piece behind the last");
        let bytes = [piece.header(), &packet[piece.payload()]].concat();
        assert_eq!(bytes.len(), piece.total_len());
        assert!(bytes.len() <= mtu.max(usize::from(view.total_len())));
        let (part, behind) = Ipv4::parse(&bytes).expect("we wrote it");
        let at = usize::from(part.fragment_offset()) - usize::from(view.fragment_offset());
        assert_eq!(at, whole.len(), "a gap, or an overlap");
        let of = |ip: &Ipv4<'_>| (ip.identification(), ip.source(), ip.destination());
        assert_eq!(of(&part), of(view));
        assert_eq!((part.protocol(), part.tos()), (view.protocol(), view.tos()));
        whole.extend(behind);
        more = part.more_fragments();
        assert!(!more || behind.len() % 8 == 0 || at + behind.len() == payload.len());
        assert!(
            count == 1 || bytes.len() <= mtu,
            "{} bytes of {mtu}",
            bytes.len()
        );
    }
    assert_eq!(whole, payload);
    assert_eq!(more, view.more_fragments());
}

/// The fragment header of IPv6, written and read.
pub(super) fn fragment_header(bytes: &[u8]) {
    let Some(&[next, high, low, a, b, c, d]) = bytes.first_chunk() else {
        return;
    };
    let repr = FragmentRepr {
        next: Protocol(next),
        offset: u16::from_be_bytes([high, low]) & 0xfff8,
        more: low & 1 != 0,
        identification: u32::from_be_bytes([a, b, c, d]),
    };
    let header = Ipv6Repr {
        source: 1.into(),
        destination: 2.into(),
        next: Protocol::FRAGMENT,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        payload_len: 8 + 24,
    };
    let packet = [&header.emit()[..], &repr.emit(), &[0; 24]].concat();
    let (ip, payload) = Ipv6::parse(&packet).expect("we wrote it");
    let Ok(upper) = ip.upper_layer(payload) else {
        return; // what is named next is another extension header, and is not there
    };
    let read = upper.fragment.expect("we wrote it");
    if Protocol(next) != Protocol::FRAGMENT || read.offset > 0 {
        assert_eq!((read.offset, read.more), (repr.offset, repr.more));
        assert_eq!(read.identification, repr.identification);
    }
}

/// The type of service of `header`, IPv4 that was read, written anew: its checksum still holds.
pub(super) fn marked_v4(header: &[u8], view: &Ipv4<'_>) {
    let mut packet = header.to_vec();
    for tos in [0, 1, 0xb8 | 3, !view.tos()] {
        ecn::set_tos_v4(&mut packet, tos);
        let (read, _) = Ipv4::parse(&packet).expect("its checksum holds");
        assert_eq!((read.tos(), read.ttl()), (tos, view.ttl()));
    }
    ecn::set_tos_v4(&mut packet, view.tos());
    let sums = [&packet[10..12], &header[10..12]];
    assert!(
        sums[0] == sums[1]
            || sums
                .iter()
                .all(|sum| [[0, 0], [0xff; 2]].iter().any(|z| z == sum))
    );
}

/// The same, of IPv6, which has none.
pub(super) fn marked_v6(packet: &[u8], view: Ipv6<'_>) {
    let mut again = packet.to_vec();
    ecn::set_traffic_class_v6(&mut again, !view.traffic_class());
    let (read, _) = Ipv6::parse(&again).expect("it was read before");
    assert_eq!(read.traffic_class(), !view.traffic_class());
    assert_eq!(read.flow_label(), view.flow_label());
    ecn::set_traffic_class_v6(&mut again, view.traffic_class());
    assert_eq!(again, packet);
}

/// What RFC 6040 §4.2 says in words of every combination of marks.
pub(super) fn marks(bytes: &[u8]) {
    let Some(&[inner, outer]) = bytes.first_chunk() else {
        return;
    };
    let (inner, outer) = (Ecn::from_tos(inner), Ecn::from_tos(outer));
    assert_eq!(
        ecn::decapsulated(inner, ecn::encapsulated(inner)),
        Some(inner)
    );
    match ecn::decapsulated(inner, outer) {
        None => assert_eq!((inner, outer), (Ecn::NotEct, Ecn::Ce)),
        Some(out) => {
            assert_eq!(
                out == Ecn::NotEct,
                inner == Ecn::NotEct,
                "who understands marks"
            );
            assert_eq!(
                out == Ecn::Ce,
                inner == Ecn::Ce || outer == Ecn::Ce,
                "a mark"
            );
        }
    }
}

/// The flow of `frame`: no hop and no payload changes it.
pub(super) fn flow(frame: &[u8]) {
    let hash = flow::hash(frame);
    if frame.len() >= 34 && frame[12..14] == [0x08, 0x00] && frame[14] & 15 >= 5 {
        let mut later = frame.to_vec();
        later[22] ^= 0xff; // time to live
        later[15] ^= 0xff; // type of service
        assert_eq!(flow::hash(&later), hash);
    }
}

/// UDP's header, written and read.
pub(super) fn datagram(bytes: &[u8]) {
    let Some((&[a, b, c, d], payload)) = bytes.split_first_chunk() else {
        return;
    };
    let Ok(len) = u16::try_from(UdpRepr::LEN + payload.len()) else {
        return;
    };
    let mut repr = UdpRepr {
        source_port: u16::from_be_bytes([a, b]),
        destination_port: u16::from_be_bytes([c, d]),
        len,
        checksum: 0,
    };
    repr.checksum = repr.checksum(0x1234, payload);
    let whole = [&repr.emit()[..], payload].concat();
    let (read, behind) = wire::Udp::parse(&whole).expect("we wrote it");
    assert_eq!(
        (read.source_port(), read.destination_port()),
        (repr.source_port, repr.destination_port)
    );
    assert_eq!((read.checksum(), behind), (repr.checksum, payload));
    assert_eq!(checksum::add(0x1234, checksum::sum(&whole)), 0xffff);
}
