//! The generator and the sink, on a veth of the real kernel. Wants root and `ip`.
#![allow(clippy::unwrap_used)] // a test may, and so may what it calls

mod netns;

use io::Facts;
use io::generator::{EXPERIMENT, Generator, LONGEST, Sink};
use netns::{PEER, Raw, US, Wire, eventually, numbered};

/// A frame of `len` bytes that a sink counts.
fn counted(len: usize) -> Vec<u8> {
    let frame = numbered(0, len);
    assert_eq!(frame[12..14], EXPERIMENT);
    frame
}

#[test]
fn what_is_generated_arrives_and_is_counted_by_its_length() {
    let wire = Wire::new();
    let sink = wire.there.inside(|| Sink::attach(PEER)).unwrap();
    wire.here.inside(|| {
        let generator = Generator::new().unwrap();
        let by = Facts::of(US).unwrap().index;
        for (len, count) in [(60, 5000), (1400, 3), (61, 1)] {
            generator.send(by, &counted(len), count).unwrap();
        }
    });
    let counts = || [60, 61, 1400, 1401].map(|len| sink.count(len).unwrap());
    eventually("all have come", || counts() == [5000, 1, 3, 0]);
}

#[test]
fn what_a_sink_does_not_count_goes_on_to_the_kernel() {
    let wire = Wire::new();
    let sink = wire.there.inside(|| Sink::attach(PEER)).unwrap();
    let (from, to) = (Raw::new(&wire.here, US), Raw::new(&wire.there, PEER));
    let mut other = numbered(7, 100);
    other[13] ^= 0xff;
    assert!(from.send(&counted(100)) && from.send(&other));
    let mut arrived = None;
    eventually("the other one has come", || {
        arrived = arrived.take().or_else(|| to.receive());
        arrived.is_some()
    });
    assert_eq!(arrived, Some(other));
    assert_eq!(sink.count(100).unwrap(), 1);
}

#[test]
fn no_interface_and_no_such_length_are_refused() {
    assert!(Sink::attach("gh-none").is_err());
    let wire = Wire::new();
    let sink = wire.there.inside(|| Sink::attach(PEER)).unwrap();
    assert_eq!(sink.count(LONGEST as usize).unwrap(), 0);
    assert!(sink.count(LONGEST as usize + 1).is_err());
}
