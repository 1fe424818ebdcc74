//! What real programs measure between guests: `ping` and `iperf3`.

use crate::namespace::Namespace;
use crate::wait::until;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Once it has sent its last request, `ping` waits for two round trips only: on a busy machine it
/// leaves before the last answers come. So it is made to send on for this long, and those requests
/// are not looked at.
const LINGER: Duration = Duration::from_secs(1);

/// What `ping` saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ping {
    /// Requests sent.
    pub sent: u32,
    /// Answers that came, each request's counted once.
    pub received: u32,
    /// Answers that came again.
    pub duplicates: u32,
    /// The mean round trip in milliseconds; none if nothing came back.
    pub rtt_ms: Option<f64>,
}

impl Ping {
    /// Whether every request was answered, and once.
    pub fn is_clean(&self) -> bool {
        self.sent > 0 && self.sent == self.received && self.duplicates == 0
    }
}

/// Pings `to`, `count` times, one every `interval`. That nothing answers is a result, not an error.
///
/// # Errors
///
/// If `ping` cannot do its work, such as for want of a route.
pub fn ping(from: &Namespace, to: Ipv4Addr, count: u32, interval: Duration) -> Result<Ping> {
    ping_sized(from, to, count, interval, 56)
}

/// As [`ping`], with `payload` bytes behind the ICMP header, not to be fragmented. The frame is
/// 42 bytes longer.
///
/// # Errors
///
/// As [`ping`]; a payload larger than the interface's MTU holds is an error too.
pub fn ping_sized(
    from: &Namespace,
    to: Ipv4Addr,
    count: u32,
    interval: Duration,
    payload: u32,
) -> Result<Ping> {
    let more = if count > 1 {
        LINGER.div_duration_f64(interval).ceil()
    } else {
        0.0
    };
    let words = format!(
        "-n -M do -W 1 -c {} -s {payload} -i {:.4}",
        f64::from(count) + more,
        interval.as_secs_f64()
    );
    let to = to.to_string();
    let args: Vec<&str> = words.split(' ').chain([to.as_str()]).collect();
    let limit = interval * count + Duration::from_secs(15);
    let finished = from.try_exec("ping", &args, limit)?;
    let said = format!("{}{}", finished.stdout, finished.stderr);
    read_ping(&finished.stdout, count).with_context(|| format!("ping from {}: {said}", from.node()))
}

/// Reads what became of the first `count` requests.
fn read_ping(text: &str, count: u32) -> Option<Ping> {
    // Its closing line says that it did its work; what it sums is more than was asked for.
    text.lines()
        .find(|line| line.contains("packets transmitted"))?;
    let mut answered = BTreeSet::new();
    let (mut duplicates, mut trips) = (0, 0.0);
    for line in text.lines().filter(|line| line.contains(" bytes from ")) {
        let after = |word: &str| line.split(word).nth(1)?.split(' ').next();
        let sequence: u32 = after("icmp_seq=")?.parse().ok()?;
        if sequence > count {
            continue;
        }
        if answered.insert(sequence) {
            trips += after("time=")
                .and_then(|time| time.parse().ok())
                .unwrap_or(0.0);
        } else {
            duplicates += 1;
        }
    }
    let received = u32::try_from(answered.len()).ok()?;
    let rtt_ms = (received > 0).then(|| trips / f64::from(received));
    Some(Ping {
        sent: count,
        received,
        duplicates,
        rtt_ms,
    })
}

/// What `iperf3` saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Iperf {
    /// What arrived, in Mbit/s of payload.
    pub mbit: f64,
    /// Segments sent again; 0 for UDP.
    pub retransmits: u64,
    /// Datagrams sent; 0 for TCP.
    pub datagrams: u64,
    /// Of these, lost.
    pub lost: u64,
}

/// Runs `iperf3` for `secs` seconds from `client` to `address`, which is `server`'s. `args` go to
/// the client: `-u -b 0 -l 18`, `-R` and the like.
///
/// # Errors
///
/// If `iperf3` fails, which includes that no connection comes about; what it said is in it.
pub fn iperf3(
    server: &Namespace,
    address: Ipv4Addr,
    client: &Namespace,
    secs: u32,
    args: &[&str],
) -> Result<Iperf> {
    let serving = ["-s", "-1", "--forceflush"];
    let serving = server.start("iperf3-server", "iperf3", &serving)?;
    until("the iperf3 server listens", Duration::from_secs(5), || {
        serving.stdout().contains("listening")
    })
    .map_err(|error| serving.complaint(&error.to_string()))?;
    let (address, time) = (address.to_string(), secs.to_string());
    let own = [
        "-c",
        &address,
        "-t",
        &time,
        "-J",
        "--connect-timeout",
        "5000",
    ];
    let args: Vec<&str> = own.iter().chain(args).copied().collect();
    let limit = Duration::from_secs(u64::from(secs) + 20);
    let finished = client.try_exec("iperf3", &args, limit)?;
    let report: Value = serde_json::from_str(&finished.stdout)
        .with_context(|| format!("iperf3 said {:?} {:?}", finished.stdout, finished.stderr))?;
    if let Some(error) = report["error"].as_str() {
        bail!("iperf3 from {} to {address}: {error}", client.node());
    }
    read_iperf(&report).with_context(|| format!("no sums in iperf3's report: {report}"))
}

fn read_iperf(report: &Value) -> Option<Iperf> {
    let end = report.get("end")?;
    // UDP reports have `sum`, with what the receiver told the sender.
    if let Some(sum) = end
        .get("sum")
        .filter(|sum| sum.get("lost_packets").is_some())
    {
        let (datagrams, lost) = (sum["packets"].as_u64()?, sum["lost_packets"].as_u64()?);
        let sent = sum["bits_per_second"].as_f64()? / 1e6;
        let mbit = sent * (1.0 - sum["lost_percent"].as_f64()? / 100.0);
        return Some(Iperf {
            mbit,
            retransmits: 0,
            datagrams,
            lost,
        });
    }
    let mbit = end["sum_received"]["bits_per_second"].as_f64()? / 1e6;
    let retransmits = end["sum_sent"]["retransmits"].as_u64().unwrap_or(0);
    Some(Iperf {
        mbit,
        retransmits,
        datagrams: 0,
        lost: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(sequence: u32, time: &str) -> String {
        format!("64 bytes from 10.0.0.2: icmp_seq={sequence} ttl=64 time={time} ms\n")
    }

    #[test]
    fn answers_to_the_requests_that_count_are_counted_once() {
        let end = "5 packets transmitted, 4 received, +1 duplicates, 20% packet loss, time 812ms\n";
        let again = answer(1, "0.7").replace(" ms", " ms (DUP!)");
        let text = answer(1, "0.2") + &again + &answer(3, "0.4") + &answer(4, "0.9") + end;
        let seen = Ping {
            sent: 3,
            received: 2,
            duplicates: 1,
            rtt_ms: Some(0.3),
        };
        let read = read_ping(&text, 3).unwrap();
        assert!((read.rtt_ms.unwrap() - 0.3).abs() < 1e-9);
        assert_eq!(
            Ping {
                rtt_ms: Some(0.3),
                ..read
            },
            seen
        );
        assert!(!seen.is_clean());
    }

    #[test]
    fn a_ping_that_nobody_answers_has_no_round_trip() {
        let text = "3 packets transmitted, 0 received, 100% packet loss, time 2040ms\n";
        let seen = Ping {
            sent: 3,
            received: 0,
            duplicates: 0,
            rtt_ms: None,
        };
        assert_eq!(read_ping(text, 3), Some(seen));
        assert_eq!(
            read_ping("ping: connect: Network is unreachable\n", 3),
            None
        );
    }

    #[test]
    fn iperfs_report_is_read_for_tcp_and_udp() {
        let tcp = json!({"end": {"sum_sent": {"bits_per_second": 9e6, "retransmits": 7},
                                 "sum_received": {"bits_per_second": 8e6}}});
        let seen = Iperf {
            mbit: 8.0,
            retransmits: 7,
            datagrams: 0,
            lost: 0,
        };
        assert_eq!(read_iperf(&tcp), Some(seen));
        let udp = json!({"end": {"sum": {"bits_per_second": 4e6, "packets": 100,
                                         "lost_packets": 25, "lost_percent": 25.0}}});
        let seen = Iperf {
            mbit: 3.0,
            retransmits: 0,
            datagrams: 100,
            lost: 25,
        };
        assert_eq!(read_iperf(&udp), Some(seen));
        assert_eq!(read_iperf(&json!({})), None);
    }
}
