//! What the datapath shows of itself.

use crate::mail::{Letter, Mail};
use crate::supervisor::{Meanwhile, NOT_TRIED, NoAnswer, Supervisor};
use crate::turn::SLICE;
use core::sync::atomic::Ordering::Relaxed;
use program::link::Answer;
use program::report::{self, Report, Subject};
use program::{Epoch, Mac, Speaks};
use std::collections::BTreeMap;
use switch::{Cell, DropReason, Ledger, PortKey, WorkerId};
use tables::Location;
use tables::fdb::Entry;

/// More stations than a bucket holds.
const WAYS: usize = 8;

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
            Subject::Tunnels => Report::Tunnels(self.tunnels()),
            Subject::Stations => Report::Stations(self.stations(meanwhile)?),
            Subject::Counters => Report::Counters(self.counters()),
            Subject::Workers => Report::Workers(self.workers()),
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
            let ways = network.iter().flat_map(|network| network.tunnels.iter());
            let ways = ways.filter_map(|slot| self.config.tunnel(*slot)?.way.as_ref());
            // Behind the outer headers comes the inner frame's own Ethernet header.
            let room = ways.map(|way| way.max_inner.saturating_sub(14)).min();
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

    fn tunnels(&self) -> Vec<report::Tunnel> {
        let local = self
            .programs
            .underlay()
            .map(|(_, program)| program.endpoint);
        let interface = self
            .programs
            .underlay()
            .map(|(_, program)| &program.interface);
        let tunnel = |(epoch, program): (Epoch, &program::TunnelProgram)| {
            let slot = self.config.tunnel_of(program.remote, program.vnet);
            let way = slot.and_then(|slot| self.config.tunnel(slot)?.way);
            let up = way.is_some_and(|way| self.config.port(way.port).is_some_and(|p| p.up));
            let hop = self.next_hops.get(&program.remote);
            let state = match (local, hop, way) {
                (None, ..) => "no underlay is programmed".to_owned(),
                (_, Some(hop), None) if Some(&hop.interface) != interface => {
                    format!(
                        "the route leaves by {}, which is no underlay port",
                        hop.interface
                    )
                }
                (_, _, None) => "no way to the peer is known".to_owned(),
                (..) if !up => "the underlay port is not up".to_owned(),
                (..) => "up".to_owned(),
            };
            report::Tunnel {
                name: program.name.clone(),
                epoch,
                vnet: program.vnet,
                local,
                remote: program.remote,
                state,
                interface: hop.map(|hop| hop.interface.clone()),
                next_hop: way.map(|way| way.destination),
                mtu: way.map_or(0, |way| way.mtu),
            }
        };
        self.programs.tunnels().map(tunnel).collect()
    }

    fn stations(&mut self, meanwhile: Meanwhile<'_>) -> Result<Vec<report::Station>, NoAnswer> {
        let places = self.places();
        let mut stations = Vec::new();
        for worker in 0..u16::try_from(self.posts.len()).unwrap_or(u16::MAX) {
            let mut from = Some(0);
            while let Some(bucket) = from {
                let mail = Mail::Stations {
                    from: bucket,
                    into: Vec::with_capacity(SLICE * WAYS),
                };
                let Letter::Stations { noted, next } =
                    self.ask(WorkerId(worker), mail, meanwhile)?
                else {
                    break;
                };
                let heard = noted.iter().filter_map(|entry| station(&places, entry));
                stations.extend(heard);
                from = next.filter(|next| *next > bucket);
            }
        }
        stations.sort_by_key(|station| (station.vnet, station.mac));
        Ok(stations)
    }

    /// What the places in the table of stations are called.
    fn places(&self) -> BTreeMap<(bool, u16, u8), String> {
        let ports = self.programs.ports().filter_map(|(_, program)| {
            let slot = self.compiler.port_slot(&program.into())?;
            let generation = self.config.port(slot)?.generation;
            Some(((false, slot, generation), format!("port {}", program.name)))
        });
        let tunnels = self.programs.tunnels().filter_map(|(_, program)| {
            let slot = self.config.tunnel_of(program.remote, program.vnet)?;
            let generation = self.config.tunnel(slot)?.generation;
            Some(((true, slot, generation), format!("tunnel {}", program.name)))
        });
        ports.chain(tunnels).collect()
    }

    fn counters(&self) -> report::Counters {
        // A name has no space, so no guest's port can be called what the underlay's is.
        let underlay = self.programs.underlay().into_iter();
        let underlay = underlay.map(|(_, p)| (format!("underlay {}", p.name), PortKey::from(p)));
        let guests = self.programs.ports();
        let guests = guests.map(|(_, p)| (p.name.to_string(), PortKey::from(p)));
        let ports = underlay.chain(guests).filter_map(|(name, key)| {
            let slot = self.compiler.port_slot(&key)?;
            Some((name, self.ledger(slot, |counters| &counters.ports)))
        });
        let vnets = self.programs.networks().filter_map(|(_, program)| {
            let slot = self.compiler.network_slot(program.vnet)?;
            Some((program.vnet, self.ledger(slot, |counters| &counters.vnets)))
        });
        let mut datapath = BTreeMap::new();
        let waiting = self
            .posts
            .iter()
            .map(|post| post.gauges.frames_waiting.load(Relaxed) as u64);
        datapath.insert("frames_waiting".to_owned(), waiting.sum());
        datapath.insert("frames_lost".to_owned(), frame::lost());
        for (name, count) in self.held.values().flat_map(|held| held.attachment.lost()) {
            *datapath.entry(name.to_owned()).or_default() += count;
        }
        for (name, cell) in [
            ("learned", Cell::Learned),
            ("moved", Cell::Moved),
            ("not_learned", Cell::NotLearned),
        ] {
            let of = |post: &crate::supervisor::Post| -> u64 {
                post.counters
                    .vnets
                    .iter()
                    .map(|ledger| ledger.get(cell))
                    .sum()
            };
            datapath.insert(format!("stations_{name}"), self.posts.iter().map(of).sum());
        }
        report::Counters {
            ports: ports.collect(),
            vnets: vnets.collect(),
            datapath,
        }
    }

    /// The ledger in `slot`, all workers' together.
    fn ledger(
        &self,
        slot: u16,
        of: impl Fn(&switch::Counters) -> &[Ledger] + Copy,
    ) -> report::Ledger {
        let get = |cell| self.sum(of, slot, |ledger| ledger.get(cell));
        let dropped = DropReason::ALL.iter().filter_map(|reason| {
            let count = self.sum(of, slot, |ledger| ledger.dropped(*reason));
            (count > 0).then(|| (reason.name().to_owned(), count))
        });
        report::Ledger {
            received: get(Cell::Received),
            received_bytes: get(Cell::ReceivedBytes),
            copied: get(Cell::Copied),
            sent: get(Cell::Sent),
            answered: 0,
            dropped: dropped.collect(),
            transmitted: get(Cell::Transmitted),
            transmitted_bytes: get(Cell::TransmittedBytes),
        }
    }

    fn sum(
        &self,
        of: impl Fn(&switch::Counters) -> &[Ledger],
        slot: u16,
        get: impl Fn(&Ledger) -> u64,
    ) -> u64 {
        let ledgers = self
            .posts
            .iter()
            .filter_map(|post| of(&post.counters).get(usize::from(slot)));
        ledgers.map(get).sum()
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

/// A station as it is shown; none if it is behind what was withdrawn, or was forgotten.
fn station(places: &BTreeMap<(bool, u16, u8), String>, entry: &Entry) -> Option<report::Station> {
    let place = match entry.location {
        Location::Port { slot, generation } => (false, slot, generation),
        Location::Peer { slot, generation } => (true, slot, generation),
    };
    Some(report::Station {
        vnet: entry.station.vnet(),
        mac: Mac(entry.station.mac()),
        behind: places.get(&place)?.clone(),
        expires_s: entry.remaining.as_secs(),
    })
}
