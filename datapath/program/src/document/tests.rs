use super::*;
use crate::{Allowed, Dscp, Endpoint, Flooded, Interface, Mac, Name, Neighbour, NetworkProgram};
use crate::{PortProgram, Prefix, Shape, Speaks, Storm, TunnelProgram, UnderlayProgram, Vnet};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const PORT: &str = r#"{"version":1,"kind":"port","name":"a","vnet":5001,"interface":"vm-a","mac":"02:00:00:00:00:0a"}"#;

fn refused(text: &str) -> (String, String) {
    let error = read(text.as_bytes()).unwrap_err();
    (error.field().to_owned(), error.to_string())
}

#[test]
fn every_kind_is_read() {
    let text = r#"[
      {"version": 1, "kind": "underlay", "name": "u", "endpoint": "10.0.0.1", "interface": "eth0"},
      {"version": 1, "kind": "network", "name": "red", "vnet": 0},
      {"version": 1, "kind": "network", "name": "blue", "vnet": 4294967295, "aging_s": 7, "mtu": 1400},
      {"version": 1, "kind": "tunnel", "name": "h2", "vnet": 0, "remote": "10.0.0.2", "epoch": 18446744073709551615},
      {"version": 1, "kind": "port", "name": "a", "vnet": 0, "interface": "vm-a", "mac": "any"}
    ]"#;
    let programs = read(text.as_bytes()).unwrap();
    let ids: Vec<_> = programs.iter().map(|(_, p)| p.id().to_string()).collect();
    let expected = [
        "underlay u",
        "network red",
        "network blue",
        "tunnel h2",
        "port a",
    ];
    assert_eq!(ids, expected);
    assert_eq!(programs[3].0, Some(Epoch(u64::MAX)));
    assert_eq!(programs[0].0, None);
    let Program::Network(red) = &programs[1].1 else {
        panic!("a network")
    };
    assert_eq!((red.vnet, red.aging_s, red.mtu), (Vnet(0), 300, None));
}

#[test]
fn one_object_is_a_document_too() {
    let programs = read(format!("\n {PORT} \n").as_bytes()).unwrap();
    assert_eq!(programs.len(), 1);
}

#[test]
fn an_error_names_the_path_of_its_field() {
    for (broken, field) in [
        (
            PORT.replace("02:00:00:00:00:0a", "03:00:00:00:00:0a"),
            "mac",
        ),
        (PORT.replace("02:00:00:00:00:0a", "2:0"), "mac"),
        (
            PORT.replace("vm-a", "an interface name too long"),
            "interface",
        ),
        (PORT.replace("5001", "4294967296"), "vnet"),
        (PORT.replace("5001", "-1"), "vnet"),
        (PORT.replace("5001", "\"5001\""), "vnet"),
        (PORT.replace("\"a\"", "\"a b\""), "name"),
        (PORT.replace("\"port\"", "\"prot\""), "kind"),
        (
            PORT.replace("\"version\":1", "\"version\":\"1\""),
            "version",
        ),
        (PORT.replace("\"name\"", "\"epoch\":-1,\"name\""), "epoch"),
        (PORT.replace("\"mac\"", "\"mcc\""), "mac"),
        (PORT.replace("\"kind\":\"port\",", ""), "kind"),
        (PORT.replace("\"version\":1,", ""), "version"),
    ] {
        assert_eq!(refused(&broken).0, field, "{broken}");
        let array = format!("[{PORT},{PORT},{broken}]");
        assert_eq!(refused(&array).0, format!("[2].{field}"), "{array}");
    }
}

#[test]
fn a_field_that_is_not_known_is_refused_by_name() {
    for kind in [
        r#""kind":"underlay","name":"u","endpoint":"10.0.0.1","interface":"eth0""#,
        r#""kind":"network","name":"red","vnet":1"#,
        r#""kind":"tunnel","name":"h2","vnet":1,"remote":"10.0.0.2""#,
        r#""kind":"port","name":"a","vnet":1,"interface":"vm-a","mac":"any""#,
    ] {
        let (field, why) = refused(&format!(r#"{{"version":1,{kind},"agin_s":5}}"#));
        assert_eq!(field, "agin_s");
        assert!(why.contains("unknown field `agin_s`"), "{why}");
    }
}

#[test]
fn a_field_that_comes_twice_is_refused() {
    let (field, why) = refused(&format!(
        "[{}]",
        PORT.replace("\"vnet\"", "\"vnet\":1,\"vnet\"")
    ));
    assert_eq!(field, "[0]");
    assert!(why.contains("`vnet` comes twice"), "{why}");
}

#[test]
fn what_is_no_document_is_refused() {
    for text in [
        "", " ", "null", "7", "\"x\"", "[7]", "[[]]", "{", "[", "{}x", "[]x", "{}",
    ] {
        assert!(read(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(read(b"\xff\xfe").is_err());
    assert_eq!(read(b"[]").unwrap(), []);
}

#[test]
fn a_deep_document_is_refused_and_does_not_end_the_stack() {
    let deep = format!("[{{\"version\":{}", "[".repeat(1 << 20));
    assert!(refused(&deep).1.contains("recursion limit"));
}

#[test]
fn another_version_is_refused_as_such() {
    assert_eq!(
        read(PORT.replace("\"version\":1", "\"version\":2").as_bytes()),
        Err(ProgramError::Version { got: 2, have: 1 })
    );
    let (field, why) = refused(&format!(
        "[{PORT},{}]",
        PORT.replace("\"version\":1", "\"version\":2")
    ));
    assert_eq!(field, "[1].version");
    assert_eq!(why, "version 2 is not spoken here; this is version 1");
}

#[test]
fn a_document_that_is_too_long_is_not_looked_at() {
    let text = vec![b' '; MAX_DOCUMENT + 1];
    let error = read(&text).unwrap_err();
    assert!(matches!(error, ProgramError::TooLong { .. }), "{error}");
}

fn name() -> impl Strategy<Value = Name> {
    "[A-Za-z0-9._:-]{1,64}".prop_map(|text| Name::try_from(text).unwrap())
}

fn interface() -> impl Strategy<Value = Interface> {
    "[a-zA-Z0-9][!-.0-~]{0,14}".prop_map(|text| Interface::try_from(text).unwrap())
}

fn speaks() -> impl Strategy<Value = Speaks> {
    let one = any::<[u8; 6]>().prop_map(|mut mac| {
        mac[0] = mac[0] & !1 | 2;
        Speaks::As(Mac(mac))
    });
    prop_oneof![Just(Speaks::Any), one]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let both = (any::<Ipv4Addr>(), any::<Ipv6Addr>()).prop_map(Endpoint::from);
    prop_oneof![address().prop_map(Endpoint::from), both]
}

fn network() -> impl Strategy<Value = Program> {
    let mac = any::<[u8; 6]>().prop_map(Mac);
    let neighbour = (address(), mac, any::<bool>());
    let neighbour = neighbour.prop_map(|(address, mac, router)| Neighbour {
        address,
        mac,
        router,
    });
    let flood = any::<[bool; 3]>().prop_map(|[broadcast, multicast, unknown]| Flooded {
        broadcast,
        multicast,
        unknown,
    });
    let numbers = (
        any::<u32>(),
        any::<u32>(),
        any::<Option<u16>>(),
        any::<u32>(),
    );
    let neighbours = proptest::collection::vec(neighbour, 0..3);
    (name(), numbers, any::<bool>(), flood, neighbours).prop_map(
        |(name, (vnet, aging_s, mtu, stations), suppress, flood, neighbours)| {
            Program::Network(NetworkProgram {
                name,
                vnet: Vnet(vnet),
                aging_s,
                mtu,
                stations,
                suppress,
                flood,
                neighbours,
            })
        },
    )
}

fn tunnel() -> impl Strategy<Value = Program> {
    use crate::{DontFragment as Df, Oversize as Over, Sequence as Seq, Transport};
    let dscp = prop_oneof![Just(Dscp::Uniform), (0..64u8).prop_map(Dscp::Pipe)];
    let ways = (
        prop_oneof![Just(Seq::None), Just(Seq::Sent), Just(Seq::Ordered)],
        prop_oneof![Just(Transport::Gre), Just(Transport::Udp)],
        prop_oneof![Just(Df::Set), Just(Df::Clear), Just(Df::Copy)],
        prop_oneof![Just(Over::Answer), Just(Over::Inner), Just(Over::Outer)],
    );
    let numbers = (any::<u32>(), any::<bool>(), any::<bool>(), any::<u8>());
    (name(), numbers, address(), dscp, ways).prop_map(
        |(name, (vnet, keyed, checksum, ttl), remote, dscp, ways)| {
            let (sequence, transport, df, oversize) = ways;
            Program::Tunnel(TunnelProgram {
                keyed,
                checksum,
                sequence,
                transport,
                ttl,
                dscp,
                df,
                oversize,
                ..TunnelProgram::new(name, Vnet(vnet), remote)
            })
        },
    )
}

fn port() -> impl Strategy<Value = Program> {
    let prefix = address().prop_map(Prefix::from);
    let addresses = proptest::option::of(proptest::collection::vec(prefix, 0..3));
    let allow = prop_oneof![
        Just(vec![]),
        Just(vec![Allowed::Router, Allowed::DhcpServer])
    ];
    let storm = any::<[u32; 3]>().prop_map(|[broadcast, multicast, unknown]| Storm {
        broadcast,
        multicast,
        unknown,
    });
    let rate = any::<[Option<u32>; 2]>().prop_map(|[from_guest_mbit, to_guest_mbit]| Shape {
        from_guest_mbit,
        to_guest_mbit,
    });
    let who = (name(), any::<u32>(), interface(), speaks(), any::<u32>());
    (who, addresses, allow, storm, rate).prop_map(|(who, addresses, allow, storm, rate)| {
        let (name, vnet, interface, mac, stations) = who;
        Program::Port(PortProgram {
            addresses,
            allow,
            stations,
            storm,
            rate,
            ..PortProgram::new(name, Vnet(vnet), interface, mac)
        })
    })
}

fn underlay() -> impl Strategy<Value = Program> {
    let vlan = any::<Option<u16>>();
    (name(), endpoint(), interface(), vlan).prop_map(|(name, endpoint, interface, vlan)| {
        Program::Underlay(UnderlayProgram {
            vlan,
            ..UnderlayProgram::new(name, endpoint, interface)
        })
    })
}

fn any_program() -> impl Strategy<Value = Program> {
    prop_oneof![underlay(), network(), tunnel(), port()]
}

#[test]
fn what_is_not_said_has_its_default_and_what_is_said_in_words_is_read() {
    let read_one = |fields: &str| {
        let text = format!(r#"{{"version":1,{fields}}}"#);
        read(text.as_bytes()).map(|mut all| all.remove(0).1)
    };
    let tunnel = |fields: &str| {
        let must = r#""kind":"tunnel","name":"t","vnet":7,"remote":"2001:db8::2""#;
        read_one(&format!("{must}{fields}"))
    };
    let name: Name = "t".to_owned().try_into().unwrap();
    let plain = TunnelProgram::new(name, Vnet(7), "2001:db8::2".parse().unwrap());
    assert_eq!(tunnel("").unwrap(), Program::Tunnel(plain.clone()));
    let said = TunnelProgram {
        dscp: Dscp::Uniform,
        sequence: crate::Sequence::Ordered,
        transport: crate::Transport::Udp,
        ..plain
    };
    let fields = r#","dscp":"uniform","sequence":"ordered","transport":"udp""#;
    assert_eq!(tunnel(fields).unwrap(), Program::Tunnel(said));
    for (wrong, field) in [
        (r#","dscp":64"#, "dscp"),
        (r#","dscp":"pipe""#, "dscp"),
        (r#","sequence":"strict""#, "sequence"),
        (r#","df":true"#, "df"),
    ] {
        assert_eq!(tunnel(wrong).unwrap_err().field(), field, "{wrong}");
    }
    let endpoint = |endpoint: &str| {
        let must = r#""kind":"underlay","name":"u","interface":"eth0""#;
        read_one(&format!(r#"{must},"endpoint":{endpoint}"#))
    };
    assert!(endpoint(r#"["2001:db8::1","192.0.2.1"]"#).is_ok());
    for wrong in [r#"["192.0.2.1","192.0.2.2"]"#, "[]", "7", r#""here""#] {
        let error = endpoint(wrong).unwrap_err();
        assert_eq!(error.field(), "endpoint");
        assert!(error.to_string().contains("IPv6"), "{error}");
    }
    let prefix: Prefix = "10.1.1.0/24".parse().unwrap();
    assert!(prefix.contains("10.1.1.255".parse().unwrap()));
    assert!(!prefix.contains("10.1.2.0".parse().unwrap()));
    assert_eq!(prefix.to_string(), "10.1.1.0/24");
    for wrong in [
        "10.1.1.5/24",
        "10.1.1.0/33",
        "::/129",
        "10.1.1",
        "/8",
        "::1/-1",
    ] {
        assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
    }
    let all: Prefix = "::/0".parse().unwrap();
    assert!(all.contains("2001:db8::1".parse().unwrap()));
    assert!(!all.contains("10.0.0.1".parse().unwrap()));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        programs in proptest::collection::vec((any::<u64>().prop_map(Epoch), any_program()), 0..20)
    ) {
        let read = read(write(&programs).as_bytes()).unwrap();
        let read: Vec<_> = read.into_iter().map(|(epoch, p)| (epoch.unwrap(), p)).collect();
        prop_assert_eq!(read, programs);
    }

    #[test]
    fn a_step_on_the_link_is_read_as_it_was_written(epoch: u64, program in any_program()) {
        let id = program.id();
        for step in [
            crate::Step::Put { epoch: Epoch(epoch), program },
            crate::Step::Withdraw { epoch: Epoch(epoch), id },
        ] {
            let text = serde_json::to_string(&step).unwrap();
            prop_assert_eq!(serde_json::from_str::<crate::Step>(&text).unwrap(), step);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_document_cut_or_changed_anywhere_is_read_or_refused(at in 0..PORT.len(), byte: u8) {
        let _ = read(&PORT.as_bytes()[..at]);
        let mut changed = PORT.as_bytes().to_vec();
        changed[at] = byte;
        let _ = read(&changed);
    }
}
