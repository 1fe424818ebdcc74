//! Asking the kernel, and hearing from it: rtnetlink (RFC 3549), nothing decided.

use super::{LinkState, Neighbour, NoRoute, Route, Watched};
use mio::unix::SourceFd;
use mio::{Events as Signs, Interest, Poll, Registry, Token};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use program::{Interface, Mac};
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// How long the kernel may take for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of one datagram of the kernel's; it makes none longer.
const DATAGRAM: usize = 64 << 10;

/// Multicast groups of rtnetlink, by their numbers in `linux/rtnetlink.h`.
const GROUPS: [u32; 5] = [
    1, // links
    3, // neighbours
    5, // IPv4 addresses
    7, // IPv4 routes
    8, // IPv4 rules
];

// Numbers of `errno.h` that the kernel answers a route request with.
const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EACCES: i32 = 13;
const ENODEV: i32 = 19;
const EINVAL: i32 = 22;
const ENETUNREACH: i32 = 101;
const ENOBUFS: i32 = 105;
const EHOSTUNREACH: i32 = 113;

/// What the kernel says unasked.
pub(super) struct Events {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Events {
    /// Subscribes to all that can change a way.
    pub(super) fn open(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        socket.set_non_blocking(true)?;
        let descriptor = socket.as_raw_fd();
        registry.register(&mut SourceFd(&descriptor), token, Interest::READABLE)?;
        let buffer = Vec::with_capacity(DATAGRAM);
        Ok(Self { socket, buffer })
    }

    /// Reads all there is; says whether it may change a way. Of neighbours only those in
    /// `watched` do: a busy host hears of hundreds.
    pub(super) fn matter(&mut self, watched: &BTreeMap<(u32, Ipv4Addr), Watched>) -> bool {
        let mut matter = false;
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(0) => return matter,
                Ok(_) => matter |= messages(&self.buffer).any(|m| concerns(&m.payload, watched)),
                // Some were lost: look at everything.
                Err(error) if error.raw_os_error() == Some(ENOBUFS) => matter = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return matter,
            }
        }
    }
}

fn concerns(
    payload: &NetlinkPayload<RouteNetlinkMessage>,
    watched: &BTreeMap<(u32, Ipv4Addr), Watched>,
) -> bool {
    match payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewNeighbour(message) | RouteNetlinkMessage::DelNeighbour(message),
        ) => destination(message)
            .is_some_and(|address| watched.contains_key(&(message.header.ifindex, address))),
        _ => true,
    }
}

fn destination(message: &NeighbourMessage) -> Option<Ipv4Addr> {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(*address),
            _ => None,
        })
}

/// The messages of one datagram; ends at the first that cannot be read.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> + '_ {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).ok()?;
        let length = usize::try_from(message.header.length).ok()?;
        let aligned = length.max(1).next_multiple_of(4).min(bytes.len());
        bytes = &bytes[aligned..];
        Some(message)
    })
}

/// Asks the kernel.
pub(super) struct Kernel {
    socket: Socket,
    poll: Poll,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Kernel {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        let poll = Poll::new()?;
        let descriptor = socket.as_raw_fd();
        let mut source = SourceFd(&descriptor);
        poll.registry()
            .register(&mut source, Token(0), Interest::READABLE)?;
        Ok(Self {
            socket,
            poll,
            sequence: 0,
            buffer: Vec::with_capacity(DATAGRAM),
        })
    }

    /// The route a packet from `endpoint` to `remote` would take now.
    pub(super) fn route(
        &mut self,
        endpoint: Ipv4Addr,
        remote: Ipv4Addr,
    ) -> io::Result<Result<Route, NoRoute>> {
        let number = match self.route_from(Some(endpoint), remote)? {
            Ok(route) => return Ok(Ok(route)),
            Err(number) => number,
        };
        // To a source that is not ours the kernel says what it says to a destination without a
        // route, or, before Linux 6, to a blackhole.
        if !matches!(self.route_from(None, endpoint)?, Ok(route) if route.local) {
            return Ok(Err(NoRoute::NotOurs));
        }
        Ok(Err(match number {
            ENETUNREACH | EHOSTUNREACH | ESRCH => NoRoute::Unreachable,
            EACCES => NoRoute::Prohibited,
            EINVAL => NoRoute::Blackhole,
            number => NoRoute::Errno(number),
        }))
    }

    fn route_from(
        &mut self,
        source: Option<Ipv4Addr>,
        to: Ipv4Addr,
    ) -> io::Result<Result<Route, i32>> {
        let mut request = RouteMessage::default();
        request.header.address_family = AddressFamily::Inet;
        request.header.destination_prefix_length = 32;
        let destination = RouteAttribute::Destination(RouteAddress::Inet(to));
        request.attributes.push(destination);
        if let Some(source) = source {
            request.header.source_prefix_length = 32;
            let source = RouteAttribute::Source(RouteAddress::Inet(source));
            request.attributes.push(source);
        }
        let answer = self.ask(RouteNetlinkMessage::GetRoute(request), 0)?;
        Ok(answer.map(|answer| match answer {
            Some(RouteNetlinkMessage::NewRoute(message)) => read_route(&message),
            _ => Route {
                local: false,
                gateway: None,
                foreign: false,
                interface: 0,
                mtu: None,
            },
        }))
    }

    /// The interface with this index; none if there is none.
    pub(super) fn link(&mut self, index: u32) -> io::Result<Option<LinkState>> {
        let mut request = LinkMessage::default();
        request.header.index = index;
        match self.ask(RouteNetlinkMessage::GetLink(request), 0)? {
            Ok(Some(RouteNetlinkMessage::NewLink(message))) => Ok(read_link(&message)),
            Ok(_) | Err(ENODEV | EINVAL) => Ok(None),
            Err(number) => Err(io::Error::from_raw_os_error(number)),
        }
    }

    /// What is known of a neighbour; none if nothing is.
    pub(super) fn neighbour(
        &mut self,
        interface: u32,
        address: Ipv4Addr,
    ) -> io::Result<Option<Neighbour>> {
        let request = neighbour_message(interface, address);
        match self.ask(RouteNetlinkMessage::GetNeighbour(request), 0)? {
            Ok(Some(RouteNetlinkMessage::NewNeighbour(message))) => Ok(read_neighbour(&message)),
            Ok(_) | Err(ENOENT | ENODEV) => Ok(None),
            Err(number) => Err(io::Error::from_raw_os_error(number)),
        }
    }

    /// Asks the kernel to use a neighbour, as if a packet went there: to look for it if it does
    /// not know it, to make sure of it if it has not heard from it for a while.
    pub(super) fn seek(&mut self, interface: u32, address: Ipv4Addr) -> io::Result<()> {
        let mut request = neighbour_message(interface, address);
        request.header.flags = NeighbourFlags::Use;
        let message = RouteNetlinkMessage::NewNeighbour(request);
        match self.ask(message, NLM_F_CREATE | NLM_F_ACK)? {
            Ok(_) | Err(ENODEV | ENOENT) => Ok(()),
            Err(number) => Err(io::Error::from_raw_os_error(number)),
        }
    }

    /// Sends `message`, and waits for the answer: a message, nothing (it was only acknowledged),
    /// or the number of the error the kernel met.
    fn ask(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Result<Option<RouteNetlinkMessage>, i32>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;

        let deadline = Instant::now() + PATIENCE;
        loop {
            self.receive(deadline)?;
            let sequence = self.sequence;
            // An answer to a question that was given up is passed over.
            let answer = messages(&self.buffer).find(|m| m.header.sequence_number == sequence);
            match answer.map(|message| message.payload) {
                Some(NetlinkPayload::InnerMessage(message)) => return Ok(Ok(Some(message))),
                Some(NetlinkPayload::Error(error)) => {
                    let number = error.code.map(|code| -code.get());
                    return Ok(number.map_or(Ok(None), Err));
                }
                Some(_) => return Ok(Ok(None)),
                None if u32_at(&self.buffer, 8) == Some(sequence) => {
                    let why = "an answer that cannot be read";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
                None => {}
            }
        }
    }

    /// Receives one datagram into the buffer.
    fn receive(&mut self, deadline: Instant) -> io::Result<()> {
        let mut signs = Signs::with_capacity(1);
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match self.poll.poll(&mut signs, Some(left)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn neighbour_message(interface: u32, address: Ipv4Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = interface;
    let destination = NeighbourAttribute::Destination(NeighbourAddress::Inet(address));
    message.attributes.push(destination);
    message
}

fn read_route(message: &RouteMessage) -> Route {
    let mut route = Route {
        local: message.header.kind != RouteType::Unicast,
        gateway: None,
        foreign: false,
        interface: 0,
        mtu: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => route.gateway = Some(*address),
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => route.foreign = true,
            RouteAttribute::Oif(index) => route.interface = *index,
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    route
}

fn read_link(message: &LinkMessage) -> Option<LinkState> {
    let flags = message.header.flags;
    let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    let (mut name, mut mac, mut mtu) = (None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Interface::try_from(text.clone()).ok(),
            LinkAttribute::Address(bytes) if ethernet => {
                mac = <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac);
            }
            LinkAttribute::Mtu(bytes) => mtu = *bytes,
            _ => {}
        }
    }
    Some(LinkState {
        name: name?,
        mac,
        mtu,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        arp: !flags.contains(LinkFlags::Noarp),
    })
}

fn read_neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let mac = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac)
            }
            _ => None,
        });
    match (message.header.state, mac) {
        (NeighbourState::Reachable, Some(mac)) => Some(Neighbour::Fresh(mac)),
        (NeighbourState::Permanent, Some(mac)) => Some(Neighbour::Lasting(mac)),
        (NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe, Some(mac)) => {
            Some(Neighbour::Fading(mac))
        }
        (NeighbourState::Failed, _) => Some(Neighbour::Failed),
        (NeighbourState::Incomplete, _) => Some(Neighbour::Sought),
        _ => None,
    }
}
