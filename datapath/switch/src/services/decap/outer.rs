//! Reads the headers in front of an inner frame.

use crate::{Config, DropReason};
use std::net::IpAddr;
use wire::checksum;
use wire::ethernet::{EtherType, Ethernet, TAG_LEN};
use wire::gre::{self, Gre};
use wire::ipv4::Ipv4;
use wire::ipv6::Ipv6;
use wire::l4::{Protocol, Udp};
use wire::{ParseError, Unsupported};

/// What came in on the underlay.
pub(super) enum Outer {
    /// GRE.
    Gre(Unwrapped),
    /// Part of an IP packet that has GRE in it.
    Fragment,
    /// ICMP about packets that were too big.
    About,
}

/// What the outer headers said.
pub(super) struct Unwrapped {
    /// Whom it is from.
    pub(super) remote: IpAddr,
    /// The key, if it has one.
    pub(super) key: Option<u32>,
    /// Its number, if it has one.
    pub(super) sequence: Option<u32>,
    /// The outer type of service.
    pub(super) tos: u8,
    /// Bytes in front of the inner frame.
    pub(super) front: usize,
    /// Bytes of the inner frame.
    pub(super) inner: usize,
}

/// Reads the outer headers of `bytes`.
#[inline]
pub(super) fn read(config: &Config, bytes: &[u8]) -> Result<Outer, DropReason> {
    let (ethernet, packet) = Ethernet::parse(bytes).map_err(|_| DropReason::Malformed)?;
    match ethernet.ethertype() {
        EtherType::IPV4 => ipv4(config, bytes, packet),
        other => otherwise(config, bytes, other, packet),
    }
}

/// Where the IP packet starts in `bytes`, and what it is: behind one tag, if there is one.
pub(super) fn ip_at(bytes: &[u8]) -> Result<(usize, EtherType), DropReason> {
    let (ethernet, packet) = Ethernet::parse(bytes).map_err(|_| DropReason::Malformed)?;
    if !ethernet.ethertype().is_tag() {
        return Ok((Ethernet::LEN, ethernet.ethertype()));
    }
    let tag = packet
        .first_chunk::<TAG_LEN>()
        .ok_or(DropReason::Malformed)?;
    let ethertype = EtherType(u16::from_be_bytes([tag[2], tag[3]]));
    Ok((Ethernet::LEN + TAG_LEN, ethertype))
}

/// What is not IPv4 without a tag.
#[inline(never)]
fn otherwise(
    config: &Config,
    bytes: &[u8],
    ethertype: EtherType,
    packet: &[u8],
) -> Result<Outer, DropReason> {
    match ethertype {
        EtherType::IPV6 => ipv6(config, bytes, packet),
        // Whose VLAN it is, the program that steers has looked at.
        tag if tag.is_tag() => {
            let (at, ethertype) = ip_at(bytes)?;
            match ethertype {
                EtherType::IPV4 => ipv4(config, bytes, &bytes[at..]),
                EtherType::IPV6 => ipv6(config, bytes, &bytes[at..]),
                _ => Err(DropReason::NotGre),
            }
        }
        _ => Err(DropReason::NotGre),
    }
}

#[inline]
fn ipv4(config: &Config, bytes: &[u8], packet: &[u8]) -> Result<Outer, DropReason> {
    let (ip, payload) = Ipv4::parse(packet).map_err(|_| DropReason::Malformed)?;
    let ours = config.endpoint.and_then(|endpoint| endpoint.v4());
    if ours != Some(ip.destination()) {
        return Err(DropReason::NotOurs);
    }
    let protocol = ip.protocol();
    if ip.is_fragment() {
        return fragment(protocol);
    }
    let remote = IpAddr::V4(ip.source());
    match protocol {
        Protocol::GRE => gre(bytes, remote, ip.tos(), payload),
        Protocol::UDP => {
            let (source, destination) = (ip.source(), ip.destination());
            let len = u16::try_from(payload.len()).map_err(|_| DropReason::Malformed)?;
            let pseudo = checksum::pseudo_v4(source, destination, Protocol::UDP.0, len);
            udp(bytes, remote, ip.tos(), pseudo, payload)
        }
        Protocol::ICMP => Ok(Outer::About),
        _ => Err(DropReason::NotGre),
    }
}

fn ipv6(config: &Config, bytes: &[u8], packet: &[u8]) -> Result<Outer, DropReason> {
    let (ip, payload) = Ipv6::parse(packet).map_err(|_| DropReason::Malformed)?;
    let ours = config.endpoint.and_then(|endpoint| endpoint.v6());
    if ours != Some(ip.destination()) {
        return Err(DropReason::NotOurs);
    }
    let upper = ip.upper_layer(payload).map_err(|_| DropReason::Malformed)?;
    let (remote, tos) = (IpAddr::V6(ip.source()), ip.traffic_class());
    // A fragment that is the first and the last is a whole packet (RFC 6946).
    if upper
        .fragment
        .is_some_and(|part| part.more || part.offset > 0)
    {
        return fragment(upper.protocol);
    }
    match upper.protocol {
        Protocol::GRE => gre(bytes, remote, tos, upper.bytes),
        Protocol::UDP => {
            let (source, destination) = (ip.source(), ip.destination());
            let len = u32::try_from(upper.bytes.len()).map_err(|_| DropReason::Malformed)?;
            let pseudo = checksum::pseudo_v6(source, destination, Protocol::UDP.0, len);
            udp(bytes, remote, tos, pseudo, upper.bytes)
        }
        Protocol::ICMPV6 => Ok(Outer::About),
        _ => Err(DropReason::NotGre),
    }
}

/// GRE in UDP must not come in fragments (RFC 8086 §4.1), and its later ones are not steered here.
#[cold]
fn fragment(protocol: Protocol) -> Result<Outer, DropReason> {
    match protocol {
        Protocol::GRE => Ok(Outer::Fragment),
        Protocol::UDP => Err(DropReason::FragmentMalformed),
        _ => Err(DropReason::NotGre),
    }
}

/// GRE in UDP (RFC 8086). `pseudo` is the sum of its pseudo-header.
fn udp(
    bytes: &[u8],
    remote: IpAddr,
    tos: u8,
    pseudo: u16,
    datagram: &[u8],
) -> Result<Outer, DropReason> {
    if datagram.get(2..4) != Some(&gre::UDP_PORT.to_be_bytes()) {
        return Err(DropReason::NotGre);
    }
    let (_, payload) = Udp::parse(datagram).map_err(|_| DropReason::Malformed)?;
    // A checksum of 0 is none, which over IPv6 must not be (RFC 8200 §8.1): nothing else guards the
    // addresses there.
    let summed = datagram[6..8] != [0, 0] || remote.is_ipv6();
    let covered = &datagram[..datagram.len().min(8 + payload.len())];
    if summed && checksum::add(pseudo, checksum::sum(covered)) != 0xffff {
        return Err(DropReason::UdpChecksum);
    }
    gre(bytes, remote, tos, payload)
}

/// Reads the GRE packet that `payload` is, at the end of `bytes` or before padding.
#[inline]
fn gre(bytes: &[u8], remote: IpAddr, tos: u8, payload: &[u8]) -> Result<Outer, DropReason> {
    let (gre, inner) = Gre::parse(payload).map_err(refusal)?;
    if gre.protocol() != EtherType::BRIDGED {
        return Err(DropReason::NotEthernet);
    }
    let front = inner.as_ptr() as usize - bytes.as_ptr() as usize;
    Ok(Outer::Gre(Unwrapped {
        remote,
        key: gre.key(),
        sequence: gre.sequence(),
        tos,
        front,
        inner: inner.len(),
    }))
}

#[cold]
fn refusal(error: ParseError) -> DropReason {
    match error {
        ParseError::Unsupported(Unsupported::GreVersion) => DropReason::GreVersion,
        ParseError::Unsupported(Unsupported::GreRouting) => DropReason::GreRouting,
        ParseError::Unsupported(_) => DropReason::GreReserved,
        ParseError::Malformed => DropReason::GreChecksum,
        ParseError::Truncated => DropReason::Malformed,
    }
}
