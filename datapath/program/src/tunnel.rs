//! One peer host of one network.

use crate::{Name, ProgramError, Vnet};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// One peer host of one network.
///
/// What comes from a peer is read by what its headers say, whatever the program sends: a checksum
/// that is there is verified, GRE in UDP is taken from a peer that is sent plain GRE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TunnelProgram {
    /// What people call it.
    pub name: Name,
    /// The network it belongs to; its number is the GRE key.
    pub vnet: Vnet,
    /// The peer's end: where its GRE comes from, and ours goes to.
    pub remote: IpAddr,
    /// Whether the key is sent, and expected (RFC 2890 §2.1). Without it the peer can have one
    /// network only. Yes if not said.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub keyed: bool,
    /// Whether a checksum is sent (RFC 2784 §2.2). No if not said.
    #[serde(default, skip_serializing_if = "is_no")]
    pub checksum: bool,
    /// Whether sequence numbers are sent, and asked for (RFC 2890 §2.2). Not if not said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sequence: Sequence,
    /// Straight on IP, or in UDP. Straight if not said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub transport: Transport,
    /// Time to live, or hop limit, of what is sent: 1 to 255; 64 if not said.
    #[serde(default = "default_ttl", skip_serializing_if = "is_default_ttl")]
    pub ttl: u8,
    /// The DSCP of what is sent. 0 if not said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dscp: Dscp,
    /// The don't-fragment bit of what is sent over IPv4. Set if not said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub df: DontFragment,
    /// What is done with a frame that does not fit the way. `inner` if not said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub oversize: Oversize,
}

impl TunnelProgram {
    /// A program that says nothing but what it must.
    pub fn new(name: Name, vnet: Vnet, remote: IpAddr) -> Self {
        Self {
            name,
            vnet,
            remote,
            keyed: true,
            checksum: false,
            sequence: Sequence::default(),
            transport: Transport::default(),
            ttl: default_ttl(),
            dscp: Dscp::default(),
            df: DontFragment::default(),
            oversize: Oversize::default(),
        }
    }

    /// The key in its packets.
    pub fn key(&self) -> Option<u32> {
        self.keyed.then_some(self.vnet.0)
    }
}

/// What is done about sequence numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sequence {
    /// None are sent; those that come are counted.
    #[default]
    None,
    /// They are sent; those that come are counted, and nothing is dropped for them.
    Sent,
    /// They are sent, and what comes without one, late, or twice is dropped: the peer has to send
    /// them first.
    Ordered,
}

/// What carries GRE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// IP, protocol 47.
    #[default]
    Gre,
    /// UDP, port 4754; the source port is the inner flow's, so that whoever hashes ports spreads
    /// flows (RFC 8086).
    Udp,
}

/// Where the DSCP of a sent packet comes from, and whether a received one is handed on
/// (RFC 2983). Written `"uniform"`, or a number of 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenDscp", into = "WrittenDscp")]
pub enum Dscp {
    /// The inner packet's goes out, and what came in goes to the inner packet.
    Uniform,
    /// Always this one goes out, and the inner packet keeps its own.
    Pipe(u8),
}

impl Default for Dscp {
    fn default() -> Self {
        Self::Pipe(0)
    }
}

/// Which don't-fragment bit is sent over IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DontFragment {
    /// Set: a router that cannot carry it says so, and the tunnel's MTU follows.
    #[default]
    Set,
    /// Clear: routers may fragment it.
    Clear,
    /// As the inner IPv4 packet has it; set for anything else.
    Copy,
}

/// What is done with a frame that does not fit the way to the peer (RFC 7588).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oversize {
    /// Its sender is told, where it can be; it is dropped.
    Answer,
    /// An inner IPv4 packet that allows it is fragmented; else as `answer`.
    #[default]
    Inner,
    /// The tunnel packet is fragmented, whatever is in it; the peer puts it together.
    Outer,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a DSCP is \"uniform\", or a number of 0 to 63")]
enum WrittenDscp {
    Number(u8),
    Word(Uniform),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Uniform {
    Uniform,
}

impl TryFrom<WrittenDscp> for Dscp {
    type Error = ProgramError;

    fn try_from(written: WrittenDscp) -> Result<Self, ProgramError> {
        match written {
            WrittenDscp::Word(Uniform::Uniform) => Ok(Self::Uniform),
            WrittenDscp::Number(number) if number < 64 => Ok(Self::Pipe(number)),
            WrittenDscp::Number(number) => Err(ProgramError::OutOfRange {
                field: "dscp",
                got: u64::from(number),
                low: 0,
                high: 63,
            }),
        }
    }
}

impl From<Dscp> for WrittenDscp {
    fn from(dscp: Dscp) -> Self {
        match dscp {
            Dscp::Uniform => Self::Word(Uniform::Uniform),
            Dscp::Pipe(number) => Self::Number(number),
        }
    }
}

fn yes() -> bool {
    true
}

fn default_ttl() -> u8 {
    64
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_yes(value: &bool) -> bool {
    *value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_no(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_default_ttl(value: &u8) -> bool {
    *value == default_ttl()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
