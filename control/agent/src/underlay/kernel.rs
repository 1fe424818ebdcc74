//! Asking the kernel, and hearing from it: rtnetlink (RFC 3549), nothing decided.

mod next_hop;
mod read;

use super::{LinkState, Neighbour, NoRoute, Route, RouteHop, Watched};
use mio::unix::SourceFd;
use mio::{Events as Signs, Interest, Poll, Registry, Token};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage};
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use next_hop::NextHop;
use program::Interface;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// How long the kernel may take for an answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of one datagram of the kernel's; it makes none longer.
const DATAGRAM: usize = 64 << 10;

/// Multicast groups of rtnetlink, by their numbers in `linux/rtnetlink.h`.
const GROUPS: [u32; 10] = [
    1,  // links
    3,  // neighbours
    5,  // IPv4 addresses
    7,  // IPv4 routes
    8,  // IPv4 rules
    9,  // IPv6 addresses
    11, // IPv6 routes
    12, // what IPv6 says of links, the MTU of routers among it
    19, // IPv6 rules
    32, // next hops by number
];

/// The bytes of a message's header (`struct nlmsghdr`).
const HEADER: usize = 16;

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
    pub(super) fn matter(&mut self, watched: &BTreeMap<(u32, IpAddr), Watched>) -> bool {
        let mut matter = false;
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, 0) {
                Ok(0) => return matter,
                Ok(_) => {
                    // What cannot be read may be anything; next hops by number are among it.
                    let concerns = |message: &[u8]| {
                        let message = NetlinkMessage::deserialize(message);
                        message.map_or(true, |message| concerns(&message.payload, watched))
                    };
                    matter |= split(&self.buffer).any(concerns);
                }
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
    watched: &BTreeMap<(u32, IpAddr), Watched>,
) -> bool {
    match payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewNeighbour(message) | RouteNetlinkMessage::DelNeighbour(message),
        ) => destination(message)
            .is_some_and(|address| watched.contains_key(&(message.header.ifindex, address))),
        _ => true,
    }
}

fn destination(message: &NeighbourMessage) -> Option<IpAddr> {
    let mut attributes = message.attributes.iter();
    attributes.find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(address) => read::neighbour_address(address),
        _ => None,
    })
}

/// The messages of one datagram, as they were sent.
fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let length = length.max(HEADER).next_multiple_of(4).min(bytes.len());
        let (message, rest) = bytes.split_at(length);
        bytes = rest;
        Some(message)
    })
}

/// Asks the kernel.
pub(super) struct Kernel {
    socket: Socket,
    poll: Poll,
    sequence: u32,
    buffer: Vec<u8>,
    /// The next hops behind numbers, as far as they were asked for in this look.
    numbered: BTreeMap<u32, Vec<RouteHop>>,
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
            numbered: BTreeMap::new(),
        })
    }

    /// Whether `endpoint` is an address of this host.
    pub(super) fn ours(&mut self, endpoint: IpAddr) -> io::Result<bool> {
        let answer = self.get_route(None, endpoint)?;
        Ok(answer.is_ok_and(|message| message.header.kind == RouteType::Local))
    }

    /// The route for packets from `endpoint` to `remote`: all of it, not what one of them would
    /// take. The MTU that the kernel may have learned of the path is not part of it.
    pub(super) fn route(
        &mut self,
        endpoint: IpAddr,
        remote: IpAddr,
    ) -> io::Result<Result<Route, NoRoute>> {
        let answer = match self.get_route(Some(endpoint), remote) {
            // This one only: the ways to other peers are no worse for it.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Ok(Err(NoRoute::Unread));
            }
            answer => answer?,
        };
        Ok(match answer {
            Ok(message) => {
                let mut route = read::route(&message);
                if let Some(number) = read::by_number(&message) {
                    route.hops = self.numbered(number)?;
                }
                Ok(route)
            }
            Err(ENETUNREACH | EHOSTUNREACH | ESRCH) => Err(NoRoute::Unreachable),
            Err(EACCES) => Err(NoRoute::Prohibited),
            Err(EINVAL) => Err(NoRoute::Blackhole),
            Err(number) => Err(NoRoute::Errno(number)),
        })
    }

    /// The next hops behind a number.
    fn numbered(&mut self, number: u32) -> io::Result<Vec<RouteHop>> {
        if let Some(hops) = self.numbered.get(&number) {
            return Ok(hops.clone());
        }
        let mut hops = Vec::new();
        match self.get_next_hop(number)? {
            None => {}
            Some(NextHop::One(hop)) => hops.push(hop),
            Some(NextHop::Group(members)) => {
                for member in members {
                    if let Some(NextHop::One(hop)) = self.get_next_hop(member)? {
                        hops.push(hop);
                    }
                }
            }
        }
        self.numbered.insert(number, hops.clone());
        Ok(hops)
    }

    fn get_next_hop(&mut self, number: u32) -> io::Result<Option<NextHop>> {
        let question = next_hop::request(self.next(), number);
        Ok(next_hop::answer(&self.exchange(&question)?))
    }

    /// Forgets what is behind numbers: many routes name the same, and it is asked for once a look.
    pub(super) fn look_again(&mut self) {
        self.numbered.clear();
    }

    fn get_route(
        &mut self,
        source: Option<IpAddr>,
        to: IpAddr,
    ) -> io::Result<Result<RouteMessage, i32>> {
        let mut request = RouteMessage::default();
        let length = if to.is_ipv4() { 32 } else { 128 };
        request.header.address_family = to.into();
        request.header.flags = RouteFlags::FibMatch;
        request.header.destination_prefix_length = length;
        let destination = RouteAttribute::Destination(to.into());
        request.attributes.push(destination);
        if let Some(source) = source {
            request.header.source_prefix_length = length;
            let source = RouteAttribute::Source(source.into());
            request.attributes.push(source);
        }
        let answer = self.ask(RouteNetlinkMessage::GetRoute(request), 0)?;
        Ok(answer.map(|answer| match answer {
            Some(RouteNetlinkMessage::NewRoute(message)) => message,
            _ => RouteMessage::default(),
        }))
    }

    /// The interface with this index; none if there is none.
    pub(super) fn link(&mut self, index: u32) -> io::Result<Option<LinkState>> {
        let Some(message) = self.get_link(index)? else {
            return Ok(None);
        };
        let Some(mut link) = read::link(&message) else {
            return Ok(None);
        };
        if let Some(vlan) = &mut link.vlan
            && let Some(below) = read::below(&message)
        {
            vlan.below = self.name(below)?;
        }
        Ok(Some(link))
    }

    fn name(&mut self, index: u32) -> io::Result<Option<Interface>> {
        let message = self.get_link(index)?;
        Ok(message.and_then(|message| read::name(&message)))
    }

    fn get_link(&mut self, index: u32) -> io::Result<Option<LinkMessage>> {
        let mut request = LinkMessage::default();
        request.header.index = index;
        match self.ask(RouteNetlinkMessage::GetLink(request), 0)? {
            Ok(Some(RouteNetlinkMessage::NewLink(message))) => Ok(Some(message)),
            Ok(_) | Err(ENODEV | EINVAL) => Ok(None),
            Err(number) => Err(io::Error::from_raw_os_error(number)),
        }
    }

    /// What is known of a neighbour; none if nothing is.
    pub(super) fn neighbour(
        &mut self,
        interface: u32,
        address: IpAddr,
    ) -> io::Result<Option<Neighbour>> {
        let request = neighbour_message(interface, address);
        match self.ask(RouteNetlinkMessage::GetNeighbour(request), 0)? {
            Ok(Some(RouteNetlinkMessage::NewNeighbour(message))) => Ok(read::neighbour(&message)),
            Ok(_) | Err(ENOENT | ENODEV) => Ok(None),
            Err(number) => Err(io::Error::from_raw_os_error(number)),
        }
    }

    /// Asks the kernel to use a neighbour, as if a packet went there: to look for it if it does
    /// not know it, to make sure of it if it has not heard from it for a while.
    pub(super) fn seek(&mut self, interface: u32, address: IpAddr) -> io::Result<()> {
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
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.next();
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let answer = self.exchange(&bytes)?;
        let Ok(message) = NetlinkMessage::deserialize(&answer) else {
            let why = "an answer that cannot be read";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        };
        Ok(match message.payload {
            NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
            NetlinkPayload::Error(error) => {
                let number = error.code.map(|code| -code.get());
                number.map_or(Ok(None), Err)
            }
            _ => Ok(None),
        })
    }

    /// The number of the next question.
    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends a question with the number that [`next`](Self::next) gave last, and waits for the
    /// answer. One to a question that was given up is passed over.
    fn exchange(&mut self, question: &[u8]) -> io::Result<Vec<u8>> {
        self.socket.send(question, 0)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.receive(deadline)?;
            let ours = |message: &&[u8]| u32_at(message, 8) == Some(self.sequence);
            if let Some(answer) = split(&self.buffer).find(ours) {
                return Ok(answer.to_vec());
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

fn neighbour_message(interface: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::from(address);
    message.header.ifindex = interface;
    let destination = NeighbourAttribute::Destination(address.into());
    message.attributes.push(destination);
    message
}
