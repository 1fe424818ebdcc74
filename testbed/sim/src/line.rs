//! A packet on the wire between hosts, in one line.

use program::Mac;
use std::net::IpAddr;
use wire::ethernet::{EtherType, Ethernet};
use wire::gre::{self, Gre};
use wire::ipv4::Ipv4;
use wire::ipv6::Ipv6;
use wire::l4::{Protocol, Udp};

/// An outer packet, as far as its IP header.
struct Outer<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    /// Where it starts in the whole packet, and whether more follows, if it is a part.
    part: Option<(u32, bool)>,
    payload: &'a [u8],
}

fn outer(bytes: &[u8]) -> Option<Outer<'_>> {
    let (ethernet, packet) = Ethernet::parse(bytes).ok()?;
    if ethernet.ethertype() == EtherType::IPV6 {
        let (ip, payload) = Ipv6::parse(packet).ok()?;
        let upper = ip.upper_layer(payload).ok()?;
        return Some(Outer {
            source: ip.source().into(),
            destination: ip.destination().into(),
            protocol: upper.protocol,
            part: upper.fragment.map(|part| (part.offset.into(), part.more)),
            payload: upper.bytes,
        });
    }
    let (ip, payload) = Ipv4::parse(packet).ok()?;
    let part = (ip.fragment_offset().into(), ip.more_fragments());
    Some(Outer {
        source: ip.source().into(),
        destination: ip.destination().into(),
        protocol: ip.protocol(),
        part: ip.is_fragment().then_some(part),
        payload,
    })
}

/// Where a packet on the wire goes.
pub(crate) fn destination(bytes: &[u8]) -> Option<IpAddr> {
    outer(bytes).map(|outer| outer.destination)
}

/// A packet on the wire, in one line.
pub(crate) fn line(bytes: &[u8]) -> String {
    read(bytes).unwrap_or_else(|| format!("what is this? {bytes:02x?}"))
}

fn read(bytes: &[u8]) -> Option<String> {
    let outer = outer(bytes)?;
    let way = format!("{} > {}", outer.source, outer.destination);
    if let Some((offset, more)) = outer.part {
        let more = if more { ", more follow" } else { "" };
        let len = outer.payload.len();
        return Some(format!("{way} fragment at {offset}, {len} bytes{more}"));
    }
    let (within, packet) = match outer.protocol {
        Protocol::UDP => {
            let (udp, packet) = Udp::parse(outer.payload).ok()?;
            (udp.destination_port() == gre::UDP_PORT).then_some(("udp gre", packet))?
        }
        Protocol::GRE => ("gre", outer.payload),
        _ => return None,
    };
    let (gre, inner) = Gre::parse(packet).ok()?;
    let (ethernet, _) = Ethernet::parse(inner).ok()?;
    let key = gre
        .key()
        .map_or("no key".to_owned(), |key| format!("key {key}"));
    let summed = if gre.is_summed() { " csum" } else { "" };
    let number = gre
        .sequence()
        .map_or(String::new(), |n| format!(" seq {n}"));
    Some(format!(
        "{way} {within} {key}{summed}{number} | eth {} > {}, {} bytes",
        short(ethernet.source()),
        short(ethernet.destination()),
        inner.len(),
    ))
}

/// An address of a lab's guest as its last byte, any other whole.
fn short(mac: [u8; 6]) -> String {
    match mac {
        [2, 0, 0, 0, 0, last] => format!("{last:02x}"),
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => "all".to_owned(),
        _ => Mac(mac).to_string(),
    }
}
