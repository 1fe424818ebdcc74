//! What the demo plays on: hosts, guests, Greyhound, and its programs.

use anyhow::{Context as _, Result};
use netns::{Greyhound, Guest, Host, Lab, Options, program};
use std::net::Ipv4Addr;
use std::time::Duration;

const UP: Duration = Duration::from_secs(20);

/// The same in both networks, on purpose.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
const MACS: [&str; 2] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];

/// All that stands while the demo runs.
pub(super) struct Stage {
    /// Greyhound on each host. Goes before the lab it runs in.
    pub(super) greyhounds: [Greyhound; 2],
    /// Red and blue.
    pub(super) networks: [Network; 2],
    lab: Lab,
}

/// A network with a guest on each host.
pub(super) struct Network {
    pub(super) name: &'static str,
    pub(super) vnet: u32,
    pub(super) a: Guest,
    pub(super) b: Guest,
}

impl Stage {
    /// Lays it out and starts Greyhound, empty.
    pub(super) fn build() -> Result<Self> {
        let mut lab = Lab::new("demo")?;
        let hosts = [lab.host("h1")?, lab.host("h2")?];
        lab.wire(&[&hosts[0], &hosts[1]])?;
        let networks = [
            network(&lab, &hosts, "red", 1001)?,
            network(&lab, &hosts, "blue", 1002)?,
        ];
        for network in &networks {
            for guest in [&network.a, &network.b] {
                println!(
                    "   {:<7} {}  {}",
                    guest.node(),
                    guest.address(),
                    guest.mac()
                );
            }
        }
        let greyhounds = [start(&hosts[0], 0)?, start(&hosts[1], 1)?];
        Ok(Self {
            greyhounds,
            networks,
            lab,
        })
    }

    /// Applies each host's programs and waits until all ports and tunnels are up.
    pub(super) fn start_networks(&self) -> Result<()> {
        let [one, other] = &self.greyhounds;
        for (greyhound, peer, here) in [(one, other, 0), (other, one, 1)] {
            let mut programs = vec![program::underlay(greyhound.host().address())];
            for Network { name, vnet, a, b } in &self.networks {
                let guest = [a, b][here];
                programs.push(program::network(name, *vnet));
                let remote = peer.host().address();
                programs.push(program::tunnel(&format!("{name}-peer"), *vnet, remote));
                programs.push(program::port(
                    guest.node(),
                    *vnet,
                    guest.port(),
                    guest.mac(),
                ));
            }
            greyhound.apply(&programs)?;
            println!(
                "   {}: {} programs in force",
                greyhound.host().node(),
                programs.len()
            );
        }
        self.greyhounds
            .iter()
            .try_for_each(|greyhound| greyhound.wait_up(UP))
    }

    /// An error, and who has fallen: a part that was killed is why nothing answers.
    pub(super) fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        let fallen = self
            .greyhounds
            .iter_mut()
            .flat_map(Greyhound::fallen)
            .collect::<Vec<_>>();
        if fallen.is_empty() {
            error
        } else {
            error.context(fallen.join("; "))
        }
    }

    /// Removes all, and says if that failed.
    pub(super) fn close(self) -> Result<()> {
        let Self {
            greyhounds,
            networks,
            lab,
        } = self;
        drop((greyhounds, networks));
        lab.close()
    }
}

impl Network {
    /// The smallest Ethernet frame from `a` to `b`, of a protocol for local experiments: the
    /// guests' kernels count it and do no more.
    pub(super) fn small_frame(&self) -> Result<Vec<u8>> {
        let mut frame = [bytes(self.b.mac())?, bytes(self.a.mac())?].concat();
        frame.extend([0x88, 0xb5]);
        frame.resize(60, 0);
        Ok(frame)
    }
}

fn network(lab: &Lab, hosts: &[Host; 2], name: &'static str, vnet: u32) -> Result<Network> {
    let guest = |at: usize, letter: &str| {
        lab.guest(
            &hosts[at],
            &format!("{name}-{letter}"),
            ADDRESSES[at],
            MACS[at],
        )
    };
    Ok(Network {
        name,
        vnet,
        a: guest(0, "a")?,
        b: guest(1, "b")?,
    })
}

/// One worker a host, each on a core of its own if the machine has two.
fn start(host: &Host, core: usize) -> Result<Greyhound> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let options = Options {
        cores: (core % cores).to_string(),
        ..Options::default()
    };
    Greyhound::start_with(host, &options)
}

fn bytes(mac: &str) -> Result<Vec<u8>> {
    let byte = |pair| u8::from_str_radix(pair, 16).with_context(|| format!("{mac} is no MAC"));
    mac.split(':').map(byte).collect()
}
