//! The steps from what the datapath has to what is wanted.

use program::{Epoch, Id, Kind, Program, Programs, Step};
use std::collections::{BTreeMap, BTreeSet};

/// The steps that make what is `applied` what is `desired`, in an order in which each may be
/// taken: away with ports, tunnels, networks and the underlay; then underlay, networks, tunnels
/// and ports.
///
/// A program that changed is put in place of the old one, so that its counters and its stations
/// stay. What the old one said is not known here, so two programs that swap an interface, a peer
/// or a number get in each other's way; the datapath refuses them and [`plan_anew`] finds the way.
///
/// The plan for what is there already is empty.
pub fn plan(desired: &Programs, applied: &[(Id, Epoch)]) -> Vec<Step> {
    // In place only upwards: an epoch above ours was given by nobody we know.
    steps(desired, applied, |have, want| have > want)
}

/// As [`plan`], but everything that changed is withdrawn first, and all that stands on it.
///
/// Every step of it is taken, whatever the old programs said.
pub fn plan_anew(desired: &Programs, applied: &[(Id, Epoch)]) -> Vec<Step> {
    steps(desired, applied, |_, _| true)
}

/// `anew` says of two epochs that differ, the one in force and the one wanted, whether the old
/// program must go before the new one comes.
fn steps(
    desired: &Programs,
    applied: &[(Id, Epoch)],
    anew: impl Fn(Epoch, Epoch) -> bool,
) -> Vec<Step> {
    let applied: BTreeMap<&Id, Epoch> = applied.iter().map(|(id, epoch)| (id, *epoch)).collect();

    // Networks that are in force, and stay so under what stands on them.
    let lasting: BTreeSet<_> = desired
        .networks()
        .filter(|(want, network)| {
            let id = Id {
                kind: Kind::Network,
                name: network.name.clone(),
            };
            applied
                .get(&id)
                .is_some_and(|have| have == want || !anew(*have, *want))
        })
        .map(|(_, network)| network.vnet)
        .collect();
    let stands = |program: &Program| match program {
        Program::Tunnel(tunnel) => lasting.contains(&tunnel.vnet),
        Program::Port(port) => lasting.contains(&port.vnet),
        Program::Underlay(_) | Program::Network(_) => true,
    };
    let goes = |id: &Id, have: Epoch| match desired.get(id) {
        None => true,
        Some((want, program)) => (have != want && anew(have, want)) || !stands(program),
    };

    let gone: BTreeSet<&Id> = applied
        .iter()
        .filter(|(id, have)| goes(id, **have))
        .map(|(id, _)| *id)
        .collect();
    let withdraw = gone.iter().rev().map(|id| Step::Withdraw {
        epoch: applied[*id],
        id: (*id).clone(),
    });
    let put = desired.iter().filter(|(want, program)| {
        let id = program.id();
        gone.contains(&id) || applied.get(&id) != Some(want)
    });
    let put = put.map(|(epoch, program)| Step::Put {
        epoch,
        program: program.clone(),
    });
    withdraw.chain(put).collect()
}

#[cfg(test)]
mod tests;
