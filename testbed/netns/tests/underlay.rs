//! What the underlay may be like: small, IPv6, in UDP, with a next hop that changes; and what a
//! guest notices of that, which is nothing.

#![allow(clippy::unwrap_used)] // all of it is test code

mod stage;

use netns::measure::{iperf3, ping};
use netns::{Flood, Greyhound, Guest, Host, program, until};
use serde_json::{Value, json};
use stage::{LIMIT, Stage, VNET, balanced, first_answer, frame, ping_clean};
use std::time::{Duration, Instant};

/// Greyhound on both hosts, `a` and `b` in one network whose tunnels say `more`.
fn both(stage: &Stage, more: &Value) -> (Greyhound, Greyhound) {
    let Stage { h1, h2, a, b, .. } = stage;
    let (one, other) = (Greyhound::start(h1).unwrap(), Greyhound::start(h2).unwrap());
    one.apply(&with(stage::programs(h1, h2, VNET, &[a]), more))
        .unwrap();
    other
        .apply(&with(stage::programs(h2, h1, VNET, &[b]), more))
        .unwrap();
    one.wait_up(LIMIT).unwrap();
    other.wait_up(LIMIT).unwrap();
    (one, other)
}

/// `programs`, their tunnels with `more` to say.
fn with(mut programs: Vec<Value>, more: &Value) -> Vec<Value> {
    for tunnel in programs.iter_mut().filter(|p| p["kind"] == "tunnel") {
        for (field, value) in more.as_object().unwrap() {
            tunnel[field] = value.clone();
        }
    }
    programs
}

/// Both ends of the underlay get an MTU.
fn underlay_mtu(stage: &Stage, mtu: u32) {
    for host in [&stage.h1, &stage.h2] {
        host.ip(&format!("link set {} mtu {mtu}", Host::UNDERLAY))
            .unwrap();
    }
}

/// What `tracepath` says of the MTU to `address`.
fn path_mtu(from: &Guest, family: &str, address: &str) -> u32 {
    from.ip("route flush cache").unwrap();
    let args = [family, "-n", "-m", "3", address];
    let said = from.try_exec("tracepath", &args, LIMIT).unwrap().stdout;
    let words: Vec<&str> = said.split_whitespace().collect();
    let last = words.windows(2).rev().find(|pair| pair[0] == "pmtu");
    last.unwrap_or_else(|| panic!("tracepath said {said:?}"))[1]
        .parse()
        .unwrap()
}

#[test]
fn guests_with_an_mtu_of_1500_need_no_thought_behind_an_underlay_of_1500() {
    let stage = Stage::new("underlay test: MTU");
    let Stage { a, b, .. } = &stage;
    let (one, other) = both(&stage, &json!({}));
    first_answer(a, b);
    let fast = iperf3(b, b.address(), a, 3, &[]).unwrap().mbit;

    underlay_mtu(&stage, 1500);
    until("both hosts know of the smaller underlay", LIMIT, || {
        [&one, &other].iter().all(|host| {
            let shown = host.show("networks").unwrap();
            shown.get("networks").unwrap_or(&shown)[0]["mtu"] == 1458
        })
    })
    .unwrap();
    for args in [&[][..], &["-R"]] {
        let seen = iperf3(b, b.address(), a, 3, args).unwrap();
        eprintln!(
            "TCP {args:?}: {:.0} Mbit/s, {fast:.0} on an underlay of 1600",
            seen.mbit
        );
        assert!(
            seen.mbit > 0.6 * fast,
            "{args:?} {seen:?}, {fast:.0} Mbit/s before"
        );
    }
    assert_eq!(path_mtu(a, "-4", &b.address().to_string()), 1458);
    for (guest, address) in [(a, "fd00::a/64"), (b, "fd00::b/64")] {
        guest.set("net/ipv6/conf/eth0/disable_ipv6", "0").unwrap();
        guest
            .ip(&format!("addr add {address} dev eth0 nodad"))
            .unwrap();
    }
    assert_eq!(path_mtu(a, "-6", "fd00::b"), 1458);
    // What may be cut arrives whole, whatever its size.
    let large = [
        "-n", "-q", "-M", "dont", "-c", "3", "-i", "0.1", "-s", "4000", "10.0.0.2",
    ];
    let said = a.try_exec("ping", &large, LIMIT).unwrap();
    assert!(
        said.status.success() && said.stdout.contains(" 0% packet loss"),
        "{}",
        said.stdout
    );
    balanced(&one);
    balanced(&other);
}

#[test]
fn tunnels_run_over_ipv6_and_in_udp_with_sums_and_numbers() {
    let stage = Stage::new("underlay test: IPv6");
    let Stage { h1, h2, a, b, .. } = &stage;
    for (host, address) in [(h1, "fd77::1"), (h2, "fd77::2")] {
        host.set("net/ipv6/conf/under0/disable_ipv6", "0").unwrap();
        host.set("net/ipv6/conf/under0/accept_dad", "0").unwrap();
        host.ip(&format!("addr add {address}/64 dev under0 nodad"))
            .unwrap();
    }
    let (one, other) = both(&stage, &json!({}));
    for (host, address) in [(&one, "fd77::1"), (&other, "fd77::2")] {
        let mut under = program::underlay(host.host().address());
        under["endpoint"] = json!([host.host().address(), address]);
        host.apply(&[under]).unwrap();
    }
    for v6 in [false, true] {
        for more in [
            json!({"checksum": true, "sequence": "ordered"}),
            json!({"transport": "udp"}),
            json!({"transport": "udp", "checksum": true, "keyed": false, "dscp": "uniform"}),
        ] {
            for (host, peer, remote) in [(&one, h2, "fd77::2"), (&other, h1, "fd77::1")] {
                let mut tunnel = vec![program::tunnel("red-peer", VNET, peer.address())];
                if v6 {
                    tunnel[0]["remote"] = remote.into();
                }
                host.apply(&with(tunnel, &more)).unwrap();
            }
            one.wait_up(LIMIT).unwrap();
            other.wait_up(LIMIT).unwrap();
            first_answer(a, b);
            ping_clean(a, b, 20);
            let seen = iperf3(b, b.address(), a, 1, &[]).unwrap();
            eprintln!("v6 {v6}, {more}: {:.0} Mbit/s", seen.mbit);
            assert!(seen.mbit > 20.0, "v6 {v6}, {more}: {seen:?}");
        }
    }
    balanced(&one);
    balanced(&other);
}

#[test]
fn a_peer_that_changes_its_address_on_the_wire_is_found_again_within_a_second() {
    let stage = Stage::new("underlay test: next hop");
    let Stage { h1, h2, a, b, .. } = &stage;
    let (one, other) = both(&stage, &json!({}));
    first_answer(a, b);
    let mut worst = Duration::ZERO;
    for last in 1..=5 {
        h2.ip(&format!(
            "link set {} address 02:77:00:00:00:{last:02x}",
            Host::UNDERLAY
        ))
        .unwrap();
        // Who changes its address says so, as a bond or a VRRP pair does.
        h2.ip(&format!("neigh flush dev {}", Host::UNDERLAY))
            .unwrap();
        let address = h1.address().to_string();
        let told = ["-c", "1", "-W", "1", &address];
        h2.try_exec("ping", &told, LIMIT).unwrap();
        let began = Instant::now();
        until("b answers again", LIMIT, || stage::answers(a, b)).unwrap();
        worst = worst.max(began.elapsed());
    }
    eprintln!("the longest of five gaps: {} ms", worst.as_millis());
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    balanced(&one);
    balanced(&other);
}

/// What one guest may flood: what it is called, a frame, and where frames differ.
fn floods() -> Vec<(&'static str, Vec<u8>, Option<usize>)> {
    let arp = {
        let mut arp = frame("02:00:00:00:00:66", "ff:ff:ff:ff:ff:ff", 60);
        arp[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        arp
    };
    let fragment = {
        let mut part = frame("02:00:00:00:00:66", "02:00:00:00:00:03", 74);
        // IPv4, more fragments, UDP; its number is what varies.
        part[12..26].copy_from_slice(&[8, 0, 0x45, 0, 0, 60, 0, 0, 0x20, 0, 64, 17, 0, 0]);
        part[26..34].copy_from_slice(&[10, 0, 0, 66, 10, 0, 0, 3]);
        part
    };
    let mut bpdu = frame("02:00:00:00:00:66", "01:80:c2:00:00:00", 60);
    bpdu[12..14].copy_from_slice(&[0, 46]);
    let to = |mac| frame("02:00:00:00:00:66", mac, 60);
    vec![
        ("broadcast", to("ff:ff:ff:ff:ff:ff"), None),
        ("unknown unicast", to("02:00:00:00:00:99"), None),
        // Not 02:00:00:00:00:02 among them: who may speak as anybody may speak as a far guest too.
        ("MAC", to("ff:ff:ff:ff:ff:ff"), Some(9)),
        ("ARP", arp, None),
        ("fragment", fragment, Some(18)),
        ("BPDU", bpdu, None),
    ]
}

#[test]
fn another_guests_floods_are_not_noticed() {
    let stage = Stage::new("underlay test: floods");
    let Stage { h1, h2, a, b, lab } = &stage;
    let mallory = lab
        .guest(h1, "m", [10, 0, 0, 66].into(), "02:00:00:00:00:66")
        .unwrap();
    let target = lab
        .guest(h2, "c", [10, 0, 0, 3].into(), "02:00:00:00:00:03")
        .unwrap();
    let (one, other) = both(&stage, &json!({}));
    for (host, guest, mac) in [(&one, &mallory, "any"), (&other, &target, target.mac())] {
        let port = program::port(guest.node(), VNET, guest.port(), mac);
        host.apply(&[port]).unwrap();
        host.wait_up(LIMIT).unwrap();
    }
    first_answer(&target, b);
    first_answer(a, b);
    a.knows_only(b).unwrap();
    b.knows_only(a).unwrap();

    let pace = Duration::from_millis(10);
    let calm = ping(a, b.address(), 200, pace).unwrap();
    assert!(calm.is_clean(), "{calm:?}");
    for (name, flood, varies) in floods() {
        let (flooded, seen) = std::thread::scope(|scope| {
            let flooding = scope
                .spawn(|| Flood::run_varied(&mallory, "eth0", &flood, 4, Some(20_000), varies));
            let seen = ping(a, b.address(), 200, pace).unwrap();
            (flooding.join().unwrap().unwrap(), seen)
        });
        eprintln!(
            "{name}: {} frames, {seen:?}, in calm {calm:?}",
            flooded.sent
        );
        assert!(flooded.sent > 10_000, "{name}: {flooded:?}");
        assert!(seen.is_clean(), "{name}: {seen:?}");
        // A shared machine of two cores: the kernel carries the flood's frames to us and the
        // ping's on one of them, so a part of a millisecond is noise.
        let (calm, seen) = (calm.rtt_ms.unwrap(), seen.rtt_ms.unwrap());
        assert!(
            seen < 3.0 * calm + 2.0,
            "{name}: {seen} ms, {calm} ms in calm"
        );
    }
    let dropped = |reason| one.dropped("port m", reason).unwrap();
    assert!(
        dropped("storm_broadcast") > 1000,
        "broadcasts are held back"
    );
    assert!(
        dropped("storm_unknown") > 1000,
        "unknown unicasts are held back"
    );
    assert!(dropped("link_local") > 1000, "BPDUs end here");
    let stations = one.show("stations").unwrap();
    let stations = stations.get("stations").unwrap_or(&stations);
    let known = stations.as_array().unwrap().len();
    assert!(known < 300, "{known} stations: a port has 256");
    balanced(&one);
    balanced(&other);
}
