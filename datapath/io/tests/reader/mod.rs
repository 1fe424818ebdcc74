//! What is ours, read from a frame in the plainest way: what the steering program is held against.

use crate::packets::{ALSO_OURS, ALSO_OURS6, GRE, GRE_PORT, OURS, OURS6, UDP};

/// Whether a frame of an underlay is ours, if our VLAN is `vlan`.
pub(crate) fn is_ours(frame: &[u8], vlan: Option<u16>) -> bool {
    frame_is_ours(frame, vlan) == Some(true)
}

/// The number in network order at byte `at`; `None` if it is cut off.
fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn frame_is_ours(frame: &[u8], vlan: Option<u16>) -> Option<bool> {
    let (kind, found, packet) = match number(frame, 12)? {
        0x8100 | 0x88a8 => (number(frame, 16)?, number(frame, 14)? % 4096, &frame[18..]),
        kind => (kind, 0, &frame[14..]),
    };
    if found != vlan.unwrap_or(0) {
        return Some(false);
    }
    match kind {
        0x0800 => packet4_is_ours(packet),
        0x86dd => packet6_is_ours(packet),
        _ => Some(false),
    }
}

fn packet4_is_ours(packet: &[u8]) -> Option<bool> {
    let to = packet.get(16..20)?;
    let (version, words) = (packet[0] / 16, usize::from(packet[0] % 16));
    if version != 4 || words < 5 || (to != OURS && to != ALSO_OURS) {
        return Some(false);
    }
    let (offset, more) = (number(packet, 6)? % 0x2000, packet[6] & 0x20 != 0);
    if packet[9] == GRE {
        return Some(true);
    }
    let behind = packet.get(words * 4..)?;
    match packet[9] {
        UDP => Some(offset == 0 && number(behind, 2)? == GRE_PORT),
        1 => {
            let quoted = behind.get(8..)?;
            let source = quoted.get(..20)?.get(12..16)?;
            let tunnel = match quoted[9] {
                GRE => true,
                UDP => number(quoted, 6)? % 0x2000 == 0 && number(quoted, 22)? == GRE_PORT,
                _ => false,
            };
            let error = offset == 0 && !more && behind[..2] == [3, 4];
            Some(error && tunnel && quoted[0] == 0x45 && source == to)
        }
        _ => Some(false),
    }
}

fn packet6_is_ours(packet: &[u8]) -> Option<bool> {
    let to = packet.get(24..40)?;
    if packet[0] / 16 != 6 || (to != OURS6 && to != ALSO_OURS6) {
        return Some(false);
    }
    let (mut next, mut at, mut part) = (packet[6], 40, 0);
    for _ in 0..4 {
        let header = match next {
            0 | 43 | 44 | 60 => packet.get(at..at + 8)?,
            _ => break,
        };
        if next == 44 {
            part |= number(header, 2)? & !6; // two bits are reserved
            at += 8;
        } else {
            at += 8 + 8 * usize::from(header[1]);
        }
        next = header[0];
        if part > 7 {
            return Some(next == GRE);
        }
    }
    if next == GRE {
        return Some(true);
    }
    let behind = packet.get(at..)?;
    match next {
        UDP => Some(number(behind, 2)? == GRE_PORT),
        58 => {
            let quoted = behind.get(8..)?;
            let source = quoted.get(..40)?.get(8..24)?;
            let tunnel = match quoted[6] {
                GRE => true,
                UDP => number(quoted, 42)? == GRE_PORT,
                _ => false,
            };
            let error = part == 0 && behind[0] == 2;
            Some(error && tunnel && quoted[0] / 16 == 6 && source == to)
        }
        _ => Some(false),
    }
}
