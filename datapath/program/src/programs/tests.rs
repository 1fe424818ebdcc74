use super::*;
use crate::{Allowed, Endpoint, Neighbour, Prefix};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

fn interface(text: &str) -> Interface {
    Interface::try_from(text.to_owned()).unwrap()
}

fn underlay(text: &str, endpoint: [u8; 4], on: &str) -> Program {
    let endpoint = Ipv4Addr::from(endpoint).into();
    Program::Underlay(UnderlayProgram::new(name(text), endpoint, interface(on)))
}

fn network(text: &str, vnet: u32) -> Program {
    Program::Network(NetworkProgram::new(name(text), Vnet(vnet)))
}

fn tunnel(text: &str, vnet: u32, remote: [u8; 4]) -> Program {
    Program::Tunnel(TunnelProgram::new(name(text), Vnet(vnet), remote.into()))
}

fn port(text: &str, vnet: u32, on: &str) -> Program {
    let (vnet, on) = (Vnet(vnet), interface(on));
    Program::Port(PortProgram::new(name(text), vnet, on, Speaks::Any))
}

fn put(epoch: u64, program: Program) -> Step {
    Step::Put {
        epoch: Epoch(epoch),
        program,
    }
}

fn withdraw(epoch: u64, program: &Program) -> Step {
    Step::Withdraw {
        epoch: Epoch(epoch),
        id: program.id(),
    }
}

/// An underlay, networks red (1) and blue (2), a tunnel and a port on red; all of epoch 5.
fn some() -> Programs {
    let mut programs = Programs::new(Limits {
        networks: 3,
        tunnels: 2,
        ports: 2,
        ..Limits::default()
    });
    for program in [
        underlay("u", [10, 0, 0, 1], "eth0"),
        network("red", 1),
        network("blue", 2),
        tunnel("h2", 1, [10, 0, 0, 2]),
        port("a", 1, "vm-a"),
    ] {
        programs.apply(&put(5, program)).unwrap();
    }
    programs
}

#[track_caller]
fn refused(step: &Step) -> ProgramError {
    let mut programs = some();
    let error = programs.apply(step).unwrap_err();
    assert_eq!(programs, some(), "a refused step changed something");
    error
}

#[test]
fn an_older_program_is_stale_and_a_repeated_one_is_harmless() {
    let error = refused(&put(4, port("a", 2, "vm-a")));
    assert!(matches!(error, ProgramError::Stale { .. }), "{error}");
    let error = refused(&put(5, port("a", 2, "vm-a")));
    assert_eq!(error.field(), "epoch", "the same epoch, another program");

    let mut programs = some();
    programs.apply(&put(5, port("a", 1, "vm-a"))).unwrap();
    assert_eq!(programs, some());
    programs.apply(&put(6, port("a", 2, "vm-b"))).unwrap();
    let (epoch, a) = programs.ports().next().unwrap();
    assert_eq!(
        (epoch, a.vnet, a.interface.as_str()),
        (Epoch(6), Vnet(2), "vm-b")
    );
}

#[test]
fn a_withdraw_names_the_epoch_it_means_or_a_higher_one() {
    let a = port("a", 1, "vm-a");
    assert_eq!(refused(&withdraw(4, &a)).field(), "epoch");
    for epoch in [5, 6] {
        let mut programs = some();
        programs.apply(&withdraw(epoch, &a)).unwrap();
        assert_eq!(programs.ports().count(), 0);
        assert_eq!(
            programs.apply(&withdraw(epoch, &a)),
            Err(ProgramError::NotThere(a.id()))
        );
    }
}

#[test]
fn nothing_stands_on_a_network_that_is_not_there() {
    for program in [
        port("b", 9, "vm-b"),
        tunnel("h3", 9, [10, 0, 0, 3]),
        port("b", 0, "vm-b"),
    ] {
        let error = refused(&put(5, program));
        assert!(matches!(error, ProgramError::UnknownVnet(_)), "{error}");
    }
}

#[test]
fn a_network_in_use_neither_goes_nor_changes_its_number() {
    for step in [withdraw(9, &network("red", 1)), put(9, network("red", 7))] {
        let error = refused(&step);
        assert_eq!(
            error.to_string(),
            "network red is in use by tunnel h2; withdraw that first"
        );
    }
    let mut programs = some();
    programs.apply(&put(9, network("blue", 7))).unwrap();
    programs.apply(&withdraw(9, &network("blue", 7))).unwrap();
    let mut aged = network("red", 1);
    if let Program::Network(red) = &mut aged {
        red.aging_s = 10;
    }
    programs.apply(&put(9, aged)).unwrap();
}

#[test]
fn what_is_taken_is_not_given_twice() {
    let error = refused(&put(1, network("green", 1)));
    assert_eq!(error.to_string(), "vnet 1 is the network red already");
    let error = refused(&put(1, port("b", 2, "vm-a")));
    assert_eq!(
        error.to_string(),
        "interface vm-a belongs to port a already"
    );
    let error = refused(&put(1, port("b", 2, "eth0")));
    assert_eq!(
        error.to_string(),
        "interface eth0 belongs to underlay u already"
    );
    let error = refused(&put(9, underlay("u", [10, 0, 0, 1], "vm-a")));
    assert_eq!(error.field(), "interface");
    let error = refused(&put(1, tunnel("h3", 1, [10, 0, 0, 2])));
    assert_eq!(
        error.to_string(),
        "vnet 1 has a tunnel to 10.0.0.2 already: h2"
    );
    some()
        .apply(&put(1, tunnel("h3", 2, [10, 0, 0, 2])))
        .unwrap(); // another vnet
}

#[test]
fn there_is_one_underlay_and_no_tunnel_to_it() {
    let error = refused(&put(1, underlay("v", [10, 0, 0, 7], "eth1")));
    assert_eq!(error, ProgramError::SecondUnderlay(name("u")));
    let error = refused(&put(1, tunnel("h3", 2, [10, 0, 0, 1])));
    assert!(matches!(error, ProgramError::OwnEndpoint(_)));
    let error = refused(&put(9, underlay("u", [10, 0, 0, 2], "eth0")));
    assert!(matches!(error, ProgramError::OwnEndpoint(_)));
    let mut programs = some();
    let h2 = tunnel("h2", 1, [10, 0, 0, 2]);
    programs.apply(&withdraw(5, &h2)).unwrap();
    programs
        .apply(&put(9, underlay("u", [10, 0, 0, 2], "eth0")))
        .unwrap();
}

#[test]
fn only_the_address_of_one_host_is_a_peer_or_an_endpoint() {
    for address in [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [239, 255, 255, 255],
        [240, 0, 0, 1],
        [255, 255, 255, 255],
    ] {
        assert_eq!(refused(&put(9, tunnel("h2", 1, address))).field(), "remote");
        let error = refused(&put(9, underlay("u", address, "eth0")));
        assert_eq!(error.field(), "endpoint");
    }
}

#[test]
fn numbers_have_ranges() {
    let with = |aging_s, mtu| {
        put(
            9,
            Program::Network(NetworkProgram {
                aging_s,
                mtu,
                ..NetworkProgram::new(name("red"), Vnet(1))
            }),
        )
    };
    for aging_s in [0, 1_000_001, u32::MAX] {
        assert_eq!(refused(&with(aging_s, None)).field(), "aging_s");
    }
    for mtu in [0, 67, 9217, u16::MAX] {
        assert_eq!(refused(&with(300, Some(mtu))).field(), "mtu");
    }
    for (aging_s, mtu) in [(1, Some(68)), (1_000_000, Some(9216))] {
        some().apply(&with(aging_s, mtu)).unwrap();
    }
}

#[test]
fn a_port_speaks_as_one_station() {
    let step = put(
        1,
        Program::Port(PortProgram::new(
            name("b"),
            Vnet(1),
            interface("vm-b"),
            Speaks::As(Mac([1, 0, 0, 0, 0, 1])),
        )),
    );
    assert_eq!(refused(&step).field(), "mac");
}

#[test]
fn there_is_room_for_as_many_as_the_limits_say() {
    let mut programs = some();
    for program in [
        network("green", 3),
        tunnel("h3", 1, [10, 0, 0, 3]),
        port("b", 1, "vm-b"),
    ] {
        programs.apply(&put(1, program)).unwrap();
    }
    for (program, what) in [
        (network("grey", 4), "4 networks"),
        (tunnel("h4", 1, [10, 0, 0, 4]), "3 tunnels"),
        (port("c", 1, "vm-c"), "3 ports"),
    ] {
        let error = programs.apply(&put(1, program)).unwrap_err();
        assert!(error.to_string().starts_with(what), "{error}");
    }
    programs.apply(&put(9, port("b", 2, "vm-c"))).unwrap(); // one that is there may change
}

fn any_program() -> impl Strategy<Value = Program> {
    let names = || prop_oneof![Just("a"), Just("b"), Just("c")];
    let interfaces = || prop_oneof![Just("eth0"), Just("eth1"), Just("vm-a")];
    let host = || (0u8..4).prop_map(|last| [10, 0, 0, last]);
    prop_oneof![
        (names(), host(), interfaces()).prop_map(|(n, e, i)| underlay(n, e, i)),
        (names(), 0u32..4).prop_map(|(n, v)| network(n, v)),
        (names(), 0u32..4, host()).prop_map(|(n, v, r)| tunnel(n, v, r)),
        (names(), 0u32..4, interfaces()).prop_map(|(n, v, i)| port(n, v, i)),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u64..8, any_program()).prop_map(|(epoch, program)| put(epoch, program)),
        1 => (0u64..8, any_program()).prop_map(|(epoch, program)| withdraw(epoch, &program)),
    ]
}

/// What [`Programs`] promises, said over again with nothing but the list of programs.
fn holds(programs: &Programs) {
    let vnets: Vec<_> = programs.networks().map(|(_, n)| n.vnet).collect();
    let unique = |count: usize, set: usize, what: &str| assert_eq!(count, set, "{what} twice");
    let set: BTreeSet<_> = vnets.iter().collect();
    unique(vnets.len(), set.len(), "a vnet");
    let tunnels: Vec<_> = programs
        .tunnels()
        .map(|(_, t)| (t.vnet, t.remote))
        .collect();
    let set: BTreeSet<_> = tunnels.iter().collect();
    unique(tunnels.len(), set.len(), "a peer");
    let mut interfaces: Vec<_> = programs.ports().map(|(_, p)| &p.interface).collect();
    interfaces.extend(programs.underlay().map(|(_, u)| &u.interface));
    let set: BTreeSet<_> = interfaces.iter().collect();
    unique(interfaces.len(), set.len(), "an interface");
    for (_, port) in programs.ports() {
        assert!(vnets.contains(&port.vnet), "{port:?} has no network");
    }
    let endpoint = programs.underlay().map(|(_, u)| u.endpoint);
    for (_, tunnel) in programs.tunnels() {
        assert!(vnets.contains(&tunnel.vnet), "{tunnel:?} has no network");
        assert_ne!(
            Some(tunnel.remote),
            endpoint.and_then(|e| e.towards(tunnel.remote))
        );
    }
    let underlays = programs
        .iter()
        .filter(|(_, p)| matches!(p, Program::Underlay(_)))
        .count();
    assert!(underlays <= 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_steps_come_the_programs_hold_together(
        steps in proptest::collection::vec(any_step(), 0..60)
    ) {
        let mut programs = Programs::default();
        for step in &steps {
            let before = programs.clone();
            let checked = programs.check(step);
            let applied = programs.apply(step);
            prop_assert_eq!(&checked, &applied);
            if applied.is_err() {
                prop_assert_eq!(&programs, &before);
                continue;
            }
            let is = programs.get(&step.id());
            match step {
                Step::Put { epoch, program } => prop_assert_eq!(is, Some((*epoch, program))),
                Step::Withdraw { .. } => prop_assert_eq!(is, None),
            }
            holds(&programs);
        }
        // The indices are what the programs alone would make them.
        let mut again = Programs::default();
        for (epoch, program) in programs.iter() {
            again.apply(&put(epoch.0, program.clone())).unwrap();
        }
        prop_assert_eq!(again, programs);
    }
}

fn a_tunnel(change: impl FnOnce(&mut TunnelProgram)) -> Step {
    let mut program = TunnelProgram::new(name("h9"), Vnet(1), [10, 0, 0, 9].into());
    change(&mut program);
    put(9, Program::Tunnel(program))
}

#[test]
fn without_jumbo_buffers_a_large_mtu_is_refused_with_what_to_do() {
    let limits = Limits {
        mtu: 1736,
        ..Limits::default()
    };
    let large = NetworkProgram {
        mtu: Some(1737),
        ..NetworkProgram::new(name("red"), Vnet(1))
    };
    let error = Programs::new(limits)
        .apply(&put(1, Program::Network(large)))
        .unwrap_err();
    assert_eq!(error.field(), "mtu");
    assert!(error.to_string().contains("--jumbo"), "{error}");
}

#[test]
fn what_a_peer_sends_without_a_key_is_one_tunnels() {
    let mut programs = some();
    programs.limits.tunnels = 3;
    programs.apply(&a_tunnel(|t| t.keyed = false)).unwrap();
    let mut second = TunnelProgram::new(name("h9-blue"), Vnet(2), [10, 0, 0, 9].into());
    let keyed = put(1, Program::Tunnel(second.clone()));
    assert_eq!(programs.check(&keyed), Ok(()));
    second.keyed = false;
    let unkeyed = put(1, Program::Tunnel(second));
    assert_eq!(programs.check(&unkeyed).unwrap_err().field(), "keyed");
    // With its key on again, the peer's other packets are free to be another's.
    programs
        .apply(&put(10, program_of(&a_tunnel(|_| ()))))
        .unwrap();
    assert_eq!(programs.check(&unkeyed), Ok(()));
}

fn program_of(step: &Step) -> Program {
    match step {
        Step::Put { program, .. } => program.clone(),
        Step::Withdraw { .. } => unreachable!("a put"),
    }
}

#[test]
fn what_must_not_be_fragmented_is_not() {
    let outer = |df, transport| {
        let step = a_tunnel(|t| {
            (t.oversize, t.df, t.transport) = (Oversize::Outer, df, transport);
        });
        some()
            .check(&step)
            .map_err(|error| error.field().to_owned())
    };
    let refused = Err("oversize".to_owned());
    assert_eq!(outer(DontFragment::Set, Transport::Gre), refused);
    assert_eq!(outer(DontFragment::Copy, Transport::Gre), refused);
    assert_eq!(outer(DontFragment::Clear, Transport::Udp), refused);
    assert_eq!(outer(DontFragment::Clear, Transport::Gre), Ok(()));
}

#[test]
fn a_tunnel_to_either_of_our_addresses_is_refused() {
    let v6: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let both = Endpoint::from((Ipv4Addr::new(10, 0, 0, 1), v6));
    let underlay = UnderlayProgram::new(name("u"), both, interface("eth0"));
    let mut programs = some();
    let step = put(9, Program::Underlay(underlay.clone()));
    programs.apply(&step).unwrap();
    let to = |remote| a_tunnel(|t| t.remote = remote);
    assert_eq!(
        programs.check(&to(v6.into())).unwrap_err().field(),
        "remote"
    );
    let other = "2001:db8::2".parse().unwrap();
    programs.apply(&to(other)).unwrap();
    let taken = UnderlayProgram {
        endpoint: other.into(),
        ..underlay
    };
    let step = put(10, Program::Underlay(taken));
    assert!(matches!(
        programs.check(&step),
        Err(ProgramError::OwnEndpoint(_))
    ));
}

#[test]
fn a_vlan_a_ttl_a_rate_and_every_limit_have_ranges() {
    let refused = |step: Step| {
        some()
            .check(&step)
            .map_err(|error| error.field().to_owned())
    };
    let vlan = |vlan| {
        let endpoint = Ipv4Addr::new(10, 0, 0, 1).into();
        let mut underlay = UnderlayProgram::new(name("u"), endpoint, interface("eth0"));
        underlay.vlan = Some(vlan);
        refused(put(9, Program::Underlay(underlay)))
    };
    assert_eq!((vlan(1), vlan(4094)), (Ok(()), Ok(())));
    assert_eq!(
        (vlan(0), vlan(4095)),
        (Err("vlan".into()), Err("vlan".into()))
    );
    assert_eq!(refused(a_tunnel(|t| t.ttl = 0)), Err("ttl".into()));
    let a_port = |change: fn(&mut PortProgram)| {
        let (vnet, on) = (Vnet(1), interface("vm-x"));
        let mut port = PortProgram::new(name("x"), vnet, on, Speaks::Any);
        change(&mut port);
        refused(put(9, Program::Port(port)))
    };
    assert_eq!(a_port(|p| p.allow = vec![Allowed::DhcpServer]), Ok(()));
    assert_eq!(a_port(|p| p.stations = 0), Err("stations".into()));
    let none = |p: &mut PortProgram| p.rate.from_guest_mbit = Some(0);
    assert_eq!(a_port(none), Err("rate.from_guest_mbit".into()));
    let none = |p: &mut PortProgram| p.rate.to_guest_mbit = Some(0);
    assert_eq!(a_port(none), Err("rate.to_guest_mbit".into()));
    let many = |p: &mut PortProgram| {
        p.addresses = Some(vec![Prefix::from(IpAddr::from([10, 0, 0, 1])); 65]);
    };
    assert!(a_port(many).is_err());
}

#[test]
fn a_network_names_every_address_once_and_every_station_whole() {
    let with = |neighbours: Vec<Neighbour>| {
        let network = NetworkProgram {
            neighbours,
            ..NetworkProgram::new(name("red"), Vnet(1))
        };
        some().check(&put(9, Program::Network(network)))
    };
    let one = Neighbour {
        address: [10, 1, 1, 1].into(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        router: false,
    };
    assert_eq!(with(vec![one]), Ok(()));
    assert_eq!(with(vec![one, one]).unwrap_err().field(), "neighbours");
    let group = Neighbour {
        mac: Mac([1, 0, 0, 0, 0, 1]),
        ..one
    };
    assert!(with(vec![group]).is_err());
    let nobody = Neighbour {
        address: [224, 0, 0, 1].into(),
        ..one
    };
    assert!(with(vec![nobody]).is_err());
    let many = (0..4097u32).map(|n| Neighbour {
        address: Ipv4Addr::from(0x0a00_0001 + n).into(),
        ..one
    });
    assert!(matches!(
        with(many.collect()),
        Err(ProgramError::TooMany { .. })
    ));
}
