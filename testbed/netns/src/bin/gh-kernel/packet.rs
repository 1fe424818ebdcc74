//! Tunnel packets as they are on the wire, read without any code of the datapath; and the inner
//! packets that are sent.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A tunnel packet.
#[derive(Clone, Debug)]
pub(crate) struct Outer {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    /// None over IPv6.
    pub(crate) df: Option<bool>,
    pub(crate) key: Option<u32>,
    pub(crate) sequence: Option<u32>,
    /// Whether it holds, if there is one.
    pub(crate) checksum: Option<bool>,
    /// The inner frame.
    pub(crate) inner: Vec<u8>,
}

impl Outer {
    /// Reads a frame; none if it is not one whole packet with GRE version 0 right behind the IP
    /// header and an Ethernet frame in it.
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(14..)?;
        let (ends, tos, ttl, df, gre) = match (frame[12], frame[13]) {
            (0x08, 0x00) => v4(packet)?,
            (0x86, 0xdd) => v6(packet)?,
            _ => return None,
        };
        let flags = number::<2>(gre, 0)?;
        // Version, routing and all that is reserved are 0; the payload is a bridged frame.
        if flags & !0xb000 != 0 || number::<2>(gre, 2)? != 0x6558 {
            return None;
        }
        let mut at = 4;
        let mut next = |there: bool| {
            let value = there.then(|| number::<4>(gre, at)).flatten();
            at += if there { 4 } else { 0 };
            value
        };
        let summed = next(flags & 0x8000 != 0);
        let key = next(flags & 0x2000 != 0);
        let sequence = next(flags & 0x1000 != 0);
        Some(Self {
            source: ends[0],
            destination: ends[1],
            tos,
            ttl,
            df,
            key,
            sequence,
            // The sum of all with its complement, and 0 where more is reserved.
            checksum: summed.map(|field| field.to_be_bytes()[2..] == [0, 0] && sum(gre) == 0xffff),
            inner: gre.get(at..)?.to_vec(),
        })
    }
}

type Ip<'a> = ([IpAddr; 2], u8, u8, Option<bool>, &'a [u8]);

fn v4(packet: &[u8]) -> Option<Ip<'_>> {
    let header = packet.get(..20)?;
    let length = usize::try_from(number::<2>(header, 2)?).ok()?;
    let fragments = number::<2>(header, 6)?;
    let whole = fragments & !0x4000 == 0;
    if header[0] != 0x45 || header[9] != 47 || !whole || sum(header) != 0xffff {
        return None;
    }
    let end = |at: usize| {
        header[at..]
            .first_chunk::<4>()
            .map(|b| Ipv4Addr::from(*b).into())
    };
    let ends = [end(12)?, end(16)?];
    let df = Some(fragments & 0x4000 != 0);
    Some((ends, header[1], header[8], df, packet.get(20..length)?))
}

fn v6(packet: &[u8]) -> Option<Ip<'_>> {
    let header = packet.get(..40)?;
    let first = number::<4>(header, 0)?;
    let length = usize::try_from(number::<2>(header, 4)?).ok()?;
    if first >> 28 != 6 || header[6] != 47 {
        return None;
    }
    let end = |at: usize| {
        header[at..]
            .first_chunk::<16>()
            .map(|b| Ipv6Addr::from(*b).into())
    };
    let ends = [end(8)?, end(24)?];
    let tos = u8::try_from(first >> 20 & 0xff).ok()?;
    Some((ends, tos, header[7], None, packet.get(40..40 + length)?))
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + N)?.iter();
    Some(bytes.fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

/// The one's complement sum of 16-bit words (RFC 1071).
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).copied().map_or(0, u32::from))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// An ICMP echo, asked or answered, in a frame: what is seen of it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) answer: bool,
    pub(crate) round: u16,
    pub(crate) number: u16,
    pub(crate) tos: u8,
    pub(crate) df: bool,
}

impl Echo {
    /// The DSCP of all that is asked.
    pub(crate) const DSCP: u8 = 10;

    /// How many echoes a round has.
    pub(crate) const ROUND: u16 = 16;

    /// Echo `number` of a round: every four after one another have every ECN, with DF and without;
    /// lengths are odd and even, down to nothing and up to an MTU of 1500.
    /// Each has an identifier of its own, and so is a flow of its own to whoever tracks flows.
    pub(crate) fn ask(round: u16, number: u16) -> (Self, Vec<u8>) {
        const SIZES: [u16; 6] = [0, 1, 45, 700, 1471, 1472];
        let this = Self {
            answer: false,
            round,
            number,
            tos: Self::DSCP << 2 | u8::try_from(number % 4).unwrap_or(0),
            df: number / 4 % 2 == 1,
        };
        let size = SIZES[usize::from(number) % SIZES.len()];
        let mut icmp = vec![8, 0, 0, 0];
        icmp.extend((round * Self::ROUND + number).to_be_bytes());
        icmp.extend(number.to_be_bytes());
        icmp.extend((0..size).map(|at| u8::try_from(at % 251).unwrap_or(0)));
        let complement = !u16::try_from(sum(&icmp)).unwrap_or(0);
        icmp[2..4].copy_from_slice(&complement.to_be_bytes());

        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, this.tos];
        frame.extend((28 + size).to_be_bytes());
        frame.extend(number.to_be_bytes());
        frame.extend([if this.df { 0x40 } else { 0 }, 0, 64, 1, 0, 0]);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend(icmp);
        sum_header(&mut frame);
        (this, frame)
    }

    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let header = frame.get(14..34)?;
        let icmp = frame.get(34..42)?;
        let is_echo = frame[12..15] == [8, 0, 0x45] && header[9] == 1 && matches!(icmp[0], 0 | 8);
        let identifier = u16::from_be_bytes([icmp[4], icmp[5]]);
        is_echo.then(|| Self {
            answer: icmp[0] == 0,
            round: identifier / Self::ROUND,
            number: identifier % Self::ROUND,
            tos: header[1],
            df: header[6] & 0x40 != 0,
        })
    }
}

/// The IPv4 frame with another TOS.
pub(crate) fn with_tos(frame: &[u8], tos: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[15] = tos;
    sum_header(&mut frame);
    frame
}

fn sum_header(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let complement = !u16::try_from(sum(&frame[14..34])).unwrap_or(0);
    frame[24..26].copy_from_slice(&complement.to_be_bytes());
}

/// The ECN of a packet that came in a tunnel packet, by both (RFC 6040 §4.2, figure 4); none if it
/// must be dropped.
pub(crate) fn decapsulated(outer: u8, inner: u8) -> Option<u8> {
    const NOT: u8 = 0;
    const ONE: u8 = 1;
    const ZERO: u8 = 2;
    const CE: u8 = 3;
    match (outer & 3, inner & 3) {
        (CE, NOT) => None,
        (CE, _) => Some(CE),
        (ONE, ZERO) => Some(ONE),
        (_, inner) => Some(inner),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// GRE with checksum, key 1 and sequence number 2 around a frame of one byte, as the kernel's
    /// `gretap` sent it.
    fn packet() -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([8, 0, 0x45, 0xb8, 0, 37, 0, 0, 0x40, 0, 64, 47, 0, 0]);
        frame.extend([192, 168, 77, 2, 192, 168, 77, 1]);
        sum_header(&mut frame);
        let mut gre = vec![0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 9];
        let complement = !u16::try_from(sum(&gre)).unwrap();
        gre[4..6].copy_from_slice(&complement.to_be_bytes());
        frame.extend(gre);
        frame
    }

    #[test]
    fn every_field_is_read() {
        let seen = Outer::read(&packet()).unwrap();
        assert_eq!((seen.tos, seen.ttl, seen.df), (0xb8, 64, Some(true)));
        assert_eq!((seen.key, seen.sequence), (Some(1), Some(2)));
        assert_eq!((seen.checksum, &seen.inner[..]), (Some(true), &[9][..]));
        assert_eq!(seen.destination, IpAddr::from([192, 168, 77, 1]));
    }

    #[test]
    fn a_changed_byte_breaks_the_checksum() {
        let mut packet = packet();
        *packet.last_mut().unwrap() ^= 1;
        assert_eq!(Outer::read(&packet).unwrap().checksum, Some(false));
    }

    #[test]
    fn a_fragment_and_another_version_are_not_read() {
        let mut version = packet();
        version[35] = 1;
        assert!(Outer::read(&version).is_none());
        let mut fragment = packet();
        fragment[20] = 0x20;
        sum_header(&mut fragment);
        assert!(Outer::read(&fragment).is_none());
    }

    #[test]
    fn an_echo_that_is_asked_is_read_back() {
        for number in 0..16 {
            let (echo, frame) = Echo::ask(7, number);
            assert_eq!(Echo::read(&frame), Some(echo));
            assert_eq!((sum(&frame[14..34]), sum(&frame[34..])), (0xffff, 0xffff));
        }
    }
}
