//! scapy: one python process that builds packets and reads them.
//!
//! `build.py` beside this file is all of it; a request is one line of JSON, as is its answer.

use crate::hex::{from_hex, hex};
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long one answer may take. The first waits until scapy is loaded: seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// A packet of a tunnel, from the Ethernet header on.
#[derive(Clone, Debug, Serialize)]
pub struct Outer {
    /// Of the outer Ethernet header: `"02:01:00:00:00:01"`.
    pub source: String,
    /// The same.
    pub destination: String,
    /// VLANs of the underlay, from outside in.
    pub vlans: Vec<u16>,
    /// The IP header, of either version.
    pub ip: Ip,
    /// A UDP header in front of GRE (RFC 8086).
    pub udp: Option<Udp>,
    /// The GRE header.
    pub gre: Gre,
    /// What it carries, in hex.
    pub inner: String,
}

/// What an outer IP header says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ip {
    /// The sender; it and the destination are of one IP version.
    pub source: IpAddr,
    /// The receiver.
    pub destination: IpAddr,
    /// TOS or traffic class: six bits of DSCP and two of ECN.
    pub tos: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Of IPv4, and of an IPv6 fragment.
    pub id: u32,
    /// DF; IPv6 is read as if it had it.
    pub dont_fragment: bool,
    /// MF.
    pub more: bool,
    /// Fragment offset, in units of 8 bytes.
    pub offset: u16,
    /// Options of IPv4, in hex.
    pub options: String,
    /// Extension headers of IPv6, in order: `hop`, `destination`, `routing`. A fragment header is
    /// not among them: it is said by `more` and `offset`.
    pub extensions: Vec<String>,
    /// Of IPv6.
    pub flow_label: u32,
}

/// A UDP header to be built.
#[derive(Clone, Debug, Serialize)]
pub struct Udp {
    /// Source port.
    pub source: u16,
    /// Destination port: 4754 for GRE.
    pub destination: u16,
    /// Whether there is a checksum.
    pub checksum: bool,
}

/// A GRE header to be built.
#[derive(Clone, Debug, Serialize)]
pub struct Gre {
    /// Its checksum, if there is one.
    pub checksum: Written,
    /// Its key, if there is one.
    pub key: Option<u32>,
    /// Its sequence number, if there is one.
    pub sequence: Option<u32>,
    /// What it carries: an ethertype.
    pub protocol: u16,
    /// Its version.
    pub version: u8,
    /// The routing bit of RFC 1701. No routes follow.
    pub routing: bool,
    /// Bits 4 to 12, in their place: `0x0ff8`.
    pub reserved: u16,
}

/// A checksum to be written.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Written {
    /// None.
    None,
    /// The right one.
    Right,
    /// This one.
    Given(u16),
}

/// A checksum that was read, and computed again by scapy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Summed {
    /// There is none.
    None,
    /// It is the one that scapy computes.
    Right,
    /// It is not.
    Wrong,
}

/// A packet as scapy reads it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Seen {
    /// Of the outer Ethernet header.
    pub source: String,
    /// The same.
    pub destination: String,
    /// VLANs of the underlay, from outside in.
    pub vlans: Vec<u16>,
    /// The IP header.
    pub ip: Ip,
    /// The checksum of an IPv4 header.
    pub ip_checksum: Summed,
    /// Bytes behind the end of the IP packet.
    pub trailing: i64,
    /// The UDP header, if there is one.
    pub udp: Option<SeenUdp>,
    /// The GRE header, if there is one.
    pub gre: Option<SeenGre>,
    /// What GRE carries, in hex.
    pub inner: String,
}

/// A UDP header as scapy reads it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SeenUdp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Its length field, in bytes.
    pub length: u16,
    /// Its checksum, over the pseudo-header too.
    pub checksum: Summed,
}

/// A GRE header as scapy reads it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SeenGre {
    /// Its checksum, over all that follows.
    pub checksum: Summed,
    /// Its key.
    pub key: Option<u32>,
    /// Its sequence number.
    pub sequence: Option<u32>,
    /// What it carries.
    pub protocol: u16,
    /// Its version.
    pub version: u8,
    /// The routing bit.
    pub routing: bool,
    /// Bits 4 to 12, in their place.
    pub reserved: u16,
}

impl Outer {
    /// `inner` in plain GRE, from one host to another.
    pub fn new(ip: Ip, gre: Gre, inner: &[u8]) -> Self {
        Self {
            source: "02:01:00:00:00:02".to_owned(),
            destination: "02:01:00:00:00:01".to_owned(),
            vlans: Vec::new(),
            ip,
            udp: None,
            gre,
            inner: hex(inner),
        }
    }
}

impl Ip {
    /// A whole packet without options.
    pub fn new(source: IpAddr, destination: IpAddr) -> Self {
        Self {
            source,
            destination,
            tos: 0,
            ttl: 64,
            id: 0,
            dont_fragment: true,
            more: false,
            offset: 0,
            options: String::new(),
            extensions: Vec::new(),
            flow_label: 0,
        }
    }
}

impl Gre {
    /// GRE with an Ethernet frame in it, and with this key.
    pub fn new(key: Option<u32>) -> Self {
        Self {
            checksum: Written::None,
            key,
            sequence: None,
            protocol: 0x6558,
            version: 0,
            routing: false,
            reserved: 0,
        }
    }
}

/// The python process. Dropped, it ends.
///
/// It does not outlive the thread that started it.
pub struct Scapy {
    child: Child,
    asked: ChildStdin,
    said: Receiver<String>,
}

impl Scapy {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If it does not start. That there is no scapy is found out by the first question.
    pub fn start() -> Result<Self> {
        // Debian's python, for Debian's scapy; isolated from what lies about in this folder.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "/usr/bin/python3", "-I", "-c"]);
        command.arg(include_str!("build.py"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start /usr/bin/python3")?;
        let asked = child.stdin.take().context("python has no stdin")?;
        let lines = BufReader::new(child.stdout.take().context("python has no stdout")?).lines();
        let (say, said) = channel();
        // Ends with the process, whose output it reads.
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| say.send(line))
        });
        Ok(Self { child, asked, said })
    }

    /// A packet with every length and checksum as scapy computes it.
    ///
    /// # Errors
    ///
    /// If scapy does not take it.
    pub fn build(&mut self, outer: &Outer) -> Result<Vec<u8>> {
        let answer = self.ask(&json!({ "build": outer }))?;
        from_hex(answer["frame"].as_str().context("no frame")?)
    }

    /// What a packet of a tunnel says.
    ///
    /// # Errors
    ///
    /// If it is not IP, as scapy sees it.
    pub fn read(&mut self, frame: &[u8]) -> Result<Seen> {
        let answer = self.ask(&json!({ "read": hex(frame) }))?;
        serde_json::from_value(answer.clone()).with_context(|| format!("scapy said {answer}"))
    }

    /// Whether every checksum in a guest's frame is right: IPv4, TCP, UDP, ICMP.
    ///
    /// # Errors
    ///
    /// If scapy cannot read it.
    pub fn is_summed(&mut self, frame: &[u8]) -> Result<bool> {
        let answer = self.ask(&json!({ "checksums": hex(frame) }))?;
        Ok(answer["checksums"] == "right")
    }

    fn ask(&mut self, question: &Value) -> Result<Value> {
        let why = "scapy does not listen; is the package python3-scapy there?";
        writeln!(self.asked, "{question}").context(why)?;
        let line = self.said.recv_timeout(LIMIT).context(why)?;
        let answer: Value = serde_json::from_str(&line)?;
        if let Some(error) = answer.get("error") {
            bail!("scapy: {error}, when asked {question}");
        }
        Ok(answer)
    }
}

impl Drop for Scapy {
    fn drop(&mut self) {
        // That it is gone already is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
