//! Two wired hosts with a guest each, until it is stopped: a place to try things by hand, and what
//! the lab's own tests kill.

#![forbid(unsafe_code)]

use anyhow::Result;
use netns::Lab;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

fn main() -> Result<()> {
    let mut lab = Lab::new("by hand")?;
    let (h1, h2) = (lab.host("h1")?, lab.host("h2")?);
    lab.wire(&[&h1, &h2])?;
    let a = lab.guest(&h1, "a", [10, 0, 0, 1].into(), "02:00:00:00:00:01")?;
    let b = lab.guest(&h2, "b", [10, 0, 0, 2].into(), "02:00:00:00:00:02")?;
    for (node, what) in [
        (&*h1, format!("host, {} on under0", h1.address())),
        (&*h2, format!("host, {} on under0", h2.address())),
        (
            &*a,
            format!("guest of h1, {} on eth0, port {}", a.address(), a.port()),
        ),
        (
            &*b,
            format!("guest of h2, {} on eth0, port {}", b.address(), b.port()),
        ),
    ] {
        println!("ip netns exec {} …   # {what}", node.name());
    }
    let _sleeper = h1.start("sleeper", "sleep", &["86400"])?;
    println!("run {} until ^C, a day at most", lab.id());
    std::io::stdout().flush()?;
    thread::sleep(Duration::from_hours(24));
    lab.close()
}
