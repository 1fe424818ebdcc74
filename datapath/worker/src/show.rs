//! What the datapath shows of itself.

mod ledgers;
pub(crate) mod stations;
mod tunnels;

use crate::supervisor::{Meanwhile, NOT_TRIED, NoAnswer, Supervisor};
use core::sync::atomic::Ordering::Relaxed;
use program::link::Answer;
use program::report::{self, Report, Subject};
use program::{Epoch, Speaks};
use switch::{Cell, PortKey, WorkerId};

impl Supervisor {
    /// Shows `subject`.
    pub(crate) fn show(
        &mut self,
        subject: &Subject,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Answer, NoAnswer> {
        Ok(Answer::Report(match subject {
            Subject::Ports => Report::Ports(self.ports()),
            Subject::Networks => Report::Networks(self.networks()),
            Subject::Tunnels => Report::Tunnels(self.tunnels(meanwhile)?),
            Subject::Stations => Report::Stations(self.stations(meanwhile)?),
            Subject::Counters => Report::Counters(self.counters()),
            Subject::Workers => Report::Workers(self.workers()),
            Subject::Neighbours => Report::Neighbours(self.neighbours(meanwhile)?),
            Subject::Events => Report::Events(self.events(meanwhile)?),
        }))
    }

    fn ports(&self) -> Vec<report::Port> {
        let underlay = self.programs.underlay().into_iter();
        let underlay = underlay.map(|(epoch, p)| self.port(PortKey::from(p), epoch, None));
        let guests = self.programs.ports();
        let guests = guests.map(|(epoch, p)| self.port(PortKey::from(p), epoch, Some(p.mac)));
        underlay.chain(guests).collect()
    }

    fn port(&self, key: PortKey, epoch: Epoch, speaks: Option<Speaks>) -> report::Port {
        let held = self.held.get(&key);
        let waits = || {
            self.waiting
                .get(&key)
                .map_or(NOT_TRIED, String::as_str)
                .to_owned()
        };
        let mut notes = held.map_or_else(Vec::new, |held| held.attachment.notes());
        if let Some(held) = held {
            let lost = held.attachment.lost();
            let lost = lost.iter().filter(|(_, count)| *count > 0);
            notes.extend(lost.map(|(name, count)| format!("{name}: {count}")));
            let completed = self.sum(
                |counters| &counters.ports,
                held.slot,
                |ledger| ledger.get(Cell::Completed),
            );
            if completed > 0 && speaks.is_some() {
                notes.push(format!(
                    "the guest leaves checksums unfinished: {completed} finished here; \
                     `ethtool -K DEVICE tx off` in the guest saves that work"
                ));
            }
        }
        let queue = |(queue, worker, mode): &(u32, WorkerId, String)| report::Queue {
            queue: *queue,
            worker: worker.0,
            mode: mode.clone(),
        };
        report::Port {
            state: held.map_or_else(waits, |_| "up".to_owned()),
            steer: held.map_or_else(String::new, |held| held.attachment.steer()),
            queues: held.map_or_else(Vec::new, |held| held.queues.iter().map(queue).collect()),
            mtu: held.map_or(0, |held| held.attachment.facts().mtu),
            notes,
            epoch,
            speaks,
            vnet: key.vnet,
            name: key.name,
            interface: key.interface,
        }
    }

    fn networks(&self) -> Vec<report::Network> {
        let network = |(epoch, program): (Epoch, &program::NetworkProgram)| {
            let slot = self.config.network_of(program.vnet);
            let network = slot.and_then(|slot| self.config.network(slot));
            let tunnels = network.iter().flat_map(|network| network.tunnels.iter());
            let tunnels = tunnels.filter_map(|slot| self.config.tunnel(*slot));
            // Behind the outer headers comes the inner frame's own Ethernet header.
            let room = tunnels.filter(|tunnel| tunnel.way.is_some());
            let room = room.map(|tunnel| tunnel.max_inner.saturating_sub(14)).min();
            let mtu = program.mtu.map(usize::from).or(room).unwrap_or(0);
            let vnet = program.vnet;
            report::Network {
                name: program.name.clone(),
                epoch,
                vnet,
                mtu: u32::try_from(mtu).unwrap_or(u32::MAX),
                ports: self
                    .programs
                    .ports()
                    .filter(|(_, port)| port.vnet == vnet)
                    .count(),
                tunnels: network.map_or(0, |network| network.tunnels.len()),
                worker: self.compiler.home(vnet).0,
            }
        };
        self.programs.networks().map(network).collect()
    }

    fn workers(&self) -> Vec<report::Worker> {
        let worker = |(number, post): (usize, &crate::supervisor::Post)| {
            let gauges = &post.gauges;
            report::Worker {
                worker: u16::try_from(number).unwrap_or(u16::MAX),
                core: post.core,
                devices: gauges.devices.load(Relaxed),
                turns: gauges.turns.load(Relaxed),
                busy_turns: gauges.busy_turns.load(Relaxed),
                sleeps: gauges.sleeps.load(Relaxed),
                packets: gauges.packets.load(Relaxed),
                frames_made: post.memory.1 / frame::CHUNK,
                frames_free: gauges.frames_free.load(Relaxed),
                frames_lent: gauges.frames_lent.load(Relaxed),
                stations: gauges.stations.load(Relaxed),
                configs: gauges.configs.load(Relaxed),
            }
        };
        self.posts.iter().enumerate().map(worker).collect()
    }
}
