//! What happened in the workers, kept for who asks.

use crate::mail::{Letter, Mail};
use crate::show::stations::place as place_of;
use crate::supervisor::{Meanwhile, NoAnswer, Supervisor};
use core::sync::atomic::Ordering::Relaxed;
use program::report;
use std::collections::VecDeque;
use switch::{Event, Happening, WorkerId};
use tables::Location;

/// Events that are kept; older ones are forgotten.
const KEPT: usize = 1024;

/// Events fetched from one worker at a time.
const FETCHED: usize = 256;

/// The latest events, in the words of those who ask.
#[derive(Debug, Default)]
pub(crate) struct Events {
    kept: VecDeque<report::Event>,
    noted: u64,
}

impl Supervisor {
    /// Takes over what happened in every worker since the last time.
    pub(crate) fn fetch_events(&mut self, meanwhile: Meanwhile<'_>) -> Result<(), NoAnswer> {
        for worker in 0..u16::try_from(self.posts.len()).unwrap_or(u16::MAX) {
            let waiting = self.posts.get(usize::from(worker));
            if waiting.is_none_or(|post| post.gauges.events.load(Relaxed) == 0) {
                continue;
            }
            let mail = Mail::Events(Vec::with_capacity(FETCHED));
            let letter = self.ask(WorkerId(worker), mail, meanwhile)?;
            if let Letter::Events(events) = letter {
                for event in events {
                    self.keep(&event);
                }
            }
        }
        Ok(())
    }

    /// Everything that is kept, the latest last.
    pub(crate) fn events(
        &mut self,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Vec<report::Event>, NoAnswer> {
        self.fetch_events(meanwhile)?;
        Ok(self.events.kept.iter().cloned().collect())
    }

    /// Words are found at once: the slots that an event names may be another's soon.
    fn keep(&mut self, event: &Event) {
        let (kind, text) = self.words(&event.what);
        self.events.noted += 1;
        if self.events.kept.len() == KEPT {
            self.events.kept.pop_front();
        }
        self.events.kept.push_back(report::Event {
            number: self.events.noted,
            at_ms: event.at.as_nanos() / 1_000_000,
            vnet: event.vnet,
            kind: kind.to_owned(),
            text,
        });
    }

    fn words(&self, what: &Happening) -> (&'static str, String) {
        let places = self.places();
        let place = |location: Location| {
            let name = places.get(&place_of(location)).cloned();
            name.unwrap_or_else(|| "what was withdrawn".to_owned())
        };
        let mac = program::Mac;
        match *what {
            Happening::StationMoved {
                mac: station,
                from,
                to,
            } => (
                "station_moved",
                format!(
                    "{} moved from {} to {}",
                    mac(station),
                    place(from),
                    place(to)
                ),
            ),
            Happening::StationHeld {
                mac: station,
                at,
                heard,
            } => (
                "station_held",
                format!(
                    "{} is heard behind {} and {} by turns: two have one address, or there is a \
                     loop; it is taken to be behind {} for 30 s",
                    mac(station),
                    place(at),
                    place(heard),
                    place(at),
                ),
            ),
            Happening::PortFull { port } => (
                "port_full",
                format!(
                    "{} has as many stations as it may: others behind it are flooded to; \
                     \"stations\" in its program is the limit",
                    self.port_called(port),
                ),
            ),
            Happening::NetworkFull => (
                "network_full",
                "the network has as many stations as it may: others are flooded to; \
                 \"stations\" in its program is the limit"
                    .to_owned(),
            ),
            Happening::MtuLowered { tunnel, to } => (
                "mtu_lowered",
                format!(
                    "a router on the way of {} carries {to} bytes at most",
                    self.tunnel_called(tunnel)
                ),
            ),
            Happening::MtuForgotten { tunnel } => (
                "mtu_forgotten",
                format!(
                    "what a router said of {} is ten minutes old: its full MTU is tried again",
                    self.tunnel_called(tunnel)
                ),
            ),
        }
    }

    fn port_called(&self, slot: u16) -> String {
        let mut ports = self.programs.ports();
        let found = ports.find(|(_, p)| self.compiler.port_slot(&(*p).into()) == Some(slot));
        found.map_or_else(
            || "a port that is gone".to_owned(),
            |(_, p)| format!("port {}", p.name),
        )
    }

    fn tunnel_called(&self, slot: u16) -> String {
        let mut tunnels = self.programs.tunnels();
        let found = tunnels.find(|(_, t)| self.config.tunnel_of(t.remote, t.key()) == Some(slot));
        found.map_or_else(
            || "a tunnel that is gone".to_owned(),
            |(_, t)| format!("tunnel {}", t.name),
        )
    }
}
