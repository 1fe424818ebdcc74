//! The end-to-end run: who forwards, what is measured, and what comes of it.
//!
//! Start at [`run`]; then [`forwarder`] (who), [`far`] (who sends and counts), [`report`] (what is
//! printed).

pub(crate) mod bare;
pub(crate) mod far;
mod forwarder;
mod machine;
mod report;

use crate::Options;
use anyhow::Result;
use far::{Order, Seen};
use forwarder::Forwarder;
use machine::RightOfWay;
use netns::Lab;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

/// Makes an enum whose variants have names, for command lines and reports.
macro_rules! named {
    ($(#[doc = $doc:literal] $name:ident { $(#[doc = $each:literal] $variant:ident = $text:literal,)+ })+) => { $(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub(crate) enum $name {
            $(#[doc = $each] #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            #[allow(dead_code)] // not all are asked for
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)+];

            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }

        impl core::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let named = Self::ALL.iter().find(|one| one.name() == text);
                let all: Vec<_> = Self::ALL.iter().map(|one| one.name()).collect();
                named.copied().ok_or_else(|| format!("one of {}", all.join(", ")))
            }
        }
    )+ };
}

named! {
    /// Which way frames go through the forwarder.
    Way {
        /// From the guest to the underlay.
        Encap = "encap",
        /// From the underlay to the guest.
        Decap = "decap",
        /// Both at once; the sum counts.
        Both = "both",
    }
    /// Who forwards.
    Kind {
        /// One worker on core 0 that never sleeps.
        Greyhound = "greyhound",
        /// Our `io` and nothing else: the ceiling.
        Bare = "bare",
        /// Open vSwitch's userspace datapath on `AF_XDP` ports, one PMD thread on core 0.
        OvsAfxdp = "ovs-afxdp",
        /// Open vSwitch's userspace datapath on its usual ports, its thread on core 0.
        OvsSystem = "ovs-system",
    }
    /// Where the far ends' receive work is done.
    SinkWork {
        /// In a kernel thread on the sending core.
        Threaded = "threaded",
        /// On the core that sends to them: the forwarder's.
        Inline = "inline",
    }
}

/// One thing that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Case {
    way: Way,
    /// Length of the inner frame, in bytes.
    length: usize,
}

/// All that was seen of one forwarder in one case.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Measured {
    /// As fast as it goes, one a turn.
    flat_out: Vec<Seen>,
    /// At half of its median rate, frames a second each way.
    paced_rate: u64,
    /// What was seen at that.
    paced: Option<Seen>,
}

impl Measured {
    /// The median of the turns, in frames a second.
    fn median(&self) -> f64 {
        median(self.flat_out.iter().map(|seen| seen.per_second))
    }
}

/// By case, then by forwarder.
type Results = BTreeMap<Case, BTreeMap<Kind, Measured>>;

/// How long a turn lasts when all is to be quick, in seconds.
const QUICK: f64 = 0.1;

/// Measures, prints, and says how it went.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let began = Instant::now();
    let mut options = options.clone();
    if options.quick {
        options.seconds = options.seconds.min(QUICK);
        options.runs = 1;
    }
    let right_of_way = RightOfWay::take();
    let mut lab = Lab::new("bench")?;
    let (mut forwarders, missing) = forwarder::start_all(&mut lab, &options)?;
    let cases = cases(&options);
    let mut results = Results::new();
    flat_out(&options, &cases, &mut forwarders, &mut results, began)?;
    paced(&options, &cases, &mut forwarders, &mut results)?;

    let told = report::Told {
        results: &results,
        missing: &missing,
        asks: !options.quick,
    };
    let good = told.print();
    if let Some(file) = &options.json {
        let facts: BTreeMap<_, _> = forwarders
            .iter()
            .map(|one| (one.kind().name(), one.facts().clone()))
            .collect();
        let all = json!({
            "machine": machine::facts(),
            "forwarders": facts,
            "missing": missing,
            "forwarding_core": forwarder::CORE,
            "sending_core": far::CORE,
            "sink": options.sink,
            "right_of_way": right_of_way.is_taken(),
            "seconds": options.seconds,
            "runs": options.runs,
            "cases": told.as_json(),
        });
        std::fs::write(file, format!("{all:#}\n"))?;
    }
    drop(forwarders);
    lab.close()?;
    println!("took {:.0} s", began.elapsed().as_secs_f64());
    Ok(ExitCode::from(match (missing.is_empty(), good) {
        (false, _) => 2,
        (true, false) => 1,
        (true, true) => 0,
    }))
}

fn cases(options: &Options) -> Vec<Case> {
    let ways = if options.ways.is_empty() {
        Way::ALL
    } else {
        &options.ways
    };
    let each = |way: &Way| {
        let way = *way;
        let of = |length: &usize| Case {
            way,
            length: *length,
        };
        options.sizes.iter().map(of).collect::<Vec<_>>()
    };
    ways.iter().flat_map(each).collect()
}

/// Every forwarder as fast as it goes, in turns.
fn flat_out(
    options: &Options,
    cases: &[Case],
    forwarders: &mut [Forwarder],
    results: &mut Results,
    began: Instant,
) -> Result<()> {
    for (number, case) in cases.iter().enumerate() {
        for _ in 0..options.runs {
            for forwarder in &mut *forwarders {
                let order = order(*case, options.seconds, 0);
                let seen = forwarder.measure(&order)?;
                let measured = results.entry(*case).or_default();
                let measured = measured.entry(forwarder.kind()).or_default();
                measured.flat_out.push(seen);
            }
        }
        let medians = results[case]
            .iter()
            .map(|(kind, measured)| format!("{kind} {:.2}", measured.median() / 1e6));
        println!(
            "[{:>3.0} s] {}/{} {} {} B, Mpps: {}",
            began.elapsed().as_secs_f64(),
            number + 1,
            cases.len(),
            case.way,
            case.length,
            medians.collect::<Vec<_>>().join(", ")
        );
    }
    Ok(())
}

/// Every forwarder at half its own rate: what is lost then is lost for another reason than haste.
fn paced(
    options: &Options,
    cases: &[Case],
    forwarders: &mut [Forwarder],
    results: &mut Results,
) -> Result<()> {
    println!("now each at half its rate, for its loss");
    for case in cases {
        for forwarder in &mut *forwarders {
            let measured = results.entry(*case).or_default();
            let measured = measured.entry(forwarder.kind()).or_default();
            let ways = if case.way == Way::Both { 2.0 } else { 1.0 };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a positive rate
            let rate = (measured.median() / 2.0 / ways) as u64;
            measured.paced_rate = rate.max(1);
            let order = order(*case, options.seconds, measured.paced_rate);
            measured.paced = Some(forwarder.measure(&order)?);
        }
    }
    Ok(())
}

fn order(case: Case, seconds: f64, rate: u64) -> Order {
    Order {
        way: case.way,
        length: case.length,
        seconds,
        rate,
        bare: false,
    }
}

/// The middle one, or the mean of the middle two; 0 of none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        for (values, middle) in [
            (&[3.0, 1.0, 2.0][..], 2.0),
            (&[4.0, 1.0, 2.0, 3.0], 2.5),
            (&[], 0.0),
        ] {
            let found: f64 = median(values.iter().copied());
            assert!((found - middle).abs() < 1e-9, "{values:?}: {found}");
        }
    }

    #[test]
    fn what_is_named_is_read_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
        }
        assert!("ovs".parse::<Kind>().unwrap_err().contains("ovs-afxdp"));
    }
}
