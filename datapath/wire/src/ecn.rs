//! ECN: what a router on the way says of congestion, carried in and out of a tunnel.
//!
//! Sources: RFC 3168 §5 (the two bits), RFC 6040 §4 (tunnels), RFC 1624 (IPv4's header checksum).
//! RFC 9601 §4 says that RFC 6040 is meant for GRE too.

use crate::{checksum, ipv4::Ipv4, ipv6::Ipv6};

/// The two low bits of the type of service byte, or of the traffic class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// The sender does not understand marks: its packets are dropped instead.
    NotEct = 0,
    /// The sender understands marks, and says 1 with it.
    Ect1 = 1,
    /// The sender understands marks.
    Ect0 = 2,
    /// Congestion experienced: the mark.
    Ce = 3,
}

impl Ecn {
    /// What the two low bits of `tos` say.
    #[inline]
    pub fn from_tos(tos: u8) -> Self {
        match tos & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The two bits.
    #[inline]
    pub fn bits(self) -> u8 {
        self as u8
    }

    /// `tos`, its two low bits saying this.
    #[inline]
    pub fn in_tos(self, tos: u8) -> u8 {
        tos & !3 | self.bits()
    }
}

/// What the outer header says of a packet that says `inner` itself: the same (RFC 6040 §4.1,
/// normal mode).
#[inline]
pub fn encapsulated(inner: Ecn) -> Ecn {
    inner
}

/// What the packet says once it has left its tunnel (RFC 6040 §4.2, figure 4); none if it is to
/// be dropped: a router marked it for a sender who would not understand.
///
/// ```text
/// inner \ outer   Not-ECT       ECT(0)        ECT(1)        CE
/// Not-ECT         Not-ECT       Not-ECT !!!   Not-ECT !!!   drop !!!
/// ECT(0)          ECT(0)        ECT(0)        ECT(1)        CE
/// ECT(1)          ECT(1)        ECT(1) !      ECT(1)        CE
/// CE              CE            CE            CE !!!        CE
/// ```
#[inline]
pub fn decapsulated(inner: Ecn, outer: Ecn) -> Option<Ecn> {
    match (inner, outer) {
        (Ecn::NotEct, Ecn::Ce) => None,
        (Ecn::Ect0 | Ecn::Ect1, Ecn::Ce) => Some(Ecn::Ce),
        (Ecn::Ect0, Ecn::Ect1) => Some(Ecn::Ect1),
        _ => Some(inner),
    }
}

/// Whether the combination is one of those with `!!!`: no tunnel makes it, so something on the
/// way is broken or lies. RFC 6040 §4.2 says to log it.
#[inline]
pub fn is_dangerous(inner: Ecn, outer: Ecn) -> bool {
    matches!(
        (inner, outer),
        (Ecn::NotEct, Ecn::Ect0 | Ecn::Ect1 | Ecn::Ce) | (Ecn::Ce, Ecn::Ect1)
    )
}

/// Whether the combination is one of those with `!!!` or `!`: nobody makes it yet, and it may or
/// may not do harm.
#[inline]
pub fn is_unused(inner: Ecn, outer: Ecn) -> bool {
    is_dangerous(inner, outer) || (inner, outer) == (Ecn::Ect1, Ecn::Ect0)
}

/// Writes `tos` into an IPv4 header, and what that does to its checksum (RFC 1624 §3). A checksum
/// that did not hold still does not. Below 20 bytes nothing changes.
#[inline]
pub fn set_tos_v4(ip_header: &mut [u8], tos: u8) {
    let Some(header) = ip_header.first_chunk_mut::<{ Ipv4::MIN_LEN }>() else {
        return;
    };
    let from = u16::from_be_bytes([header[0], header[1]]);
    let to = u16::from_be_bytes([header[0], tos]);
    let checksum = u16::from_be_bytes([header[10], header[11]]);
    let checksum = checksum::updated(checksum, from, to);
    header[1] = tos;
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// Writes `class` into an IPv6 header; no checksum covers it. Below 40 bytes nothing changes.
#[inline]
pub fn set_traffic_class_v6(ip_header: &mut [u8], class: u8) {
    let Some(header) = ip_header.first_chunk_mut::<{ Ipv6::LEN }>() else {
        return;
    };
    header[0] = header[0] & 0xf0 | class >> 4;
    header[1] = class << 4 | header[1] & 0x0f;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ipv4Repr, Protocol};
    use core::net::Ipv4Addr;

    const ALL: [Ecn; 4] = [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce];

    #[test]
    fn the_decapsulation_table_is_that_of_figure_4() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        // As in the figure: by row the inner header, by column the outer one, and how many
        // exclamation marks stand behind the answer.
        let columns = [NotEct, Ect0, Ect1, Ce];
        #[rustfmt::skip]
        let figure = [
            (NotEct, [(Some(NotEct), 0), (Some(NotEct), 3), (Some(NotEct), 3), (None, 3)]),
            (Ect0,   [(Some(Ect0), 0),   (Some(Ect0), 0),   (Some(Ect1), 0),   (Some(Ce), 0)]),
            (Ect1,   [(Some(Ect1), 0),   (Some(Ect1), 1),   (Some(Ect1), 0),   (Some(Ce), 0)]),
            (Ce,     [(Some(Ce), 0),     (Some(Ce), 0),     (Some(Ce), 3),     (Some(Ce), 0)]),
        ];
        for (inner, row) in figure {
            for (outer, (expected, marks)) in columns.into_iter().zip(row) {
                let at = std::format!("{inner:?} in {outer:?}");
                assert_eq!(decapsulated(inner, outer), expected, "{at}");
                assert_eq!(is_dangerous(inner, outer), marks == 3, "{at}");
                assert_eq!(is_unused(inner, outer), marks > 0, "{at}");
            }
        }
    }

    #[test]
    fn what_was_encapsulated_and_not_marked_comes_out_as_it_went_in() {
        for inner in ALL {
            let outer = encapsulated(inner);
            assert_eq!(outer, inner, "normal mode copies");
            assert_eq!(decapsulated(inner, outer), Some(inner));
            assert!(!is_unused(inner, outer), "{inner:?}");
        }
    }

    #[test]
    fn the_bits_are_those_of_rfc_3168() {
        let bits = ALL.map(|ecn| (ecn.bits(), Ecn::from_tos(0xfc | ecn.bits())));
        assert_eq!(
            bits,
            [0, 1, 2, 3].map(|bits| (bits, ALL[usize::from(bits)]))
        );
        assert_eq!(Ecn::Ce.in_tos(0xb8), 0xbb);
        assert_eq!(Ecn::NotEct.in_tos(0xbb), 0xb8);
    }

    #[test]
    fn every_tos_set_over_every_other_leaves_a_header_that_sums_up() {
        let mut repr = Ipv4Repr {
            source: Ipv4Addr::new(10, 0, 0, 1),
            destination: Ipv4Addr::new(10, 0, 0, 2),
            protocol: Protocol::GRE,
            ttl: 64,
            tos: 0,
            identification: 0,
            dont_fragment: true,
            payload_len: 100,
        };
        for from in 0..=255 {
            for to in 0..=255 {
                repr.tos = from;
                let mut header = repr.emit();
                set_tos_v4(&mut header, to);
                repr.tos = to;
                assert_eq!(header, repr.emit(), "{from:#04x} to {to:#04x}");
            }
        }
    }

    #[test]
    fn a_header_that_did_not_sum_up_still_does_not() {
        let mut header = [0x45; 20];
        assert!(!checksum::holds(&header));
        set_tos_v4(&mut header, 3);
        assert!(!checksum::holds(&header));
    }

    #[test]
    fn a_traffic_class_leaves_version_and_flow_label_alone() {
        let mut header = [0xaa; 40];
        header[..4].copy_from_slice(&[0x6f, 0xf1, 0x23, 0x45]);
        set_traffic_class_v6(&mut header, 0x2b);
        assert_eq!(header[..4], [0x62, 0xb1, 0x23, 0x45]);
        assert_eq!(header[4..], [0xaa; 36]);
    }

    #[test]
    fn a_header_cut_short_is_left_alone() {
        let mut bytes = [0x45; 19];
        set_tos_v4(&mut bytes, 3);
        assert_eq!(bytes, [0x45; 19]);
        let mut bytes = [0x60; 39];
        set_traffic_class_v6(&mut bytes, 3);
        assert_eq!(bytes, [0x60; 39]);
    }
}
