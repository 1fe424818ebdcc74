//! Open vSwitch as a host of the lab: that the second opinion itself stands.

#![allow(clippy::unwrap_used)] // all of it is test code

use netns::measure::{iperf3, ping};
use netns::{Lab, Ovs, until};
use std::time::Duration;

#[test]
fn two_open_vswitches_carry_a_network_between_them_over_gre() {
    let mut lab = Lab::new("lab test: two open vswitches").unwrap();
    let (h1, h2) = (lab.host("h1").unwrap(), lab.host("h2").unwrap());
    lab.wire(&[&h1, &h2]).unwrap();
    let a = lab
        .guest(&h1, "a", [10, 0, 0, 1].into(), "02:00:00:00:00:01")
        .unwrap();
    let b = lab
        .guest(&h2, "b", [10, 0, 0, 2].into(), "02:00:00:00:00:02")
        .unwrap();
    let (mut one, mut other) = (Ovs::start(&h1).unwrap(), Ovs::start(&h2).unwrap());
    one.bridge("br1", &[a.port()]).unwrap();
    other.bridge("br1", &[b.port()]).unwrap();
    one.tunnel("br1", 1001, h2.address()).unwrap();
    other.tunnel("br1", 1001, h1.address()).unwrap();

    let fast = Duration::from_millis(20);
    until("the first answer comes", Duration::from_secs(15), || {
        ping(&a, b.address(), 1, fast).is_ok_and(|seen| seen.received == 1)
    })
    .unwrap();
    let seen = ping(&a, b.address(), 20, fast).unwrap();
    assert!(seen.is_clean(), "{seen:?}");
    assert!(iperf3(&b, b.address(), &a, 1, &[]).unwrap().mbit > 1.0);
    assert!(
        one.appctl("fdb/show br1")
            .unwrap()
            .contains("02:00:00:00:00:02")
    );
}
