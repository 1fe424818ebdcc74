use super::*;
use program::{Epoch, Id, Interface, Kind, Mac, Name, Speaks, Vnet};

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

#[test]
fn a_port_says_what_it_got_and_why() {
    let port = Port {
        name: name("a"),
        epoch: Epoch(3),
        vnet: Some(Vnet(5001)),
        interface: Interface::try_from("vm-a".to_owned()).unwrap(),
        speaks: Some(Speaks::As(Mac([2, 0, 0, 0, 0, 10]))),
        state: "up".to_owned(),
        steer: "native".to_owned(),
        queues: vec![program::report::Queue {
            queue: 0,
            worker: 1,
            mode: "copy".to_owned(),
        }],
        mtu: 1500,
        notes: vec!["veth has no zero-copy".to_owned()],
    };
    assert_eq!(
        ports(&[port]),
        "NAME  VNET  INTERFACE  MAC                STATE  STEER   QUEUES      MTU  EPOCH\n\
         a     5001  vm-a       02:00:00:00:00:0a  up     native  0:w1 copy  1500      3\n\
         a: veth has no zero-copy\n"
    );
}

#[test]
fn a_change_says_from_where_to_where() {
    let change = |text, was: Option<u64>, now: Option<u64>| Change {
        id: Id {
            kind: Kind::Port,
            name: name(text),
        },
        was: was.map(Epoch),
        now: now.map(Epoch),
        fields: Vec::new(),
    };
    let all = [
        change("a", None, Some(1)),
        change("b", Some(1), Some(1)),
        change("c", Some(1), Some(2)),
        change("d", Some(1), None),
    ];
    assert_eq!(
        changes(&all),
        "PROGRAM  CHANGE\n\
         port a   new        epoch 1\n\
         port b   unchanged  epoch 1\n\
         port c   changed    epoch 1 to 2\n\
         port d   withdrawn\n"
    );
}

#[test]
fn a_change_says_which_fields() {
    let difference = |field: &str, was: &str, now: &str| {
        let value = |text: &str| (!text.is_empty()).then(|| serde_json::from_str(text).unwrap());
        let (was, now) = (value(was), value(now));
        Difference {
            field: field.to_owned(),
            was,
            now,
        }
    };
    let change = Change {
        id: Id {
            kind: Kind::Tunnel,
            name: name("h2"),
        },
        was: Some(Epoch(1)),
        now: Some(Epoch(2)),
        fields: vec![
            difference("checksum", "", "true"),
            difference("mtu", "1450", ""),
            difference("flood.multicast", "true", "false"),
            difference("addresses", "[]", r#"["10.0.0.5", "and 3 more"]"#),
            difference("allow", "[]", "[]"),
            difference(
                "neighbours",
                r#"[{"address": "10.0.0.5", "mac": "02:00:00:00:00:0a"}]"#,
                r#"[{"address": "10.0.0.6", "mac": "02:00:00:00:00:0a"}]"#,
            ),
        ],
    };
    assert_eq!(
        changes(&[change]),
        "PROGRAM    CHANGE\n\
         tunnel h2  changed  epoch 1 to 2\n\
         tunnel h2: checksum: not said, now true\n\
         tunnel h2: mtu: 1450, now not said\n\
         tunnel h2: flood.multicast: true, now false\n\
         tunnel h2: addresses: new 10.0.0.5, and 3 more\n\
         tunnel h2: allow: in another order\n\
         tunnel h2: neighbours: gone 10.0.0.5 02:00:00:00:00:0a; new 10.0.0.6 02:00:00:00:00:0a\n"
    );
}

#[test]
fn a_tunnel_names_all_its_next_hops_and_what_its_mtu_was_lowered_to() {
    let tunnel = Tunnel {
        name: name("h2"),
        epoch: Epoch(3),
        vnet: Vnet(5001),
        local: Some([10, 0, 0, 1].into()),
        remote: [10, 0, 0, 2].into(),
        wraps: "key csum seq in UDP".to_owned(),
        state: "up".to_owned(),
        interface: Some(Interface::try_from("eth0".to_owned()).unwrap()),
        next_hops: vec![Mac([2, 0, 0, 0, 0, 2]), Mac([2, 0, 0, 0, 0, 3])],
        mtu: 1500,
        lowered_to: 1400,
    };
    let waits = Tunnel {
        name: name("h3"),
        remote: "2001:db8::3".parse().unwrap(),
        local: None,
        wraps: "key".to_owned(),
        state: "the underlay has no IPv6 endpoint".to_owned(),
        interface: None,
        next_hops: Vec::new(),
        mtu: 0,
        lowered_to: 0,
        ..tunnel.clone()
    };
    assert_eq!(
        tunnels(&[tunnel, waits]),
        "NAME  VNET  LOCAL     REMOTE       WRAPS                INTERFACE  \
         NEXT HOPS                              MTU  LOWERED  EPOCH  STATE\n\
         h2    5001  10.0.0.1  10.0.0.2     key csum seq in UDP  eth0       \
         02:00:00:00:00:02, 02:00:00:00:00:03  1500     1400      3  up\n\
         h3    5001  -         2001:db8::3  key                  -          \
         -                                        -        -      3  the underlay has no IPv6 endpoint\n"
    );
}

#[test]
fn neighbours_and_events_are_tables_and_the_newest_event_is_the_last_line() {
    let neighbour = Neighbour {
        vnet: Vnet(5001),
        address: "2001:db8::5".parse().unwrap(),
        mac: Mac([2, 0, 0, 0, 0, 10]),
        behind: "port a".to_owned(),
    };
    assert_eq!(
        neighbours(&[neighbour]),
        "VNET  ADDRESS      MAC                BEHIND\n\
         5001  2001:db8::5  02:00:00:00:00:0a  port a\n"
    );
    assert_eq!(events(&[]), "no events\n");
    let event = |number, at_ms| Event {
        number,
        at_ms,
        vnet: Vnet(1),
        kind: "station_moved".to_owned(),
        text: "from port a to tunnel h2".to_owned(),
    };
    assert_eq!(
        events(&[event(12, 93_789_120), event(9, 61_005)]),
        "NUMBER  AFTER START   VNET  KIND           WHAT\n\
         \x20    9  0:01:01.005      1  station_moved  from port a to tunnel h2\n\
         \x20   12  26:03:09.120     1  station_moved  from port a to tunnel h2\n"
    );
}
