//! A few neighbours that are looked at together.

use super::Neighbour;
use crate::heard::{Heard, Ticks};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use program::Vnet;
use wire::MacAddr;

/// Neighbours in a bucket.
pub(super) const WAYS: usize = 4;

/// An address in a network, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) high: u64,
    pub(super) low: u64,
    /// The network, and above it whether the address is IPv6: `::ffff:10.0.0.1` is not 10.0.0.1.
    pub(super) vnet: u64,
}

const IPV6: u64 = 1 << 32;

impl Key {
    #[allow(clippy::cast_possible_truncation)] // both halves are used
    pub(super) fn new(vnet: Vnet, address: IpAddr) -> Self {
        let vnet = u64::from(vnet.0);
        match address {
            IpAddr::V4(address) => Self {
                high: 0,
                low: u64::from(address.to_bits()),
                vnet,
            },
            IpAddr::V6(address) => Self {
                high: (address.to_bits() >> 64) as u64,
                low: address.to_bits() as u64,
                vnet: vnet | IPV6,
            },
        }
    }

    #[allow(clippy::cast_possible_truncation)] // to the bits that were packed
    fn vnet(&self) -> Vnet {
        Vnet(self.vnet as u32)
    }

    #[allow(clippy::cast_possible_truncation)] // an IPv4 address has 32 bits
    fn address(&self) -> IpAddr {
        if self.vnet & IPV6 == 0 {
            return IpAddr::V4(Ipv4Addr::from_bits(self.low as u32));
        }
        let bits = u128::from(self.high) << 64 | u128::from(self.low);
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    }
}

/// What is known of one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    key: Key,
    pub(super) heard: Heard,
    pub(super) mac: MacAddr,
}

const _: () = assert!(size_of::<Way>() == 40);

impl Way {
    pub(super) const FREE: Self = Self {
        key: Key {
            high: 0,
            low: 0,
            vnet: 0,
        },
        heard: Heard::NEVER,
        mac: [0; 6],
    };

    pub(super) fn new(key: Key, mac: MacAddr, heard: Heard) -> Self {
        Self { key, heard, mac }
    }

    /// Who is there, silent or not.
    pub(super) fn neighbour(&self) -> Option<Neighbour> {
        self.heard.is_used().then(|| Neighbour {
            vnet: self.key.vnet(),
            address: self.key.address(),
            mac: self.mac,
            location: self.heard.location(),
        })
    }
}

/// A few neighbours that are looked at together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket(pub(super) [Way; WAYS]);

impl Bucket {
    pub(super) const EMPTY: Self = Self([Way::FREE; WAYS]);

    /// The way that has `key`, silent or not.
    pub(super) fn find(&self, key: &Key) -> Option<usize> {
        let has = |way: &Way| way.key == *key && way.heard.is_used();
        self.0.iter().position(has)
    }

    /// A way that a newcomer may have, and how many there are.
    pub(super) fn free(&self, now: Ticks) -> Option<(usize, usize)> {
        let mut free = (0..WAYS).filter(|way| !self.0[*way].heard.is_alive(now));
        let first = free.next()?;
        Some((first, 1 + free.count()))
    }
}
