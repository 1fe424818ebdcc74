//! The ledgers, and whether they balance.

use crate::table::{grouped, table};
use program::report::{Counters, Ledger};
use std::fmt::Write as _;
use std::time::Duration;

/// Every ledger, as a person reads it.
pub(crate) fn plain(counters: &Counters) -> String {
    print(counters, &|_, now| ledger(now))
}

/// Every ledger, and what moved since `old`, `elapsed` ago.
pub(crate) fn with_rates(old: &Counters, new: &Counters, elapsed: Duration) -> String {
    print(new, &|of, now| {
        let before = match of {
            Of::Port(name) => old.ports.get(name),
            Of::Vnet(vnet) => old.vnets.get(&vnet),
        };
        let mut text = ledger(now);
        if let Some(before) = before {
            text.push_str(&rates(before, now, elapsed));
        }
        text
    })
}

/// Whose ledger it is.
#[derive(Clone, Copy)]
enum Of<'a> {
    Port(&'a str),
    Vnet(program::Vnet),
}

fn print(counters: &Counters, ledger: &dyn Fn(Of<'_>, &Ledger) -> String) -> String {
    let mut text = String::new();
    for (name, of) in &counters.ports {
        let _ = writeln!(text, "port {name}"); // a string takes all
        text.push_str(&ledger(Of::Port(name), of));
    }
    for (vnet, of) in &counters.vnets {
        let _ = writeln!(text, "vnet {vnet}");
        text.push_str(&ledger(Of::Vnet(*vnet), of));
    }
    if text.is_empty() {
        text.push_str("no ports and no networks\n");
    }
    if !counters.datapath.is_empty() {
        let row = |(name, count): (&String, &u64)| vec![format!("  {name}"), grouped(*count)];
        let rows: Vec<_> = counters.datapath.iter().map(row).collect();
        text.push_str(&table(&["datapath", ""], &rows, ""));
    }
    text
}

/// The balance in one line, and one line each for what was dropped and why, and what was noted.
fn ledger(of: &Ledger) -> String {
    let dropped: u64 = of.dropped.values().sum();
    let balance = match of.missing() {
        0 => "balanced".to_owned(),
        // While packets are under way the two sides differ for a moment.
        missing => format!("NOT BALANCED: {missing} under way, or lost if it stays so"),
    };
    let mut text = format!(
        "  received {} + copied {} = sent {} + answered {} + merged {} + dropped {}  {balance}\n",
        grouped(of.received),
        grouped(of.copied),
        grouped(of.sent),
        grouped(of.answered),
        grouped(of.merged),
        grouped(dropped),
    );
    for (reason, count) in &of.dropped {
        let _ = writeln!(text, "    dropped {}: {reason}", grouped(*count));
    }
    for (what, count) in &of.noted {
        let _ = writeln!(text, "    noted {}: {what}", grouped(*count));
    }
    let _ = writeln!(
        text,
        "  received {} bytes; transmitted {} packets, {} bytes",
        grouped(of.received_bytes),
        grouped(of.transmitted),
        grouped(of.transmitted_bytes),
    );
    text
}

fn rates(before: &Ledger, now: &Ledger, elapsed: Duration) -> String {
    let per_second = |before: u64, now: u64| {
        // A datapath that was started again counts from 0.
        let moved = u128::from(now.saturating_sub(before));
        let rate = moved * 1_000_000 / elapsed.as_micros().max(1);
        u64::try_from(rate).unwrap_or(u64::MAX)
    };
    let drops = |of: &Ledger| of.dropped.values().sum();
    let bits = |before, now| {
        let bits = per_second(before, now).saturating_mul(8);
        format!(
            "{}.{:03} Mbit/s",
            grouped(bits / 1_000_000),
            bits / 1000 % 1000
        )
    };
    format!(
        "  in {} packets/s, {}; out {} packets/s, {}; dropped {}/s\n",
        grouped(per_second(before.received, now.received)),
        bits(before.received_bytes, now.received_bytes),
        grouped(per_second(before.transmitted, now.transmitted)),
        bits(before.transmitted_bytes, now.transmitted_bytes),
        grouped(per_second(drops(before), drops(now))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use program::Vnet;

    fn some() -> Counters {
        let ledger = Ledger {
            received: 10,
            received_bytes: 1000,
            copied: 2,
            sent: 7,
            merged: 2,
            dropped: [("spoofed".to_owned(), 3)].into(),
            noted: [("sequence gap".to_owned(), 5)].into(),
            transmitted: 4,
            transmitted_bytes: 400,
            ..Ledger::default()
        };
        Counters {
            ports: [("a".to_owned(), ledger.clone())].into(),
            vnets: [(Vnet(0), ledger)].into(),
            datapath: [("foreign gre".to_owned(), 1234)].into(),
        }
    }

    #[test]
    fn the_balance_is_a_line_and_each_reason_is_one() {
        assert_eq!(
            plain(&some()),
            "port a\n\
             \x20 received 10 + copied 2 = sent 7 + answered 0 + merged 2 + dropped 3  balanced\n\
             \x20   dropped 3: spoofed\n\
             \x20   noted 5: sequence gap\n\
             \x20 received 1,000 bytes; transmitted 4 packets, 400 bytes\n\
             vnet 0\n\
             \x20 received 10 + copied 2 = sent 7 + answered 0 + merged 2 + dropped 3  balanced\n\
             \x20   dropped 3: spoofed\n\
             \x20   noted 5: sequence gap\n\
             \x20 received 1,000 bytes; transmitted 4 packets, 400 bytes\n\
             datapath\n\
             \x20 foreign gre  1,234\n"
        );
    }

    #[test]
    fn what_does_not_balance_is_not_hidden() {
        let mut counters = some();
        counters.ports.get_mut("a").unwrap().received = 11;
        let text = plain(&counters);
        assert!(text.contains("NOT BALANCED: 1 under way"), "{text}");
    }

    #[test]
    fn rates_are_per_second_whatever_time_has_passed() {
        let mut new = some();
        let a = new.ports.get_mut("a").unwrap();
        (a.received, a.received_bytes) = (4010, 1_001_000);
        let text = with_rates(&some(), &new, Duration::from_secs(2));
        assert!(
            text.contains("in 2,000 packets/s, 4.000 Mbit/s; out 0 packets/s"),
            "{text}"
        );
    }

    #[test]
    fn a_datapath_that_started_again_has_no_negative_rates() {
        let text = with_rates(&some(), &Counters::default(), Duration::from_secs(1));
        assert!(text.starts_with("no ports"), "{text}");
        let mut new = some();
        new.ports.get_mut("a").unwrap().received = 0;
        let text = with_rates(&some(), &new, Duration::from_secs(1));
        assert!(text.contains("in 0 packets/s"), "{text}");
    }
}
