//! What it costs to know what bytes mean.
//!
//! Reads: nanoseconds a packet. `parse/tunnelled` is Ethernet, IPv4 with its header checksum,
//! keyed GRE and the inner Ethernet; `parse/guest` is Ethernet, IPv4 and UDP; `emit` is the 42
//! bytes that we put in front. None looks at the payload, so none may depend on the frame's
//! length: expect about 10 ns each, at 64 and at 1400 bytes alike.
//!
//! `checksum` reads every byte. Expect it to grow with the length from about 64 bytes on, at 10
//! bytes a nanosecond or more, and etherparse's, its judge in the tests, not to be faster.

use bench::load::{VNET, guest_frame, tunnelled};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Duration;
use wire::{
    EtherType, Ethernet, EthernetRepr, Gre, GreRepr, Ipv4, Ipv4Repr, Protocol, checksum, l4::Udp,
};

/// What the way in needs of a frame from a peer.
fn read_tunnelled(frame: &[u8]) -> Option<(Ipv4Addr, u32, [u8; 6], [u8; 6])> {
    let (ethernet, packet) = Ethernet::parse(frame).ok()?;
    if ethernet.ethertype() != EtherType::IPV4 {
        return None;
    }
    let (ip, envelope) = Ipv4::parse(packet).ok()?;
    let (gre, inner) = Gre::parse(envelope).ok()?;
    let (inner, _) = Ethernet::parse(inner).ok()?;
    Some((ip.source(), gre.key()?, inner.source(), inner.destination()))
}

/// What a service needs of a guest's frame to know its flow.
fn read_guest(frame: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, u16, u16)> {
    let (_, packet) = Ethernet::parse(frame).ok()?;
    let (ip, segment) = Ipv4::parse(packet).ok()?;
    let (udp, _) = Udp::parse(segment).ok()?;
    Some((
        ip.source(),
        ip.destination(),
        udp.source_port(),
        udp.destination_port(),
    ))
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/parse");
    group.throughput(Throughput::Elements(1));
    for len in [64, 1400] {
        let inner = guest_frame(len);
        let outer = tunnelled(&inner);
        assert!(read_tunnelled(&outer).is_some() && read_guest(&inner).is_some());
        group.bench_function(BenchmarkId::new("tunnelled", len), |b| {
            b.iter(|| read_tunnelled(black_box(&outer)));
        });
        group.bench_function(BenchmarkId::new("guest", len), |b| {
            b.iter(|| read_guest(black_box(&inner)));
        });
    }
    group.finish();
}

fn emit(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/emit");
    group.throughput(Throughput::Elements(1));
    let (ethernet, ip) = (
        EthernetRepr {
            destination: [2, 0, 0, 0, 0, 2],
            source: [2, 0, 0, 0, 0, 1],
            ethertype: EtherType::IPV4,
        },
        Ipv4Repr {
            source: Ipv4Addr::new(192, 0, 2, 1),
            destination: Ipv4Addr::new(192, 0, 2, 2),
            protocol: Protocol::GRE,
            ttl: 64,
            tos: 0,
            identification: 0,
            dont_fragment: true,
            payload_len: 72,
        },
    );
    group.bench_function("outer", |b| {
        b.iter(|| {
            let (ethernet, ip) = (black_box(&ethernet), black_box(&ip));
            (
                ethernet.emit(),
                ip.emit(),
                GreRepr::keyed(black_box(VNET.0)).emit(),
            )
        });
    });
    group.finish();
}

fn sums(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/checksum");
    for len in [20, 64, 512, 1400] {
        let bytes: Vec<u8> = (0..len).map(|n: usize| n.to_le_bytes()[0]).collect();
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("ours", len), |b| {
            b.iter(|| checksum::sum(black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::new("etherparse", len), |b| {
            b.iter(|| {
                let sum = etherparse::checksum::Sum16BitWords::new();
                sum.add_slice(black_box(&bytes)).ones_complement()
            });
        });
    }
    group.bench_function("updated", |b| {
        b.iter(|| checksum::updated(black_box(0x1234), black_box(1), black_box(2)));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = parse, emit, sums
}
criterion_main!(benches);
