//! The bare forwarder: what comes in by one interface goes out by the other, as it is.
//!
//! It uses our `io` as a worker does, with the same rings, the same memory and the same bursts,
//! and nothing between receiving and sending. What it moves is what anything with such devices
//! could move at most.

use anyhow::{Context as _, Result, ensure};
use core::time::Duration;
use frame::{Borrower, Burst, FramePool};
use io::{AfXdp, Device, Memory, OpenRequest, Preference, Steer, Take};
use std::io::Write as _;
use std::time::Instant;
use switch::Limits;
use worker::turn::BURST;

/// As a worker: devices are asked to look again at least this often.
const LOOK_AGAIN: Duration = Duration::from_micros(150);

/// How it is started.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct BareArgs {
    /// The core it runs on.
    #[arg(long)]
    core: usize,
    /// One interface, and the other.
    #[arg(num_args = 2)]
    interfaces: Vec<String>,
}

struct Side {
    device: AfXdp,
    out: Burst,
    _steer: Steer,
}

/// Forwards until it is killed.
pub(crate) fn run(args: &BareArgs) -> Result<()> {
    let pinned = core_affinity::set_for_current(core_affinity::CoreId { id: args.core });
    ensure!(pinned, "this process may not run on core {}", args.core);
    let (region, _) = Memory::map(Limits::default().frames, true)?;
    let mut pool = FramePool::new(region);
    let [one, other] = &args.interfaces[..] else {
        anyhow::bail!("two interfaces");
    };
    let mut sides = [open(one, 0, &pool)?, open(other, 1, &pool)?];
    let share = pool.made() / 2 / sides.len();
    for side in &mut sides {
        side.device.share(share);
    }
    println!("{:?}", sides[0].device.mode().to_string());
    std::io::stdout().flush()?;
    let mut looked = Instant::now();
    loop {
        let now = Instant::now();
        turn(&mut sides, &mut pool);
        if now - looked >= LOOK_AGAIN {
            looked = now;
            for side in &mut sides {
                side.device.wake();
            }
        }
    }
}

/// One step, in the order of a worker's: receives from each, then sends to each.
fn turn(sides: &mut [Side; 2], pool: &mut FramePool) {
    let [one, other] = sides;
    for (from, to) in [
        (&mut one.device, &mut other.out),
        (&mut other.device, &mut one.out),
    ] {
        from.reclaim(pool);
        from.receive(pool, to);
    }
    for side in sides {
        if !side.out.is_empty() {
            side.device.send(pool, &mut side.out);
        }
    }
}

fn open(name: &str, number: u16, pool: &FramePool) -> Result<Side> {
    let mut steer = Steer::attach(name, Preference::Auto)?;
    let device = AfXdp::open(&OpenRequest {
        preference: steer.preference(Preference::Auto),
        ..OpenRequest::new(name, 0, pool.memory(), Borrower::new(number))
    })?;
    let descriptor = device.descriptor().context("a socket has a descriptor")?;
    steer.socket(0, descriptor)?;
    steer.take(Take::Everything)?;
    Ok(Side {
        device,
        out: Burst::new(BURST),
        _steer: steer,
    })
}
