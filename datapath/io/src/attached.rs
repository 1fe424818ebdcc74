//! Whose XDP program is on an interface: to tell an operator, once something was refused.

use aya::programs::loaded_programs;
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage, LinkXdp};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use std::io;
use std::os::fd::AsRawFd;

/// The XDP program on an interface, as far as the kernel says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Its number, as in `bpftool prog show id`.
    pub id: Option<u32>,
    /// Its name.
    pub name: Option<String>,
}

impl core::fmt::Display for Attached {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match (self.id, &self.name) {
            (Some(id), Some(name)) => write!(f, "number {id}, `{name}`"),
            (Some(id), None) => write!(f, "number {id}"),
            (None, _) => f.write_str("the kernel does not say which"),
        }
    }
}

/// The program on the interface with number `index`. Whatever fails is left out: this is asked
/// when there is an error to be told already.
pub(crate) fn to(index: u32) -> Attached {
    let id = program(index).ok().flatten();
    let name = id.and_then(|id| {
        let known = loaded_programs().flatten().find(|known| known.id() == id)?;
        known.name_as_str().map(str::to_owned)
    });
    Attached { id, name }
}

/// Asks the kernel for the link, and reads the number of its program.
fn program(index: u32) -> io::Result<Option<u32>> {
    let mut question = LinkMessage::default();
    question.header.index = index;
    let mut message = NetlinkMessage::new(
        NetlinkHeader::default(),
        NetlinkPayload::from(RouteNetlinkMessage::GetLink(question)),
    );
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);

    let socket = Socket::new(NETLINK_ROUTE)?;
    bound_in_time(&socket)?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = answer.payload else {
        return Ok(None);
    };
    let facts = link.attributes.into_iter().filter_map(|attribute| {
        let LinkAttribute::Xdp(facts) = attribute else {
            return None;
        };
        Some(facts)
    });
    Ok(facts.flatten().find_map(|fact| match fact {
        LinkXdp::ProgId(id) => Some(id),
        _ => None,
    }))
}

/// Lets no call on `socket` wait longer than a second: the kernel answers at once, or not at all.
fn bound_in_time(socket: &Socket) -> io::Result<()> {
    let limit = libc::timeval {
        tv_sec: 1,
        tv_usec: 0,
    };
    let bytes = libc::socklen_t::try_from(size_of_val(&limit)).unwrap_or(0);
    // SAFETY: the kernel reads `bytes` bytes at `limit`, which are there.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const limit).cast(),
            bytes,
        ) != 0
    };
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
