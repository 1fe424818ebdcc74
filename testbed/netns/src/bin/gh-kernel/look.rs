//! What must be seen, and what was.

use crate::packet::{Echo, Outer, decapsulated, with_tos};
use crate::rows::{Row, Variant};
use std::fmt;

/// What is wrong with each cell of a row; nothing if all is well.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    pub(crate) gre: Vec<String>,
    pub(crate) df: Vec<String>,
    pub(crate) tos: Vec<String>,
    pub(crate) ecn: Vec<String>,
    pub(crate) ttl: Vec<String>,
}

impl Cells {
    pub(crate) fn all(&self) -> [(&'static str, &[String]); 5] {
        [
            ("GRE", &self.gre),
            ("DF", &self.df),
            ("TOS", &self.tos),
            ("ECN", &self.ecn),
            ("TTL", &self.ttl),
        ]
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, wrong) in self.all() {
            let word = if wrong.is_empty() { "ok" } else { "FAILED" };
            write!(f, "{name} {word}  ")?;
        }
        Ok(())
    }
}

/// How many packets there must be.
pub(crate) struct Expected {
    /// Between the hosts, both ways.
    pub(crate) wire: usize,
    /// Answers at the guest.
    pub(crate) here: usize,
}

/// What `asked` echoes come to. A quarter has no ECN, and is dropped where it was marked.
pub(crate) fn expected(variant: &Variant, asked: u16) -> Expected {
    let (all, capable) = (usize::from(asked), usize::from(asked - asked / 4));
    let answered = if variant.marked_there() { capable } else { all };
    let lost_here = variant.marked_here() && !variant.marked_there();
    Expected {
        wire: all + answered,
        here: if lost_here { capable } else { answered },
    }
}

/// What was heard in one variant of one row.
pub(crate) struct Heard {
    pub(crate) asked: Vec<(Echo, Vec<u8>)>,
    /// Frames between the hosts with our echoes in them.
    pub(crate) wire: Vec<Vec<u8>>,
    /// Frames with answers at the guest.
    pub(crate) answers: Vec<Vec<u8>>,
    /// Frames at guests of other networks.
    pub(crate) strays: usize,
    /// Packets that Greyhound dropped for their ECN.
    pub(crate) dropped: u64,
}

/// Notes all that is not as it should be.
pub(crate) fn judge(row: &Row, variant: &Variant, heard: &Heard, cells: &mut Cells) {
    let packets: Vec<Outer> = heard.wire.iter().filter_map(|f| Outer::read(f)).collect();
    let [ours, theirs] = row.ends();
    let (there, here): (Vec<&Outer>, Vec<&Outer>) =
        packets.iter().partition(|outer| outer.source == ours);
    let name = variant.name;

    let expected = expected(variant, u16::try_from(heard.asked.len()).unwrap_or(0));
    let counts = (there.len(), there.len() + here.len(), heard.answers.len());
    let wanted = (heard.asked.len(), expected.wire, expected.here);
    if counts != wanted {
        cells.gre.push(format!(
            "{name}: (sent, on the wire, answered): {counts:?}, not {wanted:?}"
        ));
    }
    if heard.strays > 0 {
        cells
            .gre
            .push(format!("{name}: {} frames in other networks", heard.strays));
    }
    let ways = [
        ("there", &there, [ours, theirs], row.summed_there()),
        ("here", &here, [theirs, ours], row.checksum),
    ];
    for (way, packets, ends, summed) in ways {
        if packets
            .iter()
            .any(|outer| [outer.source, outer.destination] != ends)
        {
            let what = format!("{name}, {way}: other ends than {ends:?}");
            cells.gre.push(what);
        }
        if let Some(wrong) = packets.iter().find(|outer| !is_gre_of(row, summed, outer)) {
            let what = format!("{name}, {way}: not the GRE of this row: {}", shown(wrong));
            cells.gre.push(what);
        }
        let numbers: Vec<_> = packets.iter().filter_map(|outer| outer.sequence).collect();
        if numbers
            .windows(2)
            .any(|two| two[1] != two[0].wrapping_add(1))
        {
            cells
                .gre
                .push(format!("{name}, {way}: numbers {numbers:?}"));
        }
    }
    way_there(row, variant, heard, &there, cells);
    turned_round(variant, &there, &here, cells);
    way_here(row, variant, heard, &here, cells);
}

fn is_gre_of(row: &Row, summed: bool, outer: &Outer) -> bool {
    let checksum = summed.then_some(true);
    outer.key == row.key && outer.checksum == checksum && outer.sequence.is_some() == row.sequence
}

/// Greyhound's packets: what was programmed, and what the guest sent.
fn way_there(row: &Row, variant: &Variant, heard: &Heard, there: &[&Outer], cells: &mut Cells) {
    let name = variant.name;
    for ((echo, frame), outer) in heard.asked.iter().zip(there) {
        let mut wrong = |cell: fn(&mut Cells) -> &mut Vec<String>, what: &str| {
            cell(cells).push(format!(
                "{name}, there: {what}: echo {echo:?} in {}",
                shown(outer)
            ));
        };
        if outer.inner != *frame {
            wrong(|cells| &mut cells.gre, "the frame has changed");
        }
        let df = match variant.ours.df {
            "copy" => echo.df,
            df => df == "set",
        };
        if outer.df != (!row.v6).then_some(df) {
            wrong(|cells| &mut cells.df, "DF");
        }
        if outer.tos >> 2 != variant.ours.dscp.unwrap_or(echo.tos >> 2) {
            wrong(|cells| &mut cells.tos, "DSCP");
        }
        if outer.tos & 3 != echo.tos & 3 {
            wrong(|cells| &mut cells.ecn, "ECN");
        }
        if outer.ttl != variant.ours.ttl {
            wrong(|cells| &mut cells.ttl, "TTL");
        }
    }
}

/// What the kernel made of Greyhound's packets: the answers have the TOS it saw.
fn turned_round(variant: &Variant, there: &[&Outer], here: &[&Outer], cells: &mut Cells) {
    let mark = if variant.marked_there() { 3 } else { 0 };
    let wanted = there.iter().filter_map(|outer| {
        let echo = Echo::read(&outer.inner)?;
        let ecn = decapsulated(outer.tos | mark, echo.tos)?;
        Some((echo.number, echo.tos & !3 | ecn))
    });
    let answers = here.iter().filter_map(|outer| Echo::read(&outer.inner));
    let (mut wanted, mut seen): (Vec<_>, Vec<_>) = (
        wanted.collect(),
        answers.map(|echo| (echo.number, echo.tos)).collect(),
    );
    // Open vSwitch asks its userspace about the first of each kind, and the others go ahead.
    wanted.sort_unstable();
    seen.sort_unstable();
    if wanted != seen {
        let what = format!(
            "{}: the kernel saw (echo, TOS) {seen:?}, not {wanted:?}",
            variant.name
        );
        cells.ecn.push(what);
    }
}

/// The kernel's packets: what it was told, and what Greyhound made of them.
fn way_here(row: &Row, variant: &Variant, heard: &Heard, here: &[&Outer], cells: &mut Cells) {
    let name = variant.name;
    let (mut wanted, mut lost) = (Vec::new(), 0);
    for outer in here {
        let Some(echo) = Echo::read(&outer.inner) else {
            continue;
        };
        let mut wrong = |cell: fn(&mut Cells) -> &mut Vec<String>, what: &str| {
            cell(cells).push(format!(
                "{name}, here: {what}: echo {echo:?} in {}",
                shown(outer)
            ));
        };
        let df = row.their_df(variant.theirs, echo.df);
        if outer.df != (!row.v6).then_some(df) {
            wrong(|cells| &mut cells.df, "DF");
        }
        let dscp = variant.theirs.tos.unwrap_or(echo.tos) >> 2;
        if outer.tos >> 2 != dscp {
            wrong(|cells| &mut cells.tos, "DSCP");
        }
        if variant.marked_here() && outer.tos & 3 != 3 {
            wrong(|cells| &mut cells.ecn, "no mark");
        }
        if outer.ttl != variant.theirs.ttl {
            wrong(|cells| &mut cells.ttl, "TTL");
        }
        let uniform = variant.ours.dscp.is_none();
        let dscp = if uniform {
            outer.tos >> 2
        } else {
            echo.tos >> 2
        };
        match decapsulated(outer.tos, echo.tos) {
            Some(ecn) => wanted.push(with_tos(&outer.inner, dscp << 2 | ecn)),
            None => lost += 1,
        }
    }
    if heard.dropped != lost {
        cells.ecn.push(format!(
            "{name}: {} dropped for ECN, not {lost}",
            heard.dropped
        ));
    }
    for (wanted, got) in wanted.iter().zip(&heard.answers) {
        if wanted == got {
            continue;
        }
        let (wanted, seen) = (Echo::read(wanted), Echo::read(got));
        let what = format!("{name}: the guest got {seen:?}, not {wanted:?}");
        let tos = |echo: &Option<Echo>| echo.map_or(0, |echo| echo.tos);
        match tos(&wanted) ^ tos(&seen) {
            0 => cells.gre.push(what),
            1..4 => cells.ecn.push(what),
            _ => cells.tos.push(what),
        }
    }
}

/// All of a packet but the frame in it.
fn shown(outer: &Outer) -> String {
    let Outer {
        tos,
        ttl,
        df,
        key,
        sequence,
        checksum,
        inner,
        ..
    } = outer;
    format!(
        "TOS {tos:#04x}, TTL {ttl}, DF {df:?}, key {key:?}, number {sequence:?}, \
         sum holds {checksum:?}, {} bytes",
        inner.len()
    )
}
