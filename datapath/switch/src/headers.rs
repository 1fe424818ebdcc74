//! What an inner frame's headers say, found once.

use wire::ethernet::{EtherType, Ethernet, payload_behind_tags};
use wire::ipv6::Ipv6;
use wire::l4::Protocol;

/// What the services look out for, a bit each: of one frame, or of any of a batch. A service
/// that no packet of a batch needs is not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u16);

impl Marks {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything there is: for services that every packet needs.
    pub const ANY: Self = Self(u16::MAX);
    /// An IPv4 packet.
    pub const IPV4: Self = Self(1);
    /// An IPv6 packet.
    pub const IPV6: Self = Self(1 << 1);
    /// ARP.
    pub const ARP: Self = Self(1 << 2);
    /// Neighbour or router discovery over IPv6.
    pub const DISCOVERY: Self = Self(1 << 3);
    /// A whole TCP segment or UDP datagram: it has a checksum.
    pub const SUMMED: Self = Self(1 << 4);
    /// A TCP segment with SYN.
    pub const SYN: Self = Self(1 << 5);
    /// Part of an IP packet only.
    pub const FRAGMENT: Self = Self(1 << 6);
    /// From the port of DHCP servers, or to that of clients, of IPv4 or IPv6.
    pub const DHCP_SERVER: Self = Self(1 << 7);
    /// From a router, to routers' peers: an advertisement or a redirect (IPv6).
    pub const FROM_ROUTER: Self = Self(1 << 8);
    /// It cannot be known what it says: IP that ends before its headers do, a first fragment that
    /// does, or IP or ARP behind more tags or extension headers than are read, or behind LLC.
    pub const UNREADABLE: Self = Self(1 << 9);
    /// It goes to more than one; of a batch, or may have to.
    pub const FLOODED: Self = Self(1 << 10);
    /// It does not fit its tunnel, and is to be cut behind its outer headers.
    pub const CUT: Self = Self(1 << 12);
    /// It is our answer to the one that came in: that one is then answered, not sent.
    pub const ANSWER: Self = Self(1 << 11);

    /// Those of these that are also among `other`.
    #[inline]
    #[must_use]
    pub const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether any of `other` is among these.
    #[inline]
    pub fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These and those.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Where the headers of an inner frame lie, and what they say: enough for most services not to
/// look again. Offsets are bytes from the frame's start.
///
/// Nothing here was checked but that it lies in the frame: a checksum may be wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// What it is.
    pub marks: Marks,
    /// Where the payload of Ethernet starts, behind up to two tags; 0 if nobody has looked.
    pub l3: u8,
    /// Where the payload of IP starts, behind its options or extension headers.
    pub l4: u16,
    /// Where the IP packet ends; what is behind it is padding.
    pub end: u16,
    /// Type of service, or traffic class; 0 if it is no IP packet.
    pub tos: u8,
    /// What is at `l4`.
    pub protocol: u8,
}

/// The ports of servers and clients of DHCP (RFC 2131 §4.1).
const DHCP_V4: [[u8; 2]; 2] = [67u16.to_be_bytes(), 68u16.to_be_bytes()];
/// The same, of DHCP for IPv6 (RFC 8415 §7.2). What a server sends from is not fixed, what it
/// sends to is (RFC 7610 §3).
const DHCP_V6: [[u8; 2]; 2] = [547u16.to_be_bytes(), 546u16.to_be_bytes()];

/// What an Ethernet payload starts with that is LLC with an Ethernet type in it (RFC 1042,
/// IEEE 802.1H), instead of having it in the Ethernet header.
const SNAP: [[u8; 6]; 2] = [[0xaa, 0xaa, 3, 0, 0, 0], [0xaa, 0xaa, 3, 0, 0, 0xf8]];

/// The least that is a type; below, it is a length.
const LEAST_TYPE: u16 = 0x0600;

/// Whether a message of ICMP for IPv6 is of neighbour discovery: its types (RFC 4861 §4).
fn is_discovery(kind: u8) -> bool {
    (133..=137).contains(&kind)
}

impl Headers {
    /// The headers of `frame`, from its Ethernet header on.
    // Returned through memory, its small fields would be stored one by one and loaded together,
    // for which a core waits until the last is written.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub fn of(frame: &[u8]) -> Self {
        Self::usual(frame).unwrap_or_else(|| Self::otherwise(frame))
    }

    /// What nearly every frame is: a whole TCP segment or UDP datagram in IPv4, with no tag and no
    /// option. All that is looked at lies in its first 48 bytes.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn usual(frame: &[u8]) -> Option<Self> {
        const L3: u16 = 14;
        const L4: u16 = L3 + 20;
        let head = frame.first_chunk::<48>()?;
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        // IPv4 of five words, and neither offset nor more fragments.
        if word(12) != 0x0800 || head[14] != 0x45 || word(20) & 0x3fff != 0 {
            return None;
        }
        let end = L3.checked_add(word(16))?;
        let (least, mark) = match Protocol(head[23]) {
            Protocol::TCP if head[47] & 0x02 != 0 => (20, Marks::SYN),
            Protocol::TCP => (20, Marks::NONE),
            Protocol::UDP if head[34..36] == DHCP_V4[0] || head[36..38] == DHCP_V4[1] => {
                (8, Marks::DHCP_SERVER)
            }
            Protocol::UDP => (8, Marks::NONE),
            _ => return None,
        };
        if end < L4 + least || usize::from(end) > frame.len() {
            return None;
        }
        Some(Self {
            marks: Marks::IPV4.with(Marks::SUMMED).with(mark),
            l3: 14,
            l4: L4,
            end,
            tos: head[15],
            protocol: head[23],
        })
    }

    #[allow(clippy::cast_possible_truncation)] // offsets into a frame
    fn ipv4(frame: &[u8], l3: usize) -> Self {
        let mut found = Self {
            marks: Marks::IPV4,
            l3: l3 as u8,
            ..Self::default()
        };
        let Some(ip) = frame.get(l3..).and_then(|ip| ip.first_chunk::<20>()) else {
            return found.unreadable();
        };
        let header_len = usize::from(ip[0] & 15) * 4;
        let end = l3 + usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let l4 = l3 + header_len;
        found.tos = ip[1];
        found.protocol = ip[9];
        found.l4 = l4 as u16;
        found.end = end as u16;
        if ip[0] >> 4 != 4 || header_len < 20 || end > frame.len() || l4 > end {
            return found.unreadable();
        }
        let field = u16::from_be_bytes([ip[6], ip[7]]);
        if field & 0x3fff != 0 {
            found.marks = found.marks.with(Marks::FRAGMENT);
            if field & 0x1fff != 0 {
                return found; // no header of the upper layer is in it
            }
        }
        found.upper_layer(&frame[l4..end])
    }

    /// Whatever else.
    #[inline(never)]
    fn otherwise(frame: &[u8]) -> Self {
        let Ok((ethernet, payload)) = Ethernet::parse(frame) else {
            return Self::default();
        };
        let Ok((ethertype, rest)) = payload_behind_tags(ethernet.ethertype(), payload) else {
            return Self::default().unreadable();
        };
        let l3 = frame.len() - rest.len();
        let mut found = Self {
            l3: u8::try_from(l3).unwrap_or(0),
            ..Self::default()
        };
        match ethertype {
            EtherType::IPV4 => Self::ipv4(frame, l3),
            EtherType::IPV6 => found.ipv6(rest),
            EtherType::ARP => {
                found.marks = Marks::ARP;
                found
            }
            // A third tag, or LLC, which a receiver may look through and we do not.
            other if other.is_tag() => found.unreadable(),
            EtherType(length)
                if length < LEAST_TYPE && SNAP.iter().any(|s| rest.starts_with(s)) =>
            {
                found.unreadable()
            }
            _ => found,
        }
    }

    #[allow(clippy::cast_possible_truncation)] // offsets into a frame
    fn ipv6(mut self, packet: &[u8]) -> Self {
        self.marks = Marks::IPV6;
        let Ok((ip, payload)) = Ipv6::parse(packet) else {
            return self.unreadable();
        };
        let l3 = u16::from(self.l3);
        self.tos = ip.traffic_class();
        self.end = l3 + (Ipv6::LEN + payload.len()) as u16;
        let Ok(upper) = ip.upper_layer(payload) else {
            return self.unreadable();
        };
        self.protocol = upper.protocol.0;
        self.l4 = self.end - upper.bytes.len() as u16;
        if let Some(fragment) = upper.fragment
            && (fragment.more || fragment.offset > 0)
        {
            self.marks = self.marks.with(Marks::FRAGMENT);
            if fragment.offset > 0 {
                return self;
            }
        }
        self.upper_layer(upper.bytes)
    }

    /// Adds what the first bytes of the upper layer say.
    fn upper_layer(mut self, bytes: &[u8]) -> Self {
        let whole = if self.marks.any(Marks::FRAGMENT) {
            Marks::NONE
        } else {
            Marks::SUMMED
        };
        let first_only = self.marks.any(Marks::FRAGMENT);
        let marks = match (Protocol(self.protocol), bytes) {
            (Protocol::TCP, [_, _, _, _, _, _, _, _, _, _, _, _, _, flags, ..]) => {
                let syn = if flags & 0x02 == 0 {
                    Marks::NONE
                } else {
                    Marks::SYN
                };
                whole.with(syn)
            }
            (Protocol::UDP, [a, b, c, d, _, _, _, _, ..]) => {
                let [server, client] = if self.marks.any(Marks::IPV6) {
                    DHCP_V6
                } else {
                    DHCP_V4
                };
                whole.with(if [*a, *b] == server || [*c, *d] == client {
                    Marks::DHCP_SERVER
                } else {
                    Marks::NONE
                })
            }
            // Discovery must not come in fragments (RFC 6980 §5): the rest may say anything.
            (Protocol::ICMPV6, [kind, ..]) if is_discovery(*kind) && first_only => {
                Marks::UNREADABLE
            }
            (Protocol::ICMPV6, [kind, ..]) if self.marks.any(Marks::IPV6) => match kind {
                134 | 137 => Marks::DISCOVERY.with(Marks::FROM_ROUTER),
                kind if is_discovery(*kind) => Marks::DISCOVERY,
                _ => Marks::NONE,
            },
            (Protocol::TCP | Protocol::UDP | Protocol::ICMPV6, _) => Marks::UNREADABLE,
            _ => Marks::NONE,
        };
        self.marks = self.marks.with(marks);
        self
    }

    #[cold]
    fn unreadable(mut self) -> Self {
        self.marks = self.marks.with(Marks::UNREADABLE);
        self
    }

    /// Bytes of the VLAN tags in front of the payload.
    #[inline]
    pub fn tags_len(&self) -> usize {
        usize::from(self.l3).saturating_sub(Ethernet::LEN)
    }

    /// The IP packet in `frame`, which these are the headers of, padding left out.
    #[inline]
    pub fn packet<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame
            .get(usize::from(self.l3)..usize::from(self.end))
            .unwrap_or_default()
    }

    /// What is behind the IP header in `frame`, padding left out.
    #[inline]
    pub fn segment<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame
            .get(usize::from(self.l4)..usize::from(self.end))
            .unwrap_or_default()
    }

    /// The same, to be changed.
    #[inline]
    pub fn segment_mut<'a>(&self, frame: &'a mut [u8]) -> &'a mut [u8] {
        frame
            .get_mut(usize::from(self.l4)..usize::from(self.end))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet with `tags` and `ethertype`, and `payload` behind it.
    fn frame(tags: usize, ethertype: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for _ in 0..tags {
            frame.extend([0x81, 0, 0, 7]);
        }
        frame.extend(ethertype.to_be_bytes());
        frame.extend(payload);
        frame
    }

    /// An IPv4 packet whose fragment field is `field`.
    fn ipv4(protocol: u8, field: u16, payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(20 + payload.len()).unwrap();
        let mut ip = vec![0x45, 0xb8, 0, 0, 0, 0, 0, 0, 64, protocol];
        ip[2..4].copy_from_slice(&len.to_be_bytes());
        ip[6..8].copy_from_slice(&field.to_be_bytes());
        ip.resize(20, 0);
        ip.extend(payload);
        ip
    }

    fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
        let len = u16::try_from(payload.len()).unwrap();
        let mut ip = vec![0x6b, 0x80, 0, 0, 0, 0, next, 64];
        ip[4..6].copy_from_slice(&len.to_be_bytes());
        ip.resize(40, 1);
        ip.extend(payload);
        ip
    }

    const SYN: [u8; 20] = [
        0, 80, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn a_syn_is_one_behind_any_tags_and_padding() {
        for tags in 0..3 {
            for ip in [ipv4(6, 0, &SYN), ipv6(6, &SYN)] {
                let ethertype = if ip[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
                let mut frame = frame(tags, ethertype, &ip);
                frame.extend([0; 9]);
                let headers = Headers::of(&frame);
                assert!(headers.marks.any(Marks::SYN) && headers.marks.any(Marks::SUMMED));
                assert_eq!((headers.tos, headers.tags_len()), (0xb8, 4 * tags));
                assert_eq!(
                    (headers.packet(&frame), headers.segment(&frame)),
                    (&ip[..], &SYN[..])
                );
            }
        }
        let behind_a_third = Headers::of(&frame(3, 0x0800, &ipv4(6, 0, &SYN)));
        assert!(behind_a_third.marks.any(Marks::UNREADABLE));
    }

    #[test]
    fn only_a_first_fragment_has_an_upper_layer_and_none_has_a_sum() {
        let first = Headers::of(&frame(0, 0x0800, &ipv4(6, 0x2000, &SYN)));
        assert!(first.marks.any(Marks::SYN) && first.marks.any(Marks::FRAGMENT));
        let later = Headers::of(&frame(0, 0x0800, &ipv4(6, 0x0005, &SYN)));
        assert!(!later.marks.any(Marks::SYN) && later.marks.any(Marks::FRAGMENT));
        assert!(!first.marks.any(Marks::SUMMED) && !later.marks.any(Marks::SUMMED));
    }

    #[test]
    fn servers_and_routers_are_known_by_what_they_send() {
        let dhcp = |port: u16| [port.to_be_bytes(), [0, 9], [0, 8], [0, 0]].concat();
        let v4 = |port| Headers::of(&frame(0, 0x0800, &ipv4(17, 0, &dhcp(port))));
        let v6 = |port| Headers::of(&frame(0, 0x86dd, &ipv6(17, &dhcp(port))));
        assert!(v4(67).marks.any(Marks::DHCP_SERVER) && v6(547).marks.any(Marks::DHCP_SERVER));
        assert!(!v4(68).marks.any(Marks::DHCP_SERVER) && !v6(67).marks.any(Marks::DHCP_SERVER));
        for kind in 130..140 {
            let marks = Headers::of(&frame(0, 0x86dd, &ipv6(58, &[kind; 8]))).marks;
            assert_eq!(marks.any(Marks::FROM_ROUTER), matches!(kind, 134 | 137));
            assert_eq!(marks.any(Marks::DISCOVERY), (133..138).contains(&kind));
        }
        // Behind an extension header as well.
        let behind = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &[134; 8]].concat();
        let marks = Headers::of(&frame(0, 0x86dd, &ipv6(60, &behind))).marks;
        assert!(marks.any(Marks::FROM_ROUTER));
    }

    #[test]
    fn what_a_receiver_may_read_behind_llc_is_not_readable_here() {
        for snap in SNAP {
            let behind = [&snap[..], &[0x86, 0xdd], &ipv6(58, &[134; 8])].concat();
            let len = u16::try_from(behind.len()).unwrap();
            for tags in 0..3 {
                let marks = Headers::of(&frame(tags, len, &behind)).marks;
                assert!(marks.any(Marks::UNREADABLE), "{tags} tags");
            }
        }
        let stp = [0x42, 0x42, 3, 0, 0, 0];
        assert_eq!(Headers::of(&frame(0, 6, &stp)).marks, Marks::NONE);
    }

    #[test]
    fn what_is_cut_short_anywhere_is_found_out_and_nothing_lies_outside() {
        let whole = [
            frame(1, 0x0800, &ipv4(6, 0, &SYN)),
            frame(0, 0x86dd, &ipv6(6, &SYN)),
        ];
        for whole in whole {
            for len in 14..whole.len() {
                let cut = &whole[..len];
                let headers = Headers::of(cut);
                assert!(headers.marks.any(Marks::UNREADABLE), "{len} bytes");
                let _ = (headers.packet(cut), headers.segment(cut));
            }
        }
        let tiny = Headers::of(&frame(0, 0x0800, &ipv4(6, 0x2000, &SYN[..8])));
        assert!(tiny.marks.any(Marks::UNREADABLE));
    }
}
