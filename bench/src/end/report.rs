//! What is printed, and whether the goals were met.

use crate::end::{Case, Kind, Measured, Results, Seen, Way};
use serde_json::{Value, json};

/// Of the bare forwarder's rate, the share that Greyhound must reach.
const OF_BARE: f64 = 0.85;
/// The length of the frames the goals are about, in bytes.
const SMALL: usize = 64;

/// All there is to tell of a run.
pub(crate) struct Told<'a> {
    pub(crate) results: &'a Results,
    pub(crate) missing: &'a [(Kind, String)],
    /// Whether the goals are asked for.
    pub(crate) asks: bool,
}

impl Told<'_> {
    /// Prints the table, and what became of the goals; false if one was missed.
    pub(crate) fn print(&self) -> bool {
        println!();
        println!("Mpps are medians, flat out; loss is at half of that, in frames of a million.");
        print!("{:<6}{:>5}", "way", "B");
        for kind in Kind::ALL {
            print!(" |{:>11}{:>8}", kind.name(), "loss");
        }
        println!(" |{:>8}{:>11}{:>11}", "/ bare", "/ovs-afxdp", "/ovs-system");
        for (case, row) in self.results {
            print!("{:<6}{:>5}", case.way, case.length);
            for kind in Kind::ALL {
                match row.get(kind) {
                    Some(measured) => {
                        let loss = measured.paced.map_or(0.0, loss) * 1e6;
                        print!(" |{:>11.3}{loss:>8.0}", measured.median() / 1e6);
                    }
                    None => print!(" |{:>11}{:>8}", "-", "-"),
                }
            }
            print!(" |");
            for (other, width) in [(Kind::Bare, 8), (Kind::OvsAfxdp, 11), (Kind::OvsSystem, 11)] {
                match self.ratio(*case, other) {
                    Some(ratio) => print!("{ratio:>width$.2}"),
                    None => print!("{:>width$}", "-"),
                }
            }
            println!();
        }
        for (kind, why) in self.missing {
            println!("not measured: {kind}: {why}");
        }
        !self.asks || self.goals()
    }

    /// Greyhound's median by another's.
    fn ratio(&self, case: Case, other: Kind) -> Option<f64> {
        let row = self.results.get(&case)?;
        let (ours, theirs) = (row.get(&Kind::Greyhound)?, row.get(&other)?);
        Some(ours.median() / theirs.median())
    }

    fn goals(&self) -> bool {
        let mut good = true;
        for way in [Way::Encap, Way::Decap] {
            let case = Case { way, length: SMALL };
            for (other, least) in [
                (Kind::Bare, OF_BARE),
                (Kind::OvsAfxdp, 1.0),
                (Kind::OvsSystem, 1.0),
            ] {
                // What was not asked for is no goal; what could not be run is told of above.
                let Some(ratio) = self.ratio(case, other) else {
                    continue;
                };
                let met = ratio >= least;
                good &= met;
                let word = if met { "met" } else { "MISSED" };
                println!("goal {word}: {way} {SMALL} B, {ratio:.2} of {other}, wanted {least:.2}");
            }
        }
        good
    }

    /// Everything, for a file.
    pub(crate) fn as_json(&self) -> Value {
        let cases = self.results.iter().map(|(case, row)| {
            let forwarders: serde_json::Map<String, Value> = row
                .iter()
                .map(|(kind, measured)| (kind.name().to_owned(), one(measured)))
                .collect();
            json!({"way": case.way, "length": case.length, "forwarders": forwarders})
        });
        cases.collect()
    }
}

fn one(measured: &Measured) -> Value {
    json!({
        "median_pps": measured.median(),
        "flat_out": measured.flat_out,
        "paced_pps": measured.paced_rate,
        "paced": measured.paced,
        "paced_loss": measured.paced.map(loss),
    })
}

/// The share of what was sent that did not arrive.
#[allow(clippy::cast_precision_loss)] // counts of a second or so
fn loss(seen: Seen) -> f64 {
    if seen.sent == 0 {
        return 0.0;
    }
    1.0 - seen.arrived as f64 / seen.sent as f64
}
