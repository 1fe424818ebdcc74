use super::*;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

fn interface(text: &str) -> Interface {
    Interface::try_from(text.to_owned()).unwrap()
}

fn underlay(text: &str, endpoint: [u8; 4], on: &str) -> Program {
    Program::Underlay(UnderlayProgram {
        name: name(text),
        endpoint: endpoint.into(),
        interface: interface(on),
    })
}

fn network(text: &str, vnet: u32) -> Program {
    Program::Network(NetworkProgram {
        name: name(text),
        vnet: Vnet(vnet),
        aging_s: 300,
        mtu: None,
    })
}

fn tunnel(text: &str, vnet: u32, remote: [u8; 4]) -> Program {
    Program::Tunnel(TunnelProgram {
        name: name(text),
        vnet: Vnet(vnet),
        remote: remote.into(),
    })
}

fn port(text: &str, vnet: u32, on: &str) -> Program {
    Program::Port(PortProgram {
        name: name(text),
        vnet: Vnet(vnet),
        interface: interface(on),
        mac: Speaks::Any,
    })
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
                name: name("red"),
                vnet: Vnet(1),
                aging_s,
                mtu,
            }),
        )
    };
    for aging_s in [0, 1_000_001, u32::MAX] {
        assert_eq!(refused(&with(aging_s, None)).field(), "aging_s");
    }
    for mtu in [0, 67, 1775, u16::MAX] {
        assert_eq!(refused(&with(300, Some(mtu))).field(), "mtu");
    }
    for (aging_s, mtu) in [(1, Some(68)), (1_000_000, Some(1736))] {
        some().apply(&with(aging_s, mtu)).unwrap();
    }
}

#[test]
fn a_port_speaks_as_one_station() {
    let step = put(
        1,
        Program::Port(PortProgram {
            name: name("b"),
            vnet: Vnet(1),
            interface: interface("vm-b"),
            mac: Speaks::As(Mac([1, 0, 0, 0, 0, 1])),
        }),
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
        assert_ne!(Some(tunnel.remote), endpoint);
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
