//! An underlay of 9,000 bytes, and guests that use it.

#![allow(clippy::unwrap_used)] // all of it is test code

mod stage;

use netns::measure::iperf3;
use netns::{Greyhound, Host, Options, until};
use stage::{LIMIT, Stage, VNET, balanced, first_answer};

/// A guest's MTU behind an underlay of 9,000: less 42 bytes, as 1,458 is less than 1,500.
const INNER: u32 = 9000 - 42;

fn large(name: &str) -> Stage {
    let stage = Stage::new(name);
    let Stage { h1, h2, a, b, .. } = &stage;
    for host in [h1, h2] {
        host.ip(&format!("link set {} mtu 9000", Host::UNDERLAY))
            .unwrap();
    }
    for (host, guest) in [(h1, a), (h2, b)] {
        host.ip(&format!("link set {} mtu {INNER}", guest.port()))
            .unwrap();
        guest.ip(&format!("link set eth0 mtu {INNER}")).unwrap();
    }
    stage
}

fn start(host: &Host, cores: &str, more: &[&str]) -> Greyhound {
    let options = Options {
        cores: cores.into(),
        more: more.iter().map(|word| (*word).to_owned()).collect(),
    };
    Greyhound::start_with(host, &options).unwrap()
}

#[test]
fn frames_of_every_size_go_through_whole_with_one_worker_and_with_two() {
    let stage = large("jumbo test: sizes");
    let Stage { h1, h2, a, b, .. } = &stage;
    for cores in ["0", "0,1"] {
        let (one, other) = (
            start(h1, cores, &["--jumbo", "512"]),
            start(h2, cores, &["--jumbo", "512"]),
        );
        one.apply(&stage::programs(h1, h2, VNET, &[a])).unwrap();
        other.apply(&stage::programs(h2, h1, VNET, &[b])).unwrap();
        one.wait_up(LIMIT).unwrap();
        other.wait_up(LIMIT).unwrap();
        first_answer(a, b);
        let to = b.address().to_string();
        let most = (INNER - 28).to_string();
        for size in ["100", "1472", "1750", "2020", "4000", &most] {
            let args = [
                "-n", "-q", "-c", "50", "-i", "0.01", "-M", "do", "-s", size, &to,
            ];
            let said = a.try_exec("ping", &args, LIMIT).unwrap().stdout;
            assert!(said.contains(" 0% packet loss"), "{cores} {size}: {said}");
        }
        let seen = iperf3(b, b.address(), a, 2, &[]).unwrap();
        eprintln!("workers on {cores}: {:.0} Mbit/s", seen.mbit);
        assert!(seen.mbit > 100.0, "{seen:?}");
        balanced(&one);
        balanced(&other);
    }
}

#[test]
fn without_jumbo_buffers_a_large_interface_is_refused_and_taken_once_it_is_smaller() {
    let stage = large("jumbo test: refusal");
    let Stage { h1, h2, a, .. } = &stage;
    let one = start(h1, "0", &[]);
    let _ = one.apply(&stage::programs(h1, h2, VNET, &[a]));
    let attached = || {
        let states = one.port_states().unwrap();
        states
            .into_iter()
            .find(|(name, _)| name == "under")
            .unwrap()
            .1
    };
    until("the underlay is refused", LIMIT, || {
        attached().contains("9000")
    })
    .unwrap();
    let said = attached();
    for word in ["lower it to 1770", "--jumbo"] {
        assert!(said.contains(word), "{said}");
    }
    h1.ip(&format!("link set {} mtu 1600", Host::UNDERLAY))
        .unwrap();
    until("the underlay is taken", LIMIT, || attached() == "up").unwrap();
}
