//! After start, a turn allocates nothing: not for what is forwarded, flooded, dropped or handed
//! over.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

use allocation_counter::measure;
use sim::{Lab, Setup, ethernet, gre};

const VNET: u32 = 9;

#[test]
fn a_turn_allocates_nothing_after_start() {
    let mut lab = Lab::with(Setup {
        workers: 2,
        queues: 1,
        ..Setup::default()
    });
    for vnet in [VNET, VNET + 1] {
        lab.network(vnet);
    }
    let guests = [
        lab.guest(0, VNET),
        lab.guest(0, VNET),
        lab.guest(0, VNET + 1),
    ];
    let (peer, us) = (lab.address(1), lab.address(0));
    let mut allocated = Vec::new();
    for round in 0..20_u8 {
        for guest in &guests {
            for last in 0..40 {
                lab.offer(guest, &ethernet([2, 0, 0, 0, round, last], guest.mac));
                lab.offer(guest, &ethernet([0xff; 6], [2, 0, 0, 0, round, last])); // spoofed
            }
            let inner = ethernet(guest.mac, [2, 7, 0, 0, 0, round]);
            lab.arrive_quietly(0, &gre(peer, us, guest.vnet, &inner));
            lab.arrive_quietly(0, &gre(peer, us, 404, &inner));
        }
        let (host, now) = lab.host(0);
        let counted = measure(|| {
            for _ in 0..4 {
                host.turn(0, now);
                host.turn(1, now);
            }
        });
        allocated.push(counted.count_total);
        host.discard();
    }
    // The wire of memory makes its buffers as it is first used; after that nobody does.
    assert_eq!(
        allocated[10..],
        [0; 10],
        "allocations in each round: {allocated:?}"
    );
}
