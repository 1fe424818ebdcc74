//! What our reprs emit, as etherparse reads it.

use etherparse::ArpPacketSlice;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use wire::arp::Operation;
use wire::{Arp, ArpRepr};

proptest! {
    #[test]
    fn an_arp_packet_is_read_by_the_judge_and_by_us(
        operation in any::<u16>(),
        macs in any::<([u8; 6], [u8; 6])>(),
        ips in any::<([u8; 4], [u8; 4])>(),
        padding in vec(any::<u8>(), 0..20),
    ) {
        let repr = ArpRepr {
            operation: Operation(operation),
            sender_mac: macs.0,
            sender_ip: Ipv4Addr::from(ips.0),
            target_mac: macs.1,
            target_ip: Ipv4Addr::from(ips.1),
        };
        let mut bytes = repr.emit().to_vec();
        bytes.extend(padding);

        let judge = ArpPacketSlice::from_slice(&bytes).expect("we wrote it");
        let judge = judge.to_packet().try_eth_ipv4().expect("Ethernet and IPv4");
        prop_assert_eq!(judge.operation.0, operation);
        prop_assert_eq!((judge.sender_mac, judge.target_mac), macs);
        prop_assert_eq!((judge.sender_ipv4, judge.target_ipv4), ips);

        let arp = Arp::parse(&bytes).expect("we wrote it");
        let read = ArpRepr {
            operation: arp.operation(),
            sender_mac: arp.sender_mac(),
            sender_ip: arp.sender_ip(),
            target_mac: arp.target_mac(),
            target_ip: arp.target_ip(),
        };
        prop_assert_eq!(read, repr);
    }

    #[test]
    fn random_bytes_are_arp_only_if_the_judge_agrees(
        mut bytes in vec(any::<u8>(), 0..60),
        steered in any::<bool>(),
    ) {
        if let Some(kind) = bytes.get_mut(..6).filter(|_| steered) {
            kind.copy_from_slice(&[0, 1, 8, 0, 6, 4]);
        }
        let judge = ArpPacketSlice::from_slice(&bytes).ok();
        let judge = judge.and_then(|judge| judge.to_packet().try_eth_ipv4().ok());
        prop_assert_eq!(Arp::parse(&bytes).is_ok(), judge.is_some());
    }
}
