//! Every way a packet can end here: one story a reason, and nothing else moves.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

use program::{Id, Kind, Name, NetworkProgram, Program, Speaks, Vnet};
use sim::{Lab, Setup, ethernet, gre, gre_with, ipv4};
use switch::DropReason;
use wire::l4::Protocol;

const VNET: u32 = 7;
const ALL: [u8; 6] = [0xff; 6];
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x66];

/// The one drop that moved at the underlay of host 0 when `packet` arrived there.
fn dropped(lab: &mut Lab, packet: &[u8], reason: DropReason) {
    lab.moved();
    lab.arrive(0, packet);
    let expected = format!("h0 underlay under: received 1, {} 1", reason.name());
    assert_eq!(lab.moved().first(), Some(&expected));
    assert!(lab.wire().is_empty(), "nothing is sent");
}

#[test]
fn a_guest_speaks_for_itself_only() {
    let mut lab = Lab::new(2, VNET);
    let a = lab.guest(0, VNET);
    lab.send(&a, &ethernet(ALL, STRANGER));
    let name = DropReason::Spoofed.name();
    let ledgers = ["h0 g0-1", "h0 vnet 7"];
    assert_eq!(
        lab.moved(),
        ledgers.map(|l| format!("{l}: received 1, {name} 1"))
    );
    assert!(lab.wire().is_empty());
}

#[test]
fn no_station_has_a_group_address_or_none() {
    let mut lab = Lab::new(2, VNET);
    let bridge = lab.guest_as(0, VNET, Speaks::Any, STRANGER);
    for source in [ALL, [1, 0, 0x5e, 0, 0, 1], [0; 6]] {
        lab.moved();
        lab.send(&bridge, &ethernet([2; 6], source));
        let name = DropReason::BadSource.name();
        assert_eq!(lab.moved()[0], format!("h0 g0-1: received 1, {name} 1"));
    }
}

#[test]
fn a_guest_frame_shorter_than_its_header_is_malformed() {
    let mut lab = Lab::new(2, VNET);
    let a = lab.guest(0, VNET);
    for len in 1..14 {
        lab.moved();
        lab.send(&a, &ethernet(ALL, a.mac)[..len]);
        let name = DropReason::Malformed.name();
        assert_eq!(
            lab.moved()[0],
            format!("h0 g0-1: received 1, {name} 1"),
            "{len} bytes"
        );
    }
}

#[test]
fn a_station_behind_the_same_port_needs_no_bridge() {
    let mut lab = Lab::new(2, VNET);
    let bridge = lab.guest_as(0, VNET, Speaks::Any, STRANGER);
    lab.send(&bridge, &ethernet(ALL, [2, 0, 0, 0, 0, 0x67]));
    lab.moved();
    lab.send(&bridge, &ethernet([2, 0, 0, 0, 0, 0x67], STRANGER));
    let name = DropReason::SamePort.name();
    assert_eq!(lab.moved()[0], format!("h0 g0-1: received 1, {name} 1"));
}

#[test]
fn a_guest_without_company_is_alone() {
    let mut lab = Lab::new(1, VNET);
    let a = lab.guest(0, VNET);
    lab.send(&a, &ethernet(ALL, a.mac));
    let name = DropReason::Alone.name();
    assert_eq!(lab.moved()[0], format!("h0 g0-1: received 1, {name} 1"));
}

#[test]
fn what_is_longer_than_the_way_or_the_port_is_too_big() {
    let mut lab = Lab::with(Setup {
        mtu: 1500,
        ..Setup::default()
    });
    lab.network(VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    let far = lab.guest(1, VNET);
    lab.send(&b, &ethernet(ALL, b.mac));
    lab.send(&far, &ethernet(ALL, far.mac));
    let name = DropReason::TooBig.name();
    let long = |to, len| {
        let mut frame = ethernet(to, a.mac);
        frame.resize(len, 0);
        frame
    };
    // The underlay carries 1,500: less 20 of IPv4 and 8 of GRE that is 1,472 of inner frame, and
    // less its Ethernet header an MTU of 1,458.
    for (to, most) in [(far.mac, 1458 + 14), (b.mac, 1500 + 14)] {
        lab.moved();
        lab.send(&a, &long(to, most));
        assert_eq!(
            lab.moved()[0],
            "h0 g0-1: received 1, sent 1",
            "{most} bytes"
        );
        lab.send(&a, &long(to, most + 1));
        assert_eq!(lab.moved()[0], format!("h0 g0-1: received 1, {name} 1"));
    }
}

#[test]
fn the_networks_own_mtu_counts_without_vlan_tags() {
    let mut lab = Lab::new(2, VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    lab.send(&b, &ethernet(ALL, b.mac));
    let network = NetworkProgram {
        mtu: Some(1000),
        ..NetworkProgram::new(Name::try_from("net7".to_owned()).unwrap(), Vnet(VNET))
    };
    lab.put(0, Program::Network(network));
    let mut frame = ethernet(b.mac, a.mac);
    frame.resize(1015, 0);
    lab.moved();
    lab.send(&a, &frame);
    let name = DropReason::TooBig.name();
    assert_eq!(lab.moved()[0], format!("h0 g0-1: received 1, {name} 1"));
    frame.resize(1014, 0);
    lab.send(&a, &frame);
    assert_eq!(lab.moved()[0], "h0 g0-1: received 1, sent 1");
    frame.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    lab.send(&a, &frame);
    assert_eq!(
        lab.moved()[0],
        "h0 g0-1: received 1, sent 1",
        "a tag is no packet's byte"
    );
}

#[test]
fn a_peer_that_is_not_reached_is_counted_not_forgotten() {
    let mut lab = Lab::new(2, VNET);
    let a = lab.guest(0, VNET);
    let (host, now) = lab.host(0);
    host.ask(program::link::Request::NextHops { next_hops: vec![] }, now);
    lab.send(&a, &ethernet(ALL, a.mac));
    let name = DropReason::NoWay.name();
    assert_eq!(lab.moved()[0], format!("h0 g0-1: received 1, {name} 1"));
    assert!(lab.wire().is_empty());
}

#[test]
fn an_underlay_that_is_unplugged_takes_nothing() {
    let mut lab = Lab::new(2, VNET);
    let a = lab.guest(0, VNET);
    lab.unplug(0, "under");
    lab.moved();
    lab.send(&a, &ethernet(ALL, a.mac));
    let name = DropReason::PortDown.name();
    assert_eq!(lab.moved()[0], format!("h0 g0-1: received 1, {name} 1"));
    lab.plug(0, "under", 1600);
    lab.send(&a, &ethernet(ALL, a.mac));
    assert_eq!(lab.moved()[0], "h0 g0-1: received 1, sent 1");
}

#[test]
fn what_is_on_the_underlay_and_not_ours_is_told_apart() {
    let mut lab = Lab::new(2, VNET);
    lab.guest(0, VNET);
    let (peer, us) = (lab.address(1), lab.address(0));
    let inner = ethernet(ALL, STRANGER);
    let mut arp = inner.clone();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let udp = ipv4(([2; 6], [4; 6]), (peer, us), Protocol::UDP, &[0; 16]);
    let other = gre(peer, std::net::Ipv4Addr::new(10, 0, 0, 99), VNET, &inner);

    dropped(&mut lab, &arp, DropReason::NotGre);
    dropped(&mut lab, &udp, DropReason::NotGre);
    dropped(&mut lab, &other, DropReason::NotOurs);
    let mut fragment = gre(peer, us, VNET, &inner);
    fragment[14 + 6..14 + 8].copy_from_slice(&[0x20, 0x00]);
    fragment.truncate(14 + 20 + 24);
    fragment[16..18].copy_from_slice(&[0, 44]);
    fragment[14 + 9] = Protocol::UDP.0;
    sum_again(&mut fragment);
    dropped(&mut lab, &fragment, DropReason::FragmentMalformed);
}

#[test]
fn gre_that_we_do_not_speak_is_told_apart() {
    let mut lab = Lab::new(2, VNET);
    lab.guest(0, VNET);
    let (peer, us) = (lab.address(1), lab.address(0));
    let inner = ethernet(ALL, STRANGER);
    let key = VNET.to_be_bytes();
    let keyed = |flags: [u8; 2], protocol: [u8; 2]| [&flags[..], &protocol, &key].concat();
    let teb = [0x65, 0x58];

    for (header, reason) in [
        (keyed([0x60, 0x00], teb), DropReason::GreRouting),
        (keyed([0x20, 0x01], teb), DropReason::GreVersion),
        (keyed([0x28, 0x00], teb), DropReason::GreReserved),
        (keyed([0x20, 0x00], [0x08, 0x00]), DropReason::NotEthernet),
        (vec![0x00, 0x00, 0x65, 0x58], DropReason::NoKey),
        (
            [&[0xa0, 0x00, 0x65, 0x58, 1, 2, 0, 0][..], &key].concat(),
            DropReason::GreChecksum,
        ),
    ] {
        dropped(&mut lab, &gre_with(peer, us, &header, &inner), reason);
    }
    let cut = gre_with(peer, us, &[0x20, 0x00, 0x65, 0x58, 0, 0], &[]);
    dropped(&mut lab, &cut, DropReason::Malformed);
    dropped(
        &mut lab,
        &gre(peer, us, VNET, &inner[..13]),
        DropReason::Malformed,
    );
}

#[test]
fn a_wrong_key_is_delivered_nowhere_and_counted() {
    let mut lab = Lab::new(2, VNET);
    let a = lab.guest(0, VNET);
    let (peer, us) = (lab.address(1), lab.address(0));
    let inner = ethernet(ALL, STRANGER);
    dropped(
        &mut lab,
        &gre(peer, us, VNET + 1, &inner),
        DropReason::UnknownKey,
    );
    let stranger = std::net::Ipv4Addr::new(10, 0, 0, 77);
    dropped(
        &mut lab,
        &gre(stranger, us, VNET, &inner),
        DropReason::UnknownPeer,
    );
    assert!(lab.received(&a).is_empty());
}

#[test]
fn every_cut_of_a_good_packet_is_counted_and_delivered_nowhere() {
    let mut lab = Lab::new(2, VNET);
    let a = lab.guest(0, VNET);
    let (peer, us) = (lab.address(1), lab.address(0));
    let good = gre(peer, us, VNET, &ethernet(ALL, STRANGER));
    for len in 1..good.len() {
        dropped(&mut lab, &good[..len], DropReason::Malformed);
    }
    assert!(lab.received(&a).is_empty());
    lab.arrive(0, &good);
    assert_eq!(lab.received(&a).len(), 1);
}

#[test]
fn options_of_the_outer_header_are_skipped() {
    let mut lab = Lab::new(2, VNET);
    let a = lab.guest(0, VNET);
    let mut packet = gre(
        lab.address(1),
        lab.address(0),
        VNET,
        &ethernet(ALL, STRANGER),
    );
    packet.splice(34..34, [1, 1, 1, 1]); // four no-operations
    packet[14] = 0x46;
    let total = u16::from_be_bytes([packet[16], packet[17]]) + 4;
    packet[16..18].copy_from_slice(&total.to_be_bytes());
    sum_again(&mut packet);
    lab.arrive(0, &packet);
    assert_eq!(lab.received(&a), [ethernet(ALL, STRANGER)]);
}

#[test]
fn a_full_exit_drops_what_it_cannot_take_and_says_so() {
    let mut lab = Lab::new(2, VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    lab.send(&b, &ethernet(ALL, b.mac));
    lab.moved();
    // b's interface holds 2,048 frames that nobody takes, and 1,024 may wait for it here.
    for _ in 0..4000 {
        lab.offer(&a, &ethernet(b.mac, a.mac));
        lab.step();
    }
    assert_eq!(lab.received(&b).len(), 2048);
    lab.settle();
    let name = DropReason::ExitFull.name();
    let moved = lab.moved();
    let expected = format!("h0 g0-1: received 4000, sent 3072, {name} 928");
    assert_eq!(moved[0], expected);
}

#[test]
fn a_port_detached_with_frames_waiting_drops_them_by_name() {
    let mut lab = Lab::new(2, VNET);
    let (a, b) = (lab.guest(0, VNET), lab.guest(0, VNET));
    lab.send(&b, &ethernet(ALL, b.mac));
    lab.moved();
    for _ in 0..2100 {
        lab.offer(&a, &ethernet(b.mac, a.mac));
        lab.step();
    }
    let id = Id {
        kind: Kind::Port,
        name: Name::try_from(b.name.clone()).unwrap(),
    };
    let (host, now) = lab.host(0);
    host.withdraw(id, now).unwrap();
    lab.settle();
    let name = DropReason::PortDown.name();
    assert_eq!(
        lab.moved()[0],
        format!("h0 g0-1: received 2100, sent 2048, {name} 52")
    );
}

#[test]
fn a_flood_wider_than_its_room_is_cut_and_counted() {
    let mut lab = Lab::new(1, VNET);
    let a = lab.guest(0, VNET);
    for _ in 0..40 {
        lab.guest(0, VNET);
    }
    lab.moved();
    for _ in 0..64 {
        lab.offer(&a, &ethernet(ALL, a.mac)); // 64 frames in one burst, 40 exits each
    }
    lab.settle();
    // 39 copies each; 1,024 have room.
    let name = DropReason::FloodLimit.name();
    let expected = format!("h0 g0-1: received 64, copied 2496, sent 1088, {name} 1472");
    assert_eq!(lab.moved()[0], expected);
}

/// Makes the checksum of the outer IPv4 header right again.
fn sum_again(packet: &mut [u8]) {
    let end = 14 + usize::from(packet[14] & 0x0f) * 4;
    packet[24..26].fill(0);
    let sum = wire::checksum::of(&packet[14..end]);
    packet[24..26].copy_from_slice(&sum.to_be_bytes());
}
