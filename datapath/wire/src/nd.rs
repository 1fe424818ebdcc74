//! Neighbour discovery: what ARP is for IPv4, and how routers make themselves known.
//!
//! Sources: RFC 4861 (messages and their checks), RFC 4862 §5.4 (is an address taken?), RFC 4291
//! §2.7.1 and RFC 2464 §7 (groups), RFC 6980 §5 (never in fragments).

use crate::{Ipv6, Ipv6Repr, MacAddr, ParseError, Protocol, checksum};
use core::net::Ipv6Addr;

/// The hop limit of every message: a packet that a router has passed on has less.
pub const HOP_LIMIT: u8 = 255;

/// An option's type: the sender's address on Ethernet.
const SOURCE_MAC: u8 = 1;
/// An option's type: the target's address on Ethernet.
const TARGET_MAC: u8 = 2;

/// In an advertisement's flags: the sender is a router.
const ROUTER: u8 = 0x80;
/// In an advertisement's flags: it answers a question of its receiver.
const SOLICITED: u8 = 0x40;
/// In an advertisement's flags: it counts more than what its receiver knows.
const OVERRIDE: u8 = 0x20;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Type 133: is there a router?
    RouterSolicit,
    /// Type 134: there is, and this is how the network is made.
    RouterAdvert,
    /// Type 135: who has the target?
    NeighbourSolicit,
    /// Type 136: this is who has it.
    NeighbourAdvert,
    /// Type 137: there is a better way.
    Redirect,
}

impl Kind {
    /// What `number`, a type of ICMP on IPv6, is, if it is one of these. Nothing else of the
    /// message is looked at: who must keep a kind of message out asks this, and so also stops
    /// those that [`Nd::parse`] refuses and some receiver might not.
    #[inline]
    pub fn from_type(number: u8) -> Option<Self> {
        match number {
            133 => Some(Self::RouterSolicit),
            134 => Some(Self::RouterAdvert),
            135 => Some(Self::NeighbourSolicit),
            136 => Some(Self::NeighbourAdvert),
            137 => Some(Self::Redirect),
            _ => None,
        }
    }

    /// Length of what is in front of the options, in bytes.
    fn fixed_len(self) -> usize {
        match self {
            Self::RouterSolicit => 8,
            Self::RouterAdvert => 16,
            Self::NeighbourSolicit | Self::NeighbourAdvert => 24,
            Self::Redirect => 40,
        }
    }
}

/// A message of neighbour discovery.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// | type, 133-137 |    code: 0    |           checksum            |
/// |R|S|O|            flags of an advertisement, or 0              |
/// |        target, 16 bytes; not of router solicit and advert     |
/// |             destination, 16 bytes; of redirect only           |
/// |                            options                            |
/// ```
///
/// Length in bytes: 8, 16, 24 or 40, and options. A router's advertisement has 8 bytes of its own
/// where the others have a target.
///
/// An option, of which we read those with an Ethernet address; its length counts 8 bytes:
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |     type      |   length: 1   |              MAC              |
/// |                              MAC                              |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nd {
    kind: Kind,
    flags: u8,
    from: Ipv6Addr,
    target: Option<Ipv6Addr>,
    source_mac: Option<MacAddr>,
    target_mac: Option<MacAddr>,
}

impl Nd {
    /// Reads `message`, the upper layer of a packet with the header `ip`, from its type on to its
    /// end. It must be whole: a fragment is to be refused by whoever found it.
    ///
    /// # Errors
    ///
    /// [`Truncated`](ParseError::Truncated) if the message or an option is cut short;
    /// [`Malformed`](ParseError::Malformed) if its type is another, or RFC 4861 (§6.1, §7.1, §8.1)
    /// says that it is not valid: hop limit not 255, a wrong checksum, a code, a target that is a
    /// group, an option without length, or a source that may not send it. Also if it names two
    /// different Ethernet addresses for one station: receivers do not agree which counts.
    pub fn parse(ip: &Ipv6<'_>, message: &[u8]) -> Result<Self, ParseError> {
        let (start, _) = message
            .split_first_chunk::<8>()
            .ok_or(ParseError::Truncated)?;
        let kind = Kind::from_type(start[0]).ok_or(ParseError::Malformed)?;
        let options = message
            .get(kind.fixed_len()..)
            .ok_or(ParseError::Truncated)?;
        let len = u32::try_from(message.len()).map_err(|_| ParseError::Malformed)?;
        let (source, destination) = (ip.source(), ip.destination());
        let pseudo = checksum::pseudo_v6(source, destination, Protocol::ICMPV6.0, len);
        let holds = checksum::add(pseudo, checksum::sum(message)) == 0xffff;
        if ip.hop_limit() != HOP_LIMIT || start[1] != 0 || !holds {
            return Err(ParseError::Malformed);
        }
        let mut view = Self {
            kind,
            flags: start[4],
            from: source,
            target: None,
            source_mac: None,
            target_mac: None,
        };
        if !matches!(kind, Kind::RouterSolicit | Kind::RouterAdvert) {
            view.target = address(message, 8);
        }
        view.read_options(options)?;
        let redirected = match kind {
            Kind::Redirect => address(message, 24),
            _ => None,
        };
        if view.is_valid(destination, redirected) {
            Ok(view)
        } else {
            Err(ParseError::Malformed)
        }
    }

    /// Walks `options`, and takes from them the Ethernet addresses.
    fn read_options(&mut self, mut options: &[u8]) -> Result<(), ParseError> {
        while let [kind, rest @ ..] = options {
            let units = *rest.first().ok_or(ParseError::Truncated)?;
            if units == 0 {
                return Err(ParseError::Malformed);
            }
            let (option, behind) = options
                .split_at_checked(8 * usize::from(units))
                .ok_or(ParseError::Truncated)?;
            options = behind;
            let place = match *kind {
                SOURCE_MAC => &mut self.source_mac,
                TARGET_MAC => &mut self.target_mac,
                _ => continue,
            };
            let [_, _, mac @ ..] = option else {
                return Err(ParseError::Truncated);
            };
            let mac = MacAddr::try_from(mac).map_err(|_| ParseError::Malformed)?;
            if place.is_some_and(|known| known != mac) {
                return Err(ParseError::Malformed);
            }
            *place = Some(mac);
        }
        Ok(())
    }

    /// Whether RFC 4861 lets this message be sent from and to these addresses. `redirected` is
    /// whom a redirect is about.
    fn is_valid(&self, destination: Ipv6Addr, redirected: Option<Ipv6Addr>) -> bool {
        let anonymous = self.from.is_unspecified();
        let about_group = self.target.is_none_or(|target| target.is_multicast());
        match self.kind {
            Kind::RouterSolicit => !anonymous || self.source_mac.is_none(),
            Kind::RouterAdvert => self.from.is_unicast_link_local(),
            Kind::NeighbourSolicit => {
                let good_probe = self.source_mac.is_none() && is_solicited_node(destination);
                !about_group && (!anonymous || good_probe)
            }
            Kind::NeighbourAdvert => {
                !(about_group || destination.is_multicast() && self.is_solicited())
            }
            Kind::Redirect => {
                let to_router = self
                    .target
                    .is_some_and(|target| target.is_unicast_link_local());
                self.from.is_unicast_link_local()
                    && redirected.is_some_and(|station| !station.is_multicast())
                    && (to_router || self.target == redirected)
            }
        }
    }

    /// What it is.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whose Ethernet address is asked for or told, or where a redirect leads; none in a router's
    /// solicit and advert.
    #[inline]
    pub fn target(&self) -> Option<Ipv6Addr> {
        self.target
    }

    /// The sender's address on Ethernet, if it says so. The frame around it may say another.
    #[inline]
    pub fn source_mac(&self) -> Option<MacAddr> {
        self.source_mac
    }

    /// The target's address on Ethernet, if it says so.
    #[inline]
    pub fn target_mac(&self) -> Option<MacAddr> {
        self.target_mac
    }

    /// Whether the sender asks if an address that it would like is taken (RFC 4862 §5.4.2). Only
    /// the address's owner may answer, and never the sender itself.
    #[inline]
    pub fn is_probe(&self) -> bool {
        self.kind == Kind::NeighbourSolicit && self.from.is_unspecified()
    }

    /// Whether a neighbour's advertisement says that the sender is a router.
    #[inline]
    pub fn is_from_router(&self) -> bool {
        self.is_flagged(ROUTER)
    }

    /// Whether a neighbour's advertisement is an answer to a question of its receiver.
    #[inline]
    pub fn is_solicited(&self) -> bool {
        self.is_flagged(SOLICITED)
    }

    /// Whether a neighbour's advertisement counts more than what its receiver knows.
    #[inline]
    pub fn overrides(&self) -> bool {
        self.is_flagged(OVERRIDE)
    }

    #[inline]
    fn is_flagged(&self, flag: u8) -> bool {
        self.kind == Kind::NeighbourAdvert && self.flags & flag != 0
    }
}

/// The address that starts at byte `at` of `message`.
fn address(message: &[u8], at: usize) -> Option<Ipv6Addr> {
    let octets: &[u8; 16] = message.get(at..)?.first_chunk()?;
    Some(Ipv6Addr::from(*octets))
}

/// A neighbour's advertisement to be sent, with all of its IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourAdvertRepr {
    /// Whom it is from.
    pub source: Ipv6Addr,
    /// Whom it is for: who asked, or [`ALL_NODES`] if it was a probe (RFC 4861 §7.2.4).
    pub destination: Ipv6Addr,
    /// Whose Ethernet address is told.
    pub target: Ipv6Addr,
    /// That address.
    pub target_mac: MacAddr,
    /// Whether the target is a router. A host that is not told so again forgets it as one.
    pub router: bool,
    /// Whether it answers a question of the receiver; never to a group.
    pub solicited: bool,
    /// Whether it counts more than what the receiver knows.
    pub overrides: bool,
}

impl NeighbourAdvertRepr {
    /// Length of the packet, in bytes: IPv6 header, message, and the option with the address.
    pub const LEN: usize = Ipv6::LEN + Self::MESSAGE_LEN as usize;

    /// Length of the message and its option, in bytes.
    const MESSAGE_LEN: u16 = 32;

    /// The packet, its checksum included.
    pub fn emit(&self) -> [u8; Self::LEN] {
        let header = Ipv6Repr {
            source: self.source,
            destination: self.destination,
            next: Protocol::ICMPV6,
            hop_limit: HOP_LIMIT,
            traffic_class: 0,
            flow_label: 0,
            payload_len: Self::MESSAGE_LEN,
        };
        let flags = [
            (self.router, ROUTER),
            (self.solicited, SOLICITED),
            (self.overrides, OVERRIDE),
        ];
        let mut message = [0; Self::MESSAGE_LEN as usize];
        message[0] = 136;
        for (_, flag) in flags.into_iter().filter(|(set, _)| *set) {
            message[4] |= flag;
        }
        message[8..24].copy_from_slice(&self.target.octets());
        message[24..26].copy_from_slice(&[TARGET_MAC, 1]);
        message[26..].copy_from_slice(&self.target_mac);
        let pseudo = checksum::pseudo_v6(
            self.source,
            self.destination,
            Protocol::ICMPV6.0,
            Self::MESSAGE_LEN.into(),
        );
        let checksum = !checksum::add(pseudo, checksum::sum(&message));
        message[2..4].copy_from_slice(&checksum.to_be_bytes());

        let mut packet = [0; Self::LEN];
        packet[..Ipv6::LEN].copy_from_slice(&header.emit());
        packet[Ipv6::LEN..].copy_from_slice(&message);
        packet
    }
}

/// Every station of a network.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The group that the owner of `ip` listens to for questions about it: `ff02::1:ff00:0/104` and
/// its last three bytes.
#[inline]
pub fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Whether `group` is the one of some address's owner.
#[inline]
pub fn is_solicited_node(group: Ipv6Addr) -> bool {
    group == solicited_node(group)
}

/// The Ethernet address of the group `ip`: 33:33 and its last four bytes.
#[inline]
pub fn multicast_mac(ip: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = ip.octets();
    [0x33, 0x33, a, b, c, d]
}

#[cfg(test)]
mod tests;
