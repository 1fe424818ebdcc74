//! What a guest's port may do, made for reading.

use crate::config::{Addresses, Guest};
use program::{Allowed, PortProgram, Prefix, Speaks};
use std::net::IpAddr;
use tables::Rate;

/// A tenth of a second's worth at once, but room for a few.
fn packets(per_second: u32) -> Rate {
    let per_second = u64::from(per_second);
    let burst = match per_second {
        0 => 0,
        some => (some / 10).max(8),
    };
    Rate { per_second, burst }
}

/// 50 ms worth at once, but room for a segment as large as TCP makes them.
fn bytes(mbit: u32) -> Rate {
    let per_second = u64::from(mbit) * 1_000_000 / 8;
    Rate {
        per_second,
        burst: (per_second / 20).max(65_536),
    }
}

/// Compiles what `program` says of its guest, whose network is in slot `network`.
pub(super) fn compile(network: u16, program: &PortProgram) -> Guest {
    let addresses = program.addresses.as_ref();
    Guest {
        network,
        speaks: program.mac,
        addresses: addresses.map(|prefixes| Box::new(compile_addresses(prefixes, program.mac))),
        serves_dhcp: program.allow.contains(&Allowed::DhcpServer),
        routes: program.allow.contains(&Allowed::Router),
        stations: program.stations,
        storm: [
            packets(program.storm.broadcast),
            packets(program.storm.multicast),
            packets(program.storm.unknown),
        ],
        from_guest: program.rate.from_guest_mbit.map(bytes),
        to_guest: program.rate.to_guest_mbit.map(bytes),
    }
}

fn compile_addresses(prefixes: &[Prefix], speaks: Speaks) -> Addresses {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for prefix in prefixes {
        let len = u32::from(prefix.len());
        match prefix.address() {
            IpAddr::V4(first) => {
                let mask = u32::MAX.checked_shl(32 - len).unwrap_or(0);
                v4.push((first.to_bits(), mask));
            }
            IpAddr::V6(first) => {
                let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
                v6.push((first.to_bits(), mask));
            }
        }
    }
    if let Speaks::As(mac) = speaks {
        // RFC 4291 appendix A: the address it gives itself before it has any.
        let [first, second, third, rest @ ..] = mac.0;
        let mut own = [0; 16];
        own[..2].copy_from_slice(&[0xfe, 0x80]);
        own[8..13].copy_from_slice(&[first ^ 2, second, third, 0xff, 0xfe]);
        own[13..].copy_from_slice(&rest);
        v6.push((u128::from_be_bytes(own), u128::MAX));
    }
    Addresses {
        v4: v4.into(),
        v6: v6.into(),
    }
}
