//! Which flow a frame belongs to, as a number: for whoever spreads flows over several ways.
//!
//! Sources: RFC 6438 and RFC 8086 §3.2.1 (what a tunnel tells the networks under it of its flows).

use crate::ethernet::{EtherType, payload_behind_tags};
use crate::ipv6::MAX_EXTENSIONS;
use crate::{Ethernet, Ipv4, Ipv6, MacAddr, Protocol};

/// Numbers without meaning, half of their bits set: the fraction of pi.
const A: u64 = 0x243f_6a88_85a3_08d3;
const B: u64 = 0x1319_8a2e_0370_7344;
const C: u64 = 0xa409_3822_299f_31d0;
const D: u64 = 0x082e_fa98_ec4e_6c89;

/// SCTP, which has its ports where TCP and UDP have them.
const SCTP: Protocol = Protocol(132);

/// The flow of an Ethernet `frame`, behind up to two tags: all bits of it are equally good, and
/// the same bytes give the same number on every host and after every restart.
///
/// TCP, UDP and SCTP count with their ports, other IP by addresses and protocol, and so does a
/// fragment, the first one too: all fragments of a packet go one way. What is not IP, or cannot be
/// read as such, counts by its Ethernet addresses and type. The two ways of a flow are not the
/// same number, and a guest can choose what it gets: this spreads load and guards nothing.
#[inline]
pub fn hash(frame: &[u8]) -> u32 {
    let Ok((ethernet, payload)) = Ethernet::parse(frame) else {
        return 0;
    };
    let (ethertype, packet) =
        payload_behind_tags(ethernet.ethertype(), payload).unwrap_or((ethernet.ethertype(), &[]));
    let flow = match ethertype {
        EtherType::IPV4 => flow_v4(packet),
        EtherType::IPV6 => flow_v6(packet),
        _ => None,
    };
    let (one, other) = flow.unwrap_or_else(|| {
        let number = |mac: MacAddr| mac.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let one = number(ethernet.destination()) << 16 | u64::from(ethertype.0);
        (one, number(ethernet.source()))
    });
    let mixed = mixed(mixed(one ^ A, other ^ B) ^ C, D);
    low(mixed ^ mixed >> 32)
}

/// Addresses, and the rest, of an IPv4 packet's flow.
#[inline]
fn flow_v4(packet: &[u8]) -> Option<(u64, u64)> {
    let header: &[u8; Ipv4::MIN_LEN] = packet.first_chunk()?;
    if header[0] >> 4 != 4 {
        return None;
    }
    let addresses = u64::from_be_bytes(*header.last_chunk()?);
    let is_fragment = header[6] & 0x3f != 0 || header[7] != 0;
    let segment = packet.get(usize::from(header[0] & 0x0f) * 4..)?;
    Some((addresses, rest(Protocol(header[9]), is_fragment, segment)))
}

/// Addresses, and the rest, of an IPv6 packet's flow.
#[inline]
fn flow_v6(packet: &[u8]) -> Option<(u64, u64)> {
    let (header, mut segment) = packet.split_first_chunk::<{ Ipv6::LEN }>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let (words, _) = header[8..].as_chunks::<8>();
    let [a, b, c, d] = words else { return None };
    let [a, b, c, d] = [a, b, c, d].map(|word| u64::from_be_bytes(*word));
    let addresses = mixed(a ^ A, b ^ B) ^ mixed(c ^ C, d ^ D).rotate_left(32);

    let mut protocol = Protocol(header[6]);
    for _ in 0..MAX_EXTENSIONS {
        let (len, is_fragment) = match (protocol, segment) {
            (Protocol::FRAGMENT, _) => (8, true),
            (
                Protocol::HOP_BY_HOP | Protocol::ROUTING | Protocol::DESTINATION_OPTIONS,
                [_, units, ..],
            ) => (8 + 8 * usize::from(*units), false),
            _ => break,
        };
        let Some((extension, behind)) = segment.split_at_checked(len) else {
            break;
        };
        protocol = Protocol(extension[0]);
        segment = behind;
        if is_fragment {
            // What comes next only the first fragment shows: let none look.
            return Some((addresses, rest(protocol, true, segment)));
        }
    }
    Some((addresses, rest(protocol, false, segment)))
}

/// Protocol, and ports if there are any and every packet of the flow shows them.
#[inline]
fn rest(protocol: Protocol, is_fragment: bool, segment: &[u8]) -> u64 {
    let has_ports = matches!(protocol, Protocol::TCP | Protocol::UDP | SCTP) && !is_fragment;
    let ports = match segment.first_chunk() {
        Some(ports) if has_ports => u32::from_be_bytes(*ports),
        _ => 0,
    };
    u64::from(ports) << 8 | u64::from(protocol.0)
}

/// Each bit of the product's halves depends on most bits of both numbers.
#[inline]
fn mixed(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    let (high, low) = (product >> 64, product & u128::from(u64::MAX));
    #[allow(clippy::cast_possible_truncation)] // both are halves
    {
        high as u64 ^ low as u64
    }
}

/// The lower half.
#[inline]
#[allow(clippy::cast_possible_truncation)] // that is what is asked for
fn low(bits: u64) -> u32 {
    bits as u32
}

#[cfg(test)]
mod tests;
