//! The final table.

use super::live::{Sums, per_second};
use super::stage::{Network, Stage};
use super::{FLOOD_S, Small};
use anyhow::Result;
use netns::measure::{Iperf, Ping};
use netns::value_within;
use serde_json::Value;
use std::time::Duration;

/// What was seen of one network.
pub(super) struct Row {
    name: String,
    pub(super) ping: Option<Ping>,
    pub(super) out: Option<Iperf>,
    pub(super) back: Option<Iperf>,
    pub(super) flood: Option<Small>,
    pub(super) easy: Option<Small>,
}

impl Row {
    pub(super) fn new(network: &Network) -> Self {
        let Network { name, vnet, .. } = network;
        let name = format!("{name} (vnet {vnet}), h1 -> h2");
        Self {
            name,
            ping: None,
            out: None,
            back: None,
            flood: None,
            easy: None,
        }
    }
}

/// Prints what was seen; that the counters do not balance is an error.
pub(super) fn print(rows: &[Row], stage: &Stage) -> Result<()> {
    println!(
        "\n{:<27}{:>12}{:>13}{:>13}{:>14}{:>16}",
        "path", "round trip", "TCP there", "TCP back", "60-byte", "loss, easy pace"
    );
    for row in rows {
        let rtt = row
            .ping
            .and_then(|ping| ping.rtt_ms)
            .map_or("-".into(), |ms| format!("{ms:.3} ms"));
        let tcp = |seen: Option<Iperf>| {
            seen.map_or("-".into(), |seen| format!("{:.0} Mbit/s", seen.mbit))
        };
        let (there, back) = (tcp(row.out), tcp(row.back));
        let small = row.flood.as_ref().map_or("-".into(), mpps);
        let loss = row.easy.as_ref().map_or("-".into(), |easy| {
            format!("{} of {}", easy.lost(), easy.sent)
        });
        println!(
            "{:<27}{rtt:>12}{there:>13}{back:>13}{small:>14}{loss:>16}",
            row.name
        );
    }
    println!(
        "60-byte frames are counted where they arrive, {FLOOD_S} s of as many as one sender makes; sender, \
         both hosts\nand receiver share this machine's cores. What a full ring of the kernel lost is in \
         the notes below."
    );
    sockets(stage)?;
    balance(stage)
}

fn mpps(small: &Small) -> String {
    format!(
        "{:.3} Mpps",
        per_second(small.received, small.seconds) / 1e6
    )
}

fn sockets(stage: &Stage) -> Result<()> {
    println!(
        "\n{:<6}{:<10}{:<12}{:>7}{:>8}  {:<12}XDP",
        "host", "port", "interface", "queue", "worker", "socket"
    );
    for greyhound in &stage.greyhounds {
        let shown = greyhound.show("ports")?;
        let ports = shown.get("ports").unwrap_or(&shown);
        for port in ports.as_array().into_iter().flatten() {
            let text = |field: &str| port[field].as_str().unwrap_or("-").to_owned();
            for queue in port["queues"].as_array().into_iter().flatten() {
                println!(
                    "{:<6}{:<10}{:<12}{:>7}{:>8}  {:<12}{}",
                    greyhound.host().node(),
                    text("name"),
                    text("interface"),
                    queue["queue"].to_string(),
                    queue["worker"].to_string(),
                    queue["mode"].as_str().unwrap_or("-"),
                    text("steer")
                );
            }
            for note in port["notes"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
            {
                println!("      {note}");
            }
        }
    }
    Ok(())
}

fn balance(stage: &Stage) -> Result<()> {
    println!(
        "\n{:<6}{:>14}{:>14}{:>12}{:>10}",
        "host", "in + copied", "out", "dropped", "missing"
    );
    for greyhound in &stage.greyhounds {
        let node = greyhound.host().node();
        // A packet under way when the ledgers are read is not missing a moment later.
        let limit = Duration::from_secs(3);
        let quiet = || {
            greyhound
                .show("counters")
                .ok()
                .map(|report| Sums::of(&report))
        };
        let balanced = || quiet().filter(|sums| sums.missing() == 0);
        let sums = value_within(&format!("the ledgers of {node} balance"), limit, balanced)?;
        let Sums {
            came,
            went,
            dropped,
        } = sums;
        println!(
            "{node:<6}{came:>14}{went:>14}{dropped:>12}{:>10}",
            sums.missing()
        );
    }
    Ok(())
}
