//! The outer headers of a tunnel, made once.

use crate::Way;
use crate::config::{OUTER_MAX, PLAIN_LEN};
use program::link::Hop;
use program::{DontFragment, Dscp, Transport, TunnelProgram};
use std::net::IpAddr;
use wire::ethernet::{EtherType, EthernetRepr};
use wire::gre::{self, GreRepr};
use wire::ipv4::Ipv4Repr;
use wire::ipv6::Ipv6Repr;
use wire::l4::Protocol;
use wire::udp::UdpRepr;

/// In an IPv4 fragment field: do not fragment.
const DONT_FRAGMENT: u8 = 0x40;

/// How the frames of one tunnel leave.
pub(super) struct Leaving<'a> {
    /// The slot of the underlay port.
    pub(super) port: u16,
    /// The VLAN, if there is one.
    pub(super) vlan: Option<u16>,
    /// Our end.
    pub(super) local: IpAddr,
    /// What was programmed.
    pub(super) program: &'a TunnelProgram,
}

/// Headers as they grow.
struct Outer {
    bytes: [u8; OUTER_MAX],
    len: usize,
}

impl Outer {
    fn add(&mut self, header: &[u8]) {
        self.bytes[self.len..self.len + header.len()].copy_from_slice(header);
        self.len += header.len();
    }
}

impl Leaving<'_> {
    /// The headers in front of every frame that goes by `hop`.
    #[allow(clippy::cast_possible_truncation)] // offsets below OUTER_MAX
    pub(super) fn by(&self, hop: &Hop) -> Way {
        let program = self.program;
        let mut outer = Outer {
            bytes: [0; OUTER_MAX],
            len: 0,
        };
        self.ethernet(&mut outer, hop);
        let ip_at = outer.len;
        self.ip(&mut outer);
        if program.transport == Transport::Udp {
            // Source port, length and checksum are each packet's own.
            let header = UdpRepr {
                source_port: 0,
                destination_port: gre::UDP_PORT,
                len: 0,
                checksum: 0,
            };
            outer.add(&header.emit());
        }
        let gre_at = outer.len;
        let gre = GreRepr {
            key: program.key(),
            checksum: program.checksum,
            sequence: (program.sequence != program::Sequence::None).then_some(0),
        };
        outer.add(&gre.emit()[..gre.len()]);
        let words = outer.bytes[ip_at..ip_at + Ipv4Repr::LEN].chunks_exact(2);
        let words = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        Way {
            port: self.port,
            plain: outer.len == PLAIN_LEN
                && gre == GreRepr::keyed(program.vnet.0)
                && program.remote.is_ipv4()
                && program.df == DontFragment::Set
                && program.transport == Transport::Gre
                && self.vlan.is_none(),
            tos_mask: match program.dscp {
                Dscp::Uniform => 0xff,
                Dscp::Pipe(_) => 0x03,
            },
            len: outer.len as u8,
            ip_at: ip_at as u8,
            gre_at: gre_at as u8,
            df: program.df,
            sum: words.sum(),
            outer: outer.bytes,
            destination: hop.destination,
        }
    }

    fn ethernet(&self, outer: &mut Outer, hop: &Hop) {
        let over = match self.local {
            IpAddr::V4(_) => EtherType::IPV4,
            IpAddr::V6(_) => EtherType::IPV6,
        };
        let header = EthernetRepr {
            destination: hop.destination.0,
            source: hop.source.0,
            ethertype: self.vlan.map_or(over, |_| EtherType::VLAN),
        };
        outer.add(&header.emit());
        if let Some(vlan) = self.vlan {
            outer.add(&vlan.to_be_bytes());
            outer.add(&over.0.to_be_bytes());
        }
    }

    /// The IP header, without lengths, checksum, flow label, and what the inner packet gives.
    fn ip(&self, outer: &mut Outer) {
        let program = self.program;
        let protocol = match program.transport {
            Transport::Gre => Protocol::GRE,
            Transport::Udp => Protocol::UDP,
        };
        let tos = match program.dscp {
            Dscp::Uniform => 0,
            Dscp::Pipe(dscp) => dscp << 2,
        };
        match (self.local, program.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                // Identification 0, which is right for a packet that must not be fragmented
                // (RFC 6864 §4.1); one that may gets its own.
                let df = match program.df {
                    DontFragment::Set => DONT_FRAGMENT,
                    DontFragment::Clear | DontFragment::Copy => 0,
                };
                let mut header = [0; Ipv4Repr::LEN];
                header[..8].copy_from_slice(&[0x45, tos, 0, 0, 0, 0, df, 0]);
                header[8..12].copy_from_slice(&[program.ttl, protocol.0, 0, 0]);
                header[12..16].copy_from_slice(&local.octets());
                header[16..20].copy_from_slice(&remote.octets());
                outer.add(&header);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Repr {
                    source,
                    destination,
                    next: protocol,
                    hop_limit: program.ttl,
                    traffic_class: tos,
                    flow_label: 0,
                    payload_len: 0,
                };
                outer.add(&header.emit());
            }
            _ => unreachable!("our end is of the peer's family"),
        }
    }
}
