//! What the bridge pays to find a station, and to hear one.
//!
//! Reads: nanoseconds a station, in batches of 32 that lie in no order, by stations known.
//! `hit` and `miss` look up one after the other; `hit-batch` asks for the memory of all 32 first;
//! `known` learns what is known and need not be written; `moved` learns what has moved, and so
//! writes every line.
//!
//! Expect about 10 ns where the table is in the second-level cache (1 and 1,000 stations), a step
//! where it outgrows each cache (100,000 are 3 MB, a million 30 MB), and a batch to be ahead of
//! one by one there. A miss reads two lines and costs more than a hit everywhere. It would be a
//! surprise if `known` cost much more than `hit`.

use bench::load::{shuffled, station};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use std::hint::black_box;
use std::time::Duration;
use tables::{Fdb, Instant, Learned, Location, Station};

const BATCH: usize = 32;
const SIZES: [u32; 4] = [1, 1_000, 100_000, 1_000_000];
const IDLE: Duration = Duration::from_mins(5);
const HERE: Location = Location::Port {
    slot: 1,
    generation: 1,
};
const THERE: Location = Location::Peer {
    slot: 2,
    generation: 1,
};

/// A table that knows stations 0 to `known`, and those stations in no order, in whole batches.
fn load(known: u32) -> (Fdb, Vec<Station>) {
    let mut fdb = Fdb::new(known as usize, 7);
    let mut order: Vec<_> = shuffled(known).into_iter().map(station).collect();
    for station in &order {
        fdb.learn(Instant::START, *station, HERE, IDLE);
    }
    // A table knows nearly all it was made for; what it refused is no hit.
    order.retain(|station| fdb.lookup(Instant::START, *station).is_some());
    let whole = order.len().next_multiple_of(BATCH);
    order = order.iter().copied().cycle().take(whole).collect();
    (fdb, order)
}

/// Measures `each` on one batch after the other, over and over.
fn by_batch(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    order: &[Station],
    mut each: impl FnMut(&[Station]) -> usize,
) {
    let mut batches = order.chunks_exact(BATCH).cycle();
    group.bench_function(id, |b| {
        b.iter(|| each(black_box(batches.next().unwrap_or_default())));
    });
}

fn lookups(c: &mut Criterion) {
    let mut group = c.benchmark_group("fdb/lookup");
    group.throughput(Throughput::Elements(BATCH as u64));
    for known in SIZES {
        let (fdb, order) = load(known);
        let hit = |station: &&Station| fdb.lookup(Instant::START, **station).is_some();
        by_batch(
            &mut group,
            BenchmarkId::new("hit", known),
            &order,
            |batch| batch.iter().filter(hit).count(),
        );
        by_batch(
            &mut group,
            BenchmarkId::new("hit-batch", known),
            &order,
            |batch| {
                let mut found = [None; BATCH];
                fdb.lookup_batch(Instant::START, batch, &mut found);
                found.iter().flatten().count()
            },
        );
        let strangers: Vec<_> = shuffled(known.max(32))
            .into_iter()
            .map(|number| station(number | 1 << 31))
            .collect();
        by_batch(
            &mut group,
            BenchmarkId::new("miss", known),
            &strangers,
            |batch| batch.iter().filter(hit).count(),
        );
    }
    group.finish();
}

/// Learns a batch at `location`, as the path does: all memory is asked for first.
fn learn(fdb: &mut Fdb, batch: &[Station], location: Location) -> usize {
    let places: [_; BATCH] = core::array::from_fn(|n| fdb.place(batch[n]));
    for place in &places {
        fdb.touch(place);
    }
    let mut known = 0;
    for place in &places {
        let learned = fdb.learn_at(Instant::START, place, location, IDLE);
        known += usize::from(learned == Learned::Known);
    }
    known
}

fn learning(c: &mut Criterion) {
    let mut group = c.benchmark_group("fdb/learn");
    group.throughput(Throughput::Elements(BATCH as u64));
    for known in SIZES {
        let (mut fdb, order) = load(known);
        by_batch(
            &mut group,
            BenchmarkId::new("known", known),
            &order,
            |batch| learn(&mut fdb, batch, HERE),
        );
        // Each pass over all stations finds them where the last one did not leave them.
        let (mut batches, a_pass) = (0, order.len() / BATCH);
        by_batch(
            &mut group,
            BenchmarkId::new("moved", known),
            &order,
            |batch| {
                let to = if batches / a_pass % 2 == 0 {
                    THERE
                } else {
                    HERE
                };
                batches += 1;
                learn(&mut fdb, batch, to)
            },
        );
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50);
    targets = lookups, learning
}
criterion_main!(benches);
