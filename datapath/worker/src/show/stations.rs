//! The stations and addresses that were heard.

use crate::mail::{Letter, Mail};
use crate::supervisor::{Meanwhile, NoAnswer, Supervisor};
use crate::turn::SLICE;
use program::{Mac, report};
use std::collections::BTreeMap;
use switch::WorkerId;
use tables::Location;
use tables::fdb::Entry;

/// More than a bucket of any table holds.
const WAYS: usize = 8;

/// What the places in a table are called: of a peer or not, by slot and generation.
pub(crate) type Places = BTreeMap<(bool, u16, u8), String>;

/// What a place is looked up by.
pub(crate) fn place(location: Location) -> (bool, u16, u8) {
    match location {
        Location::Port { slot, generation } => (false, slot, generation),
        Location::Peer { slot, generation } => (true, slot, generation),
    }
}

impl Supervisor {
    pub(super) fn stations(
        &mut self,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Vec<report::Station>, NoAnswer> {
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

    pub(super) fn neighbours(
        &mut self,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Vec<report::Neighbour>, NoAnswer> {
        let places = self.places();
        let mut all: Vec<report::Neighbour> = Vec::new();
        for (_, network) in self.programs.networks() {
            let programmed = network.neighbours.iter().map(|known| report::Neighbour {
                vnet: network.vnet,
                address: known.address,
                mac: known.mac,
                behind: "program".to_owned(),
            });
            all.extend(programmed);
        }
        for worker in 0..u16::try_from(self.posts.len()).unwrap_or(u16::MAX) {
            let mut from = Some(0);
            while let Some(bucket) = from {
                let mail = Mail::Neighbours {
                    from: bucket,
                    into: Vec::with_capacity(SLICE * WAYS),
                };
                let Letter::Neighbours { noted, next } =
                    self.ask(WorkerId(worker), mail, meanwhile)?
                else {
                    break;
                };
                let heard = noted.iter().filter_map(|entry| {
                    Some(report::Neighbour {
                        vnet: entry.neighbour.vnet,
                        address: entry.neighbour.address,
                        mac: Mac(entry.neighbour.mac),
                        behind: places.get(&place(entry.neighbour.location))?.clone(),
                    })
                });
                all.extend(heard);
                from = next.filter(|next| *next > bucket);
            }
        }
        all.sort_by_key(|neighbour| (neighbour.vnet, neighbour.address));
        Ok(all)
    }

    /// What the places in the table of stations are called.
    pub(crate) fn places(&self) -> Places {
        let ports = self.programs.ports().filter_map(|(_, program)| {
            let slot = self.compiler.port_slot(&program.into())?;
            let generation = self.config.port(slot)?.generation;
            Some(((false, slot, generation), format!("port {}", program.name)))
        });
        let tunnels = self.programs.tunnels().filter_map(|(_, program)| {
            let slot = self.config.tunnel_of(program.remote, program.key())?;
            let generation = self.config.tunnel(slot)?.generation;
            Some(((true, slot, generation), format!("tunnel {}", program.name)))
        });
        ports.chain(tunnels).collect()
    }
}

/// A station as it is shown; none if it is behind what was withdrawn, or was forgotten.
fn station(places: &Places, entry: &Entry) -> Option<report::Station> {
    Some(report::Station {
        vnet: entry.station.vnet(),
        mac: Mac(entry.station.mac()),
        behind: places.get(&place(entry.location))?.clone(),
        expires_s: entry.remaining.as_secs(),
    })
}
