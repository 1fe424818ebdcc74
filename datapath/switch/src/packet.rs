//! A frame, and what is known of it.

use crate::{Headers, Marks, Verdict};
use frame::Frame;

/// In the place of a slot: none.
pub const NOWHERE: u16 = u16::MAX;

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The slot of the port it came in by: a guest's, or the underlay's.
    pub port: u16,
    /// The slot of the tunnel it came through; [`NOWHERE`] if it came through none.
    pub tunnel: u16,
}

/// Where a packet is to leave, before the outer headers are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// No service has said yet.
    Undecided,
    /// The guest port in this slot.
    Port(u16),
    /// The tunnel in this slot.
    Tunnel(u16),
    /// Every port and tunnel of its network but the one it came from.
    Flood,
}

/// A frame and what is known of it.
#[derive(Debug)]
pub struct Packet {
    /// The frame.
    pub frame: Frame,
    /// Where it came from.
    pub origin: Origin,
    /// The slot of its network; [`NOWHERE`] until a service has found out.
    pub vnet: u16,
    /// Where it is to leave.
    pub exit: Exit,
    /// What happens to it.
    pub verdict: Verdict,
    /// What its own headers say; nothing until the service that finds its network has looked.
    pub headers: Headers,
}

impl Packet {
    /// A frame that has just come in by `port`.
    pub fn new(frame: Frame, port: u16) -> Self {
        Self {
            frame,
            origin: Origin {
                port,
                tunnel: NOWHERE,
            },
            vnet: NOWHERE,
            exit: Exit::Undecided,
            verdict: Verdict::Next,
            headers: Headers::default(),
        }
    }

    /// Whether it is our answer to the one that came in.
    #[inline]
    pub fn is_answer(&self) -> bool {
        self.headers.marks.any(Marks::ANSWER)
    }

    /// Makes it our answer to the one that came in: that one counts as answered, not as sent.
    pub fn make_answer(&mut self) {
        self.headers.marks = self.headers.marks.with(Marks::ANSWER);
    }

    /// Another packet from the same place, for the same exit: a copy, or a piece.
    pub(crate) fn sibling(&self, frame: Frame) -> Self {
        Self { frame, ..*self }
    }
}

/// The packets of one step, in order. Its room is made once and never grows.
#[derive(Debug)]
pub struct Batch {
    packets: Vec<Packet>,
    /// For copies: of which packet of another batch each was made, as far as that is known.
    made_of: Vec<u16>,
    /// What [`weave`](Self::weave) works with.
    spare: Vec<Packet>,
    room: usize,
}

impl Batch {
    /// An empty batch with room for `room` packets.
    pub fn new(room: usize) -> Self {
        Self {
            packets: Vec::with_capacity(room),
            made_of: Vec::with_capacity(room),
            spare: Vec::with_capacity(room),
            room,
        }
    }

    /// Adds a packet at the end.
    ///
    /// # Errors
    ///
    /// The packet itself, if there is no room.
    #[inline]
    #[allow(clippy::result_large_err)] // the packet is handed back, not a description of it
    pub fn push(&mut self, packet: Packet) -> Result<(), Packet> {
        if self.packets.len() == self.room {
            return Err(packet);
        }
        self.packets.push(packet);
        Ok(())
    }

    /// Notes that the packets that were added since the last time were made of packet `at`.
    #[inline]
    pub(crate) fn made_of(&mut self, at: usize) {
        if self.made_of.len() < self.packets.len() {
            let at = u16::try_from(at).unwrap_or(u16::MAX);
            self.made_of.resize(self.packets.len(), at);
        }
    }

    /// Takes all of `copies` in, each behind the packet it was made of; those for which there is
    /// no room go to `refuse`.
    pub(crate) fn weave(&mut self, copies: &mut Self, mut refuse: impl FnMut(Packet)) {
        let mut room = self.room();
        let mut copies = copies
            .packets
            .drain(..)
            .zip(copies.made_of.drain(..))
            .peekable();
        for (at, packet) in self.packets.drain(..).enumerate() {
            self.spare.push(packet);
            while let Some((copy, _)) = copies.next_if(|(_, of)| usize::from(*of) == at) {
                if room == 0 {
                    refuse(copy);
                    continue;
                }
                room -= 1;
                self.spare.push(copy);
            }
        }
        core::mem::swap(&mut self.packets, &mut self.spare);
    }

    /// How many more it takes.
    #[inline]
    pub fn room(&self) -> usize {
        self.room - self.packets.len()
    }

    /// How many packets it has.
    #[inline]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// The packets, in order.
    pub fn iter(&self) -> core::slice::Iter<'_, Packet> {
        self.packets.iter()
    }

    /// The packets, in order, to be changed.
    #[inline]
    pub fn iter_mut(&mut self) -> core::slice::IterMut<'_, Packet> {
        self.packets.iter_mut()
    }

    /// Takes all packets out, in order.
    #[inline]
    pub fn drain(&mut self) -> impl Iterator<Item = Packet> + '_ {
        self.packets.drain(..)
    }
}

impl<'a> IntoIterator for &'a mut Batch {
    type Item = &'a mut Packet;
    type IntoIter = core::slice::IterMut<'a, Packet>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Packet;
    type IntoIter = core::slice::Iter<'a, Packet>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
