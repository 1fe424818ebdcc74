//! Greyhound on a host with a guest in every network, a machine in the place of the other host,
//! and someone who listens between them.

use crate::rows::{KEYS, MARKED_HERE, MARKED_THERE, Ours, Peer, Row, Variant, vnet};
use anyhow::{Context as _, Result};
use netns::vm::{Machine, MachineFiles};
use netns::{Greyhound, Guest, Host, Lab, RawPort, program, until};
use serde_json::json;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Open vSwitch's files and sockets are in the machine's `/run`.
const VSCTL: &str = "ovs-vsctl --db=unix:/run/db.sock --timeout=20";

pub(crate) struct Stage {
    pub(crate) greyhound: Greyhound,
    pub(crate) machine: Machine,
    /// The guests' interfaces, by network.
    pub(crate) guests: Vec<RawPort>,
    /// All that goes by between the two hosts.
    pub(crate) wire: RawPort,
    peer: Peer,
    _namespaces: Vec<Guest>,
    lab: Lab,
}

impl Stage {
    /// Builds it and boots the machine.
    pub(crate) fn new() -> Result<Self> {
        let files = MachineFiles::find()?;
        let mut lab = Lab::new("Greyhound and a stock kernel")?;
        let (ours, theirs) = (lab.host("h1")?, lab.host("machine")?);
        lab.wire(&[&ours, &theirs])?;
        ours.set("net/ipv6/conf/under0/disable_ipv6", "0")?;
        ours.ip("addr add fd00::1/64 dev under0 nodad")?;
        let mut machine = Machine::boot(&files, &theirs)?;
        prepare(&mut machine).with_context(|| machine.console())?;
        let wire = RawPort::open(&theirs, Host::UNDERLAY)?;

        let namespaces: Vec<Guest> = (0..KEYS.len())
            .map(|network| {
                let (node, mac) = (format!("k{network}"), "02:00:00:00:00:01");
                lab.guest(&ours, &node, [10, 0, 0, 1].into(), mac)
            })
            .collect::<Result<_>>()?;
        let guests = namespaces.iter().map(|guest| RawPort::open(guest, "eth0"));
        let guests = guests.collect::<Result<_>>()?;
        let greyhound = Greyhound::start(&ours)?;
        let mut programs = vec![json!({
            "version": 1, "kind": "underlay", "name": "under",
            "endpoint": [ours.address().to_string(), "fd00::1"], "interface": Host::UNDERLAY,
        })];
        for (network, guest) in namespaces.iter().enumerate() {
            programs.push(program::network(&format!("n{network}"), vnet(network)));
            programs.push(program::port(
                guest.node(),
                vnet(network),
                guest.port(),
                guest.mac(),
            ));
        }
        greyhound.apply(&programs)?;
        greyhound.wait_up(LIMIT)?;
        Ok(Self {
            greyhound,
            machine,
            guests,
            wire,
            peer: Peer::Gretap,
            _namespaces: namespaces,
            lab,
        })
    }

    /// Makes both ends what `row` and `variant` say.
    pub(crate) fn be(&mut self, row: &Row, variant: &Variant) -> Result<()> {
        if (self.peer, row.peer) == (Peer::Gretap, Peer::OpenVswitch) {
            start_open_vswitch(&mut self.machine)?;
            self.peer = Peer::OpenVswitch;
        }
        match row.peer {
            Peer::Gretap => {
                let device = row.device(variant.theirs);
                self.machine.run(&format!(
                    "printf '%s\\n' 'link del g' \
                     'link add g address 02:00:00:00:00:02 mtu 1500 {device}' \
                     'link set g up' 'addr add 10.0.0.2/24 dev g' \
                     'neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 nud permanent dev g' \
                     | ip -batch -"
                ))?;
            }
            Peer::OpenVswitch => {
                let interface = row.interface(variant.theirs);
                self.machine.run(&format!(
                    "{VSCTL} -- --if-exists del-port t -- add-port br1 t \
                     -- set interface t {interface}"
                ))?;
            }
        }
        if row.sequence {
            // The machine's device is new and counts from 0. Ours begins anew too: it would take
            // that for late packets, as it should. That there may be none to withdraw is fine.
            let name = format!("t{}", row.network());
            self.greyhound.command(&["withdraw", "tunnel", &name])?;
        }
        self.greyhound.apply(&[row.program(&variant.ours)])?;
        self.greyhound.wait_up(LIMIT)
    }

    /// Sends a packet with a checksum where [`Peer::OpenVswitch`] says that none is taken.
    ///
    /// # Errors
    ///
    /// If the kernel takes it: then nothing of a row need be left out.
    pub(crate) fn refuses_checksum(&mut self, row: &Row, ours: &Ours, frame: &[u8]) -> Result<()> {
        let mut program = row.program(ours);
        program["checksum"] = json!(true);
        self.greyhound.apply(&[program])?;
        self.greyhound.wait_up(LIMIT)?;
        let device = if row.v6 { "ip6gre_sys" } else { "gre_sys" };
        let line = format!("cat /sys/class/net/{device}/statistics/rx_crc_errors");
        let before = self.machine.run(&line)?;
        self.guests[row.network()].send(frame)?;
        until("the kernel counts a refused checksum", LIMIT, || {
            self.machine.run(&line).is_ok_and(|now| now != before)
        })
    }

    /// How many packets were dropped for their ECN.
    pub(crate) fn dropped_for_ecn(&self) -> Result<u64> {
        let ledgers = self.greyhound.ledgers()?;
        let dropped = ledgers
            .iter()
            .filter(|(name, _)| name.starts_with("port "))
            .filter_map(|(_, ledger)| ledger["dropped"]["ecn_dropped"].as_u64());
        Ok(dropped.sum())
    }

    /// Ends it; every ledger that does not balance, and whoever has fallen.
    pub(crate) fn close(mut self) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let quiet = until("every ledger balances", Duration::from_secs(5), || {
            wrong = self
                .greyhound
                .unbalanced()
                .unwrap_or_else(|error| vec![error.to_string()]);
            wrong.is_empty()
        });
        if quiet.is_ok() {
            wrong.clear();
        }
        wrong.extend(self.greyhound.fallen());
        let Self {
            greyhound,
            machine,
            lab,
            ..
        } = self;
        drop((greyhound, machine));
        lab.close()?;
        Ok(wrong)
    }
}

/// Addresses of both families, and a link that is as congested as we like: what has one of two
/// TTLs is marked.
fn prepare(machine: &mut Machine) -> Result<()> {
    machine.run("ip addr add 192.168.77.2/24 dev eth0")?;
    machine.run("ip addr add fd00::2/64 dev eth0 nodad")?;
    // What is made from now on has nothing to say by itself.
    machine.run("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6")?;
    machine.run("ip link add g type gretap local 192.168.77.2 remote 192.168.77.1")?;
    machine.run("tc qdisc add dev eth0 clsact")?;
    for (side, ttl) in [("ingress", MARKED_THERE), ("egress", MARKED_HERE)] {
        let filter = format!("tc filter add dev eth0 {side}");
        machine.run(&format!(
            "{filter} protocol ip flower ip_ttl {ttl} \
             action pedit ex munge ip tos set 3 retain 3 pipe action csum ip"
        ))?;
        machine.run(&format!(
            "{filter} protocol ipv6 flower ip_ttl {ttl} \
             action pedit ex munge ip6 traffic_class set 3 retain 3"
        ))?;
    }
    Ok(())
}

/// Starts it over the kernel's datapath; its bridge is the station that the device was before.
fn start_open_vswitch(machine: &mut Machine) -> Result<()> {
    machine.run("ip link del g")?;
    machine.run("for module in /modules/switch/*.ko; do insmod $module || exit; done")?;
    machine.run("ovsdb-tool create /run/conf.db /usr/share/openvswitch/vswitch.ovsschema")?;
    let quiet = "--detach --no-chdir -vconsole:off";
    for daemon in [
        "ovsdb-server /run/conf.db --remote=punix:/run/db.sock --unixctl=/run/db.ctl",
        "ovs-vswitchd unix:/run/db.sock --unixctl=/run/vs.ctl",
    ] {
        let name = daemon.split(' ').next().unwrap_or_default();
        machine.run(&format!(
            "OVS_RUNDIR=/run OVS_LOGDIR=/run {daemon} --pidfile=/run/{name}.pid {quiet}"
        ))?;
    }
    machine.run(&format!(
        "{VSCTL} add-br br1 -- set bridge br1 other-config:hwaddr=02:00:00:00:00:02"
    ))?;
    for words in [
        "link set br1 up mtu 1500",
        "addr add 10.0.0.2/24 dev br1",
        "neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 nud permanent dev br1",
    ] {
        machine.run(&format!("ip {words}"))?;
    }
    Ok(())
}
