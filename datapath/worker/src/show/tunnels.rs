//! The tunnels, and the way to each peer.

use crate::mail::{Letter, Mail};
use crate::supervisor::{Meanwhile, NoAnswer, Supervisor};
use program::{Epoch, Sequence, Transport, TunnelProgram, report};
use std::collections::BTreeMap;
use switch::{Tunnel, WorkerId};

impl Supervisor {
    pub(super) fn tunnels(
        &mut self,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Vec<report::Tunnel>, NoAnswer> {
        let lowered = self.lowered(meanwhile)?;
        let show = |(epoch, program)| self.tunnel(epoch, program, &lowered);
        Ok(self.programs.tunnels().map(show).collect())
    }

    /// To what routers have lowered the MTU of tunnels, by slot.
    fn lowered(&mut self, meanwhile: Meanwhile<'_>) -> Result<BTreeMap<u16, usize>, NoAnswer> {
        let mut all = BTreeMap::new();
        let slots = 0..u16::try_from(self.config.tunnels.len()).unwrap_or(u16::MAX);
        for worker in 0..u16::try_from(self.posts.len()).unwrap_or(u16::MAX) {
            // A network's tunnels are known to the worker that is its home.
            let at_home = |slot: &u16| {
                let tunnel = self.config.tunnel(*slot);
                let network = tunnel.and_then(|tunnel| self.config.network(tunnel.network));
                network.is_some_and(|network| network.home == WorkerId(worker))
            };
            let tunnels: Vec<u16> = slots.clone().filter(at_home).collect();
            let into = Vec::with_capacity(tunnels.len());
            let mail = Mail::Lowered { tunnels, into };
            let Letter::Lowered { tunnels, noted } = self.ask(WorkerId(worker), mail, meanwhile)?
            else {
                continue;
            };
            let said = tunnels.into_iter().zip(noted).filter(|(_, mtu)| *mtu > 0);
            all.extend(said);
        }
        Ok(all)
    }

    fn tunnel(
        &self,
        epoch: Epoch,
        program: &TunnelProgram,
        lowered: &BTreeMap<u16, usize>,
    ) -> report::Tunnel {
        let underlay = self.programs.underlay().map(|(_, program)| program);
        let local = underlay.and_then(|underlay| underlay.endpoint.towards(program.remote));
        let slot = self.config.tunnel_of(program.remote, program.key());
        let tunnel = slot.and_then(|slot| self.config.tunnel(slot));
        let hop = self.next_hops.get(&program.remote);
        let hops = tunnel.into_iter().flat_map(Tunnel::ways);
        report::Tunnel {
            name: program.name.clone(),
            epoch,
            vnet: program.vnet,
            local,
            remote: program.remote,
            wraps: wraps(program),
            state: self.tunnel_state(program, tunnel),
            interface: hop.and_then(|hop| Some(hop.hops.first()?.interface.clone())),
            next_hops: hops.map(|way| way.destination).collect(),
            mtu: tunnel.map_or(0, |tunnel| shown(tunnel.mtu)),
            lowered_to: slot
                .and_then(|slot| lowered.get(&slot))
                .map_or(0, |mtu| shown(*mtu)),
        }
    }

    fn tunnel_state(&self, program: &TunnelProgram, tunnel: Option<&Tunnel>) -> String {
        let Some((_, underlay)) = self.programs.underlay() else {
            return "no underlay is programmed".to_owned();
        };
        if underlay.endpoint.towards(program.remote).is_none() {
            return format!(
                "the peer is not of the family of our endpoint, {}",
                underlay.endpoint
            );
        }
        let way = tunnel.and_then(|tunnel| tunnel.way.as_ref());
        let hop = self.next_hops.get(&program.remote);
        let elsewhere = hop.and_then(|hop| hop.hops.first());
        match (elsewhere, way) {
            (Some(hop), None) if hop.interface != underlay.interface => format!(
                "the route leaves by {}, which is no underlay port",
                hop.interface
            ),
            (_, None) => "no way to the peer is known".to_owned(),
            (_, Some(way)) if !self.config.port(way.port).is_some_and(|port| port.up) => {
                "the underlay port is not up".to_owned()
            }
            _ => "up".to_owned(),
        }
    }
}

/// How frames are wrapped, in words.
fn wraps(program: &TunnelProgram) -> String {
    let mut words = vec![if program.keyed { "key" } else { "no key" }];
    if program.checksum {
        words.push("csum");
    }
    if program.sequence != Sequence::None {
        words.push("seq");
    }
    if program.transport == Transport::Udp {
        words.push("in UDP");
    }
    words.join(" ")
}

fn shown(mtu: usize) -> u32 {
    u32::try_from(mtu).unwrap_or(u32::MAX)
}
