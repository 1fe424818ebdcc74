//! Next hops by number: `linux/nexthop.h`.
//!
//! A route may name its next hop, or a group of them, by a number. The kernel says what is behind
//! it as part of the route, unless `net.ipv4.nexthop_compat_mode` is 0, as routing daemons like it.

use super::{HEADER, u32_at};
use crate::underlay::RouteHop;
use netlink_packet_core::{NLM_F_REQUEST, NlaBuffer, NlasIterator};
use std::net::IpAddr;

/// `RTM_NEWNEXTHOP` and `RTM_GETNEXTHOP`.
const NEW: u16 = 104;
const GET: u16 = 106;

/// Bytes of `struct nhmsg`: family, scope, protocol, nothing, and flags (4).
const FACTS: usize = 8;
/// Bytes of `struct nexthop_grp`: a number (4), weights, nothing.
const MEMBER: usize = 8;
/// Bytes of the attribute that names a number.
const NUMBER: usize = 8;

// Attributes.
const ID: u16 = 1;
const GROUP: u16 = 2;
const BLACKHOLE: u16 = 4;
const INTERFACE: u16 = 5;
const GATEWAY: u16 = 6;
const ENCAP_TYPE: u16 = 7;

/// `RTNH_F_DEAD`.
const DEAD: u32 = 1;

/// What is behind a number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextHop {
    /// One next hop.
    One(RouteHop),
    /// The numbers of several, none of which is a group.
    Group(Vec<u32>),
}

/// The question what is behind `number`.
pub(super) fn request(sequence: u32, number: u32) -> Vec<u8> {
    const LENGTH: usize = HEADER + FACTS + NUMBER;
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend(u32::try_from(LENGTH).unwrap_or(0).to_ne_bytes());
    bytes.extend(GET.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4 + FACTS]); // the kernel knows who asks
    bytes.extend(u16::try_from(NUMBER).unwrap_or(0).to_ne_bytes());
    bytes.extend(ID.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes
}

/// What an answer says; none if it is another answer: there is no such number, or not any more.
pub(super) fn answer(message: &[u8]) -> Option<NextHop> {
    let kind = message.get(4..6)?;
    if u16::from_ne_bytes(kind.try_into().ok()?) != NEW {
        return None;
    }
    let flags = u32_at(message, HEADER + 4)?;
    let mut hop = RouteHop {
        interface: 0,
        gateway: None,
        wrapped: false,
        dead: flags & DEAD != 0,
    };
    for attribute in NlasIterator::new(message.get(HEADER + FACTS..)?) {
        let attribute: NlaBuffer<&[u8]> = attribute.ok()?;
        let value = attribute.value();
        match attribute.kind() {
            GROUP => {
                let members = value.chunks_exact(MEMBER);
                return members
                    .map(|m| u32_at(m, 0))
                    .collect::<Option<_>>()
                    .map(NextHop::Group);
            }
            INTERFACE => hop.interface = u32_at(value, 0)?,
            GATEWAY => hop.gateway = Some(address(value)?),
            BLACKHOLE => hop.dead = true,
            ENCAP_TYPE => hop.wrapped = true,
            _ => {}
        }
    }
    Some(NextHop::One(hop))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    v4.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of this kind, with these attributes.
    fn message(kind: u16, flags: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER + FACTS];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[HEADER + 4..].copy_from_slice(&flags.to_ne_bytes());
        for (kind, value) in attributes {
            let length = u16::try_from(4 + value.len()).unwrap();
            bytes.extend(length.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn one_next_hop_and_a_group_are_read() {
        let interface = 3u32.to_ne_bytes();
        let hop = |gateway: Option<&str>, wrapped, dead| {
            Some(NextHop::One(RouteHop {
                interface: 3,
                gateway: gateway.map(|gateway| gateway.parse().unwrap()),
                wrapped,
                dead,
            }))
        };
        let on = (INTERFACE, &interface[..]);
        assert_eq!(answer(&message(NEW, 0, &[on])), hop(None, false, false));
        let v4 = message(NEW, DEAD, &[on, (GATEWAY, &[10, 0, 0, 254])]);
        assert_eq!(answer(&v4), hop(Some("10.0.0.254"), false, true));
        let v6: std::net::Ipv6Addr = "fe80::254".parse().unwrap();
        let v6 = message(
            NEW,
            0,
            &[on, (GATEWAY, &v6.octets()), (ENCAP_TYPE, &[1, 0])],
        );
        assert_eq!(answer(&v6), hop(Some("fe80::254"), true, false));

        let mut members = [0; 16];
        members[..4].copy_from_slice(&7u32.to_ne_bytes());
        members[8..12].copy_from_slice(&9u32.to_ne_bytes());
        let group = message(NEW, 0, &[(ID, &interface), (GROUP, &members)]);
        assert_eq!(answer(&group), Some(NextHop::Group(vec![7, 9])));
    }

    #[test]
    fn what_is_no_answer_or_cut_off_is_nothing() {
        let error = 2;
        assert_eq!(answer(&message(error, 0, &[])), None);
        let whole = message(NEW, 0, &[(GATEWAY, &[10, 0, 0, 254])]);
        for length in (0..HEADER + FACTS).chain(HEADER + FACTS + 1..whole.len()) {
            assert_eq!(answer(&whole[..length]), None, "{length} bytes");
        }
    }
}
