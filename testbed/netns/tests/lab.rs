//! The lab itself: what it makes works, and nothing of it stays.

#![allow(clippy::unwrap_used)] // all of it is test code

use netns::measure::{iperf3, ping};
use netns::{Lab, Namespace, RawPort, binary, sweep, until};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const FAST: Duration = Duration::from_millis(20);

/// A frame of a protocol nobody speaks, from `02:…:0a` to everybody.
const UNKNOWN: [u8; 60] = {
    let mut frame = [0; 60];
    let mut at = 0;
    while at < 6 {
        frame[at] = 0xff;
        at += 1;
    }
    frame[6] = 0x02;
    frame[11] = 0x0a;
    frame[12] = 0x88; // local experimental
    frame[13] = 0xb5;
    frame
};

fn namespaces_of(run: &str) -> Vec<String> {
    let prefix = format!("gh-{run}-");
    let entries = std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

fn folder_of(run: &str) -> std::path::PathBuf {
    Path::new("/run/greyhound-lab").join(run)
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Starts `gh-lab` in a process of its own, and waits until it stands.
fn other_run() -> (Child, String) {
    let mut other = Command::new(binary("gh-lab").unwrap());
    let mut other = other
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(other.stdout.take().unwrap()).lines();
    let mut said = lines.map_while(Result::ok);
    let run = said.find_map(|line| Some(line.strip_prefix("run ")?.split(' ').next()?.to_owned()));
    (other, run.expect("gh-lab says its run"))
}

/// Joins two interfaces of `host` as a switch would.
fn bridge(host: &Namespace, ports: [&str; 2]) {
    host.ip("link add br0 type bridge").unwrap();
    host.ip("link set br0 up mtu 1600").unwrap();
    for port in ports {
        host.ip(&format!("link set {port} master br0")).unwrap();
    }
}

#[test]
fn hosts_ping_each_other_over_a_wire_of_two_and_of_three() {
    for count in [2, 3] {
        let mut lab = Lab::new("lab test: wires").unwrap();
        let names = ["h1", "h2", "h3"];
        let hosts: Vec<_> = names[..count]
            .iter()
            .map(|name| lab.host(name).unwrap())
            .collect();
        lab.wire(&hosts.iter().collect::<Vec<_>>()).unwrap();
        for other in &hosts[1..] {
            let seen = ping(&hosts[0], other.address(), 5, FAST).unwrap();
            assert!(seen.is_clean(), "{count} hosts: {seen:?}");
        }
        lab.close().unwrap();
    }
}

#[test]
fn guests_on_a_kernel_bridge_ping_and_run_iperf3_and_exchange_any_frame() {
    let mut lab = Lab::new("lab test: guests").unwrap();
    let host = lab.host("h1").unwrap();
    let a = lab
        .guest(&host, "a", [10, 0, 0, 1].into(), "02:00:00:00:00:01")
        .unwrap();
    let b = lab
        .guest(&host, "b", [10, 0, 0, 2].into(), "02:00:00:00:00:02")
        .unwrap();
    bridge(&host, [a.port(), b.port()]);

    assert!(ping(&a, b.address(), 5, FAST).unwrap().is_clean());
    let tcp = iperf3(&b, b.address(), &a, 1, &[]).unwrap();
    assert!(tcp.mbit > 1.0, "{tcp:?}");
    let udp = iperf3(&b, b.address(), &a, 1, &["-u", "-b", "1M"]).unwrap();
    assert!(udp.datagrams > 0 && udp.mbit > 0.5, "{udp:?}");

    let mut sender = RawPort::open(&a, "eth0").unwrap();
    let receiver = RawPort::open(&b, "eth0").unwrap();
    sender.send(&UNKNOWN).unwrap();
    let got = receiver.received_like(1, LIMIT, |frame| frame[12..14] == [0x88, 0xb5]);
    assert_eq!(got, [UNKNOWN]);
}

#[test]
fn a_ping_into_the_void_is_a_result_and_an_iperf3_into_it_an_error() {
    let mut lab = Lab::new("lab test: void").unwrap();
    let host = lab.host("h1").unwrap();
    let a = lab
        .guest(&host, "a", [10, 0, 0, 1].into(), "02:00:00:00:00:01")
        .unwrap();
    let b = lab
        .guest(&host, "b", [10, 0, 0, 2].into(), "02:00:00:00:00:02")
        .unwrap();

    let seen = ping(&a, b.address(), 2, FAST).unwrap();
    assert_eq!((seen.sent, seen.received, seen.rtt_ms), (2, 0, None));
    assert!(iperf3(&b, b.address(), &a, 1, &[]).is_err());
}

#[test]
fn a_guest_sends_whole_checksums_unless_it_is_told_otherwise() {
    let mut lab = Lab::new("lab test: offloads").unwrap();
    let host = lab.host("h1").unwrap();
    let a = lab
        .guest(&host, "a", [10, 0, 0, 1].into(), "02:00:00:00:00:01")
        .unwrap();
    let on = netns::GuestOptions {
        offloads: true,
        queues: 2,
        ..Default::default()
    };
    let b = lab
        .guest_with(&host, "b", [10, 0, 0, 2].into(), "02:00:00:00:00:02", &on)
        .unwrap();

    let shows = |guest: &Namespace| guest.exec("ethtool", &["-k", "eth0"]).unwrap();
    assert!(shows(&a).contains("tx-checksumming: off"));
    assert!(shows(&b).contains("tx-checksumming: on"));
    assert!(
        host.exec("ls", &["/sys/class/net/p-b/queues"])
            .unwrap()
            .contains("rx-1")
    );
}

#[test]
fn a_lab_that_is_dropped_leaves_no_namespace_no_process_and_no_file() {
    let mut lab = Lab::new("lab test: drop").unwrap();
    let run = lab.id().to_owned();
    let host = lab.host("h1").unwrap();
    let a = lab
        .guest(&host, "a", [10, 0, 0, 1].into(), "02:00:00:00:00:01")
        .unwrap();
    let mut sleeper = host.start("sleeper", "sleep", &["600"]).unwrap();
    // One that nobody holds a handle of, and that outlives its parent.
    a.exec("sh", &["-c", "sleep 600 > /dev/null 2>&1 &"])
        .unwrap();
    until("the sleeper sleeps in its namespace", LIMIT, || {
        a.exec("ip", &["netns", "pids", host.name()])
            .unwrap()
            .contains(&sleeper.pid().to_string())
    })
    .unwrap();
    assert_eq!(namespaces_of(&run).len(), 2);
    assert!(folder_of(&run).join("h1/sleeper.out").exists());

    drop(lab);

    assert_eq!(namespaces_of(&run), [""; 0]);
    assert!(!folder_of(&run).exists());
    assert!(!sleeper.lives());
    assert!(
        host.ip("link show").is_err(),
        "a host is only a name once its lab is gone"
    );
}

#[test]
fn a_lab_whose_test_panics_is_removed_too() {
    let run = std::thread::spawn(|| {
        let mut lab = Lab::new("lab test: panic").unwrap();
        lab.host("h1").unwrap();
        std::panic::panic_any(lab.id().to_owned());
    });
    let run = *run.join().unwrap_err().downcast::<String>().unwrap();
    assert_eq!(namespaces_of(&run), [""; 0]);
    assert!(!folder_of(&run).exists());
}

#[test]
fn what_a_killed_run_left_is_found_named_and_removed() {
    let (mut other, run) = other_run();
    let mut sleeper = 0;
    until("what it starts is there", LIMIT, || {
        let pids = Command::new("ip")
            .args(["netns", "pids", &format!("gh-{run}-h1")])
            .output();
        let pids = String::from_utf8(pids.unwrap().stdout).unwrap();
        pids.trim().parse().map(|pid| sleeper = pid).is_ok()
    })
    .unwrap();

    assert!(
        sweep().unwrap().iter().all(|swept| swept.run != run),
        "it is alive"
    );
    assert_eq!(namespaces_of(&run).len(), 4);

    other.kill().unwrap();
    other.wait().unwrap();
    until("what it had started dies with it", LIMIT, || {
        !alive(sleeper)
    })
    .unwrap();
    assert_eq!(namespaces_of(&run).len(), 4);

    // A lab sweeps as it starts; another test's may have been faster than this call.
    let swept = sweep().unwrap();
    if let Some(swept) = swept.iter().find(|swept| swept.run == run) {
        assert_eq!(swept.namespaces.len(), 4);
        assert!(swept.to_string().contains("by hand"), "{swept}");
    }
    assert_eq!(namespaces_of(&run), [""; 0]);
    assert!(!folder_of(&run).exists());
}

#[test]
fn a_run_that_is_told_to_stop_removes_itself() {
    for signal in ["-INT", "-TERM"] {
        let (mut other, run) = other_run();
        let line = format!("kill {signal} {}", other.id());
        assert!(
            Command::new("sh")
                .args(["-c", &line])
                .status()
                .unwrap()
                .success()
        );
        until("it ends", LIMIT, || other.try_wait().unwrap().is_some()).unwrap();
        assert_eq!(namespaces_of(&run), [""; 0]);
        assert!(!folder_of(&run).exists());
    }
}
