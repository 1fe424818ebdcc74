//! The counters of both hosts, while something runs.

use super::stage::Stage;
use netns::Greyhound;
use serde_json::Value;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// The sums over all ports of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Packets in, and copies made by flooding.
    pub(super) came: u64,
    /// Packets that left or were answered.
    pub(super) went: u64,
    /// Packets dropped, for whatever reason.
    pub(super) dropped: u64,
}

impl Sums {
    /// Of a report of counters.
    pub(super) fn of(report: &Value) -> Self {
        let counters = report.get("counters").unwrap_or(report);
        let mut sums = Self::default();
        for ledger in counters["ports"]
            .as_object()
            .into_iter()
            .flat_map(|ports| ports.values())
        {
            let count = |field: &str| ledger[field].as_u64().unwrap_or(0);
            let reasons = ledger["dropped"].as_object();
            sums.came += count("received") + count("copied");
            sums.went += count("sent") + count("answered") + count("merged");
            sums.dropped += reasons
                .into_iter()
                .flatten()
                .filter_map(|(_, n)| n.as_u64())
                .sum::<u64>();
        }
        sums
    }

    /// What came less what is accounted for.
    pub(super) fn missing(self) -> i128 {
        i128::from(self.came) - i128::from(self.went) - i128::from(self.dropped)
    }

    /// Asks a host for them; all 0 if it does not answer now.
    fn ask(greyhound: &Greyhound) -> Self {
        greyhound
            .show("counters")
            .map_or(Self::default(), |report| Self::of(&report))
    }
}

/// Does `work`, and shows each second what both hosts count.
pub(super) fn watching<T>(stage: &Stage, what: &str, work: impl FnOnce() -> T) -> T {
    let (done, over) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let began = Instant::now();
            let mut last = stage.greyhounds.each_ref().map(Sums::ask);
            let mut then = Instant::now();
            while over.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let now = stage.greyhounds.each_ref().map(Sums::ask);
                let gone = then.elapsed().as_secs_f64();
                then = Instant::now();
                show(&line(what, began.elapsed(), gone, &last, &now));
                last = now;
            }
            if stdout().is_terminal() {
                show("");
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn line(what: &str, since: Duration, gone: f64, last: &[Sums; 2], now: &[Sums; 2]) -> String {
    use std::fmt::Write as _;
    let mut line = format!("   {:>3} s  {what}", since.as_secs());
    for (host, (last, now)) in last.iter().zip(now).enumerate() {
        let rate = per_second(now.came.saturating_sub(last.came), gone) / 1e3;
        // A String takes all.
        let _ = write!(
            line,
            " | h{} {rate:.1} kpps in, {} dropped",
            host + 1,
            now.dropped
        );
    }
    line
}

/// What `count` in so many seconds is in one.
#[allow(clippy::cast_precision_loss)] // for people: three digits are shown
pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// On a terminal each line takes the place of the one before.
fn show(line: &str) {
    if stdout().is_terminal() {
        print!("\r{line}\x1b[K");
        // That nobody looks is no reason to stop.
        let _ = stdout().flush();
    } else {
        println!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_ledgers_of_all_ports_are_summed() {
        let ledger = json!({"received": 5, "copied": 2, "sent": 4, "answered": 1,
                            "dropped": {"alone": 1, "spoofed": 1}});
        let report = json!({"counters": {"ports": {"a": ledger, "b": ledger}}});
        assert_eq!(
            Sums::of(&report),
            Sums {
                came: 14,
                went: 10,
                dropped: 4
            }
        );
        assert_eq!(Sums::of(&report["counters"]), Sums::of(&report));
    }
}
