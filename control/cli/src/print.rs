//! Reports, as a person reads them.

use crate::counters;
use crate::table::{grouped, table};
use agent::api::Status;
use agent::desired::Change;
use program::report::{Network, Port, Report, Station, Tunnel, Worker};
use std::fmt::{Display, Write as _};

/// What is not there.
const NONE: &str = "-";

pub(crate) fn report(report: &Report) -> String {
    match report {
        Report::Ports(all) => ports(all),
        Report::Networks(all) => networks(all),
        Report::Tunnels(all) => tunnels(all),
        Report::Stations(all) => stations(all),
        Report::Counters(counters) => counters::plain(counters),
        Report::Workers(all) => workers(all),
    }
}

fn or_none(value: Option<impl Display>) -> String {
    value.map_or(NONE.to_owned(), |value| value.to_string())
}

/// A number that is 0 while it is not known.
fn known(number: u32) -> String {
    if number == 0 {
        NONE.to_owned()
    } else {
        number.to_string()
    }
}

fn ports(all: &[Port]) -> String {
    let row = |port: &Port| {
        let queue = |q: &program::report::Queue| format!("{}:w{} {}", q.queue, q.worker, q.mode);
        let queues: Vec<_> = port.queues.iter().map(queue).collect();
        vec![
            port.name.to_string(),
            or_none(port.vnet),
            port.interface.to_string(),
            port.speaks.map_or(NONE.to_owned(), String::from),
            port.state.clone(),
            if port.steer.is_empty() {
                NONE.to_owned()
            } else {
                port.steer.clone()
            },
            if queues.is_empty() {
                NONE.to_owned()
            } else {
                queues.join(", ")
            },
            known(port.mtu),
            port.epoch.to_string(),
        ]
    };
    let head = [
        "NAME",
        "VNET",
        "INTERFACE",
        "MAC",
        "STATE",
        "STEER",
        "QUEUES",
        "MTU",
        "EPOCH",
    ];
    let rows: Vec<_> = all.iter().map(row).collect();
    let mut text = table(&head, &rows, "no ports");
    for port in all {
        for note in &port.notes {
            let _ = writeln!(text, "{}: {note}", port.name); // a string takes all
        }
    }
    text
}

fn networks(all: &[Network]) -> String {
    let row = |network: &Network| {
        vec![
            network.name.to_string(),
            network.vnet.to_string(),
            known(network.mtu),
            network.ports.to_string(),
            network.tunnels.to_string(),
            network.worker.to_string(),
            network.epoch.to_string(),
        ]
    };
    let head = ["NAME", "VNET", "MTU", "PORTS", "TUNNELS", "WORKER", "EPOCH"];
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&head, &rows, "no networks")
}

fn tunnels(all: &[Tunnel]) -> String {
    let row = |tunnel: &Tunnel| {
        vec![
            tunnel.name.to_string(),
            tunnel.vnet.to_string(),
            or_none(tunnel.local),
            tunnel.remote.to_string(),
            or_none(tunnel.interface.as_ref()),
            or_none(tunnel.next_hop),
            known(tunnel.mtu),
            tunnel.epoch.to_string(),
            tunnel.state.clone(),
        ]
    };
    let head = [
        "NAME",
        "VNET",
        "LOCAL",
        "REMOTE",
        "INTERFACE",
        "NEXT HOP",
        "MTU",
        "EPOCH",
        "STATE",
    ];
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&head, &rows, "no tunnels")
}

fn stations(all: &[Station]) -> String {
    let row = |station: &Station| {
        vec![
            station.vnet.to_string(),
            station.mac.to_string(),
            station.behind.clone(),
            format!("{} s", station.expires_s),
        ]
    };
    let head = ["VNET", "MAC", "BEHIND", "FORGOTTEN IN"];
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&head, &rows, "no stations were heard")
}

fn workers(all: &[Worker]) -> String {
    let row = |worker: &Worker| {
        let number = |number: usize| grouped(u64::try_from(number).unwrap_or(u64::MAX));
        vec![
            worker.worker.to_string(),
            or_none(worker.core),
            worker.devices.to_string(),
            grouped(worker.turns),
            grouped(worker.busy_turns),
            grouped(worker.sleeps),
            grouped(worker.packets),
            number(worker.frames_made),
            number(worker.frames_free),
            number(worker.frames_lent),
            number(worker.stations),
            grouped(worker.configs),
        ]
    };
    let head = [
        "WORKER", "CORE", "DEVICES", "TURNS", "BUSY", "SLEEPS", "PACKETS", "FRAMES", "FREE",
        "LENT", "STATIONS", "CONFIGS",
    ];
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&head, &rows, "no workers")
}

pub(crate) fn changes(all: &[Change]) -> String {
    let row = |change: &Change| {
        let (what, epoch) = match (change.was, change.now) {
            (None, Some(now)) => ("new", format!("epoch {now}")),
            (Some(was), Some(now)) if was == now => ("unchanged", format!("epoch {now}")),
            (Some(was), Some(now)) => ("changed", format!("epoch {was} to {now}")),
            (_, None) => ("withdrawn", String::new()),
        };
        vec![change.id.to_string(), what.to_owned(), epoch]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table(&["PROGRAM", "CHANGE", ""], &rows, "no programs")
}

pub(crate) fn status(status: &Status) -> String {
    let mut text = String::new();
    let datapath = match status.instance {
        Some(instance) => format!("there, instance {instance:016x}"),
        None => format!(
            "not there ({}); start greyhound-datapath --socket {}",
            status.why,
            status.datapath.display()
        ),
    };
    let _ = writeln!(text, "agent     {}", status.version); // a string takes all
    let _ = writeln!(text, "datapath  {datapath}");
    let _ = writeln!(
        text,
        "programs  {} wanted, {} in force",
        status.wanted, status.applied
    );
    if !status.pending.is_empty() && status.connected {
        text.push_str("not yet in force on every worker:\n");
        for pending in &status.pending {
            let _ = writeln!(text, "  {}: {}", pending.id, pending.why);
        }
    }
    if !status.unreachable.is_empty() {
        text.push_str("no way to:\n");
        for peer in &status.unreachable {
            let _ = writeln!(text, "  {}: {}", peer.remote, peer.why);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use program::{Epoch, Id, Interface, Kind, Mac, Name, Speaks, Vnet};

    fn name(text: &str) -> Name {
        Name::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_port_says_what_it_got_and_why() {
        let port = Port {
            name: name("a"),
            epoch: Epoch(3),
            vnet: Some(Vnet(5001)),
            interface: Interface::try_from("vm-a".to_owned()).unwrap(),
            speaks: Some(Speaks::As(Mac([2, 0, 0, 0, 0, 10]))),
            state: "up".to_owned(),
            steer: "native".to_owned(),
            queues: vec![program::report::Queue {
                queue: 0,
                worker: 1,
                mode: "copy".to_owned(),
            }],
            mtu: 1500,
            notes: vec!["veth has no zero-copy".to_owned()],
        };
        assert_eq!(
            ports(&[port]),
            "NAME  VNET  INTERFACE  MAC                STATE  STEER   QUEUES      MTU  EPOCH\n\
             a     5001  vm-a       02:00:00:00:00:0a  up     native  0:w1 copy  1500      3\n\
             a: veth has no zero-copy\n"
        );
    }

    #[test]
    fn a_change_says_from_where_to_where() {
        let change = |text, was: Option<u64>, now: Option<u64>| Change {
            id: Id {
                kind: Kind::Port,
                name: name(text),
            },
            was: was.map(Epoch),
            now: now.map(Epoch),
        };
        let all = [
            change("a", None, Some(1)),
            change("b", Some(1), Some(1)),
            change("c", Some(1), Some(2)),
            change("d", Some(1), None),
        ];
        assert_eq!(
            changes(&all),
            "PROGRAM  CHANGE\n\
             port a   new        epoch 1\n\
             port b   unchanged  epoch 1\n\
             port c   changed    epoch 1 to 2\n\
             port d   withdrawn\n"
        );
    }
}
