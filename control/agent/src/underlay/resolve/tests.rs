use super::*;
use program::{Endpoint, Name};

const PEER: &str = "10.0.0.2";
const PEER6: &str = "2001:db8::2";
const ROUTER: &str = "10.0.0.254";
const ROUTER6: &str = "fe80::254";
const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);
const OTHERS: Mac = Mac([2, 0, 0, 0, 0, 3]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn interface(name: &str) -> Interface {
    Interface::try_from(name.to_owned()).unwrap()
}

fn link(name: &str) -> LinkState {
    LinkState {
        name: interface(name),
        mac: Some(OURS),
        mtu: 1600,
        mtu6: None,
        up: true,
        carrier: true,
        arp: true,
        vlan: None,
    }
}

fn hop(gateway: Option<&str>) -> RouteHop {
    RouteHop {
        interface: 3,
        gateway: gateway.map(ip),
        wrapped: false,
        dead: false,
    }
}

/// All is well: the peer is on eth0, number 3, and has answered.
struct World {
    remote: IpAddr,
    underlay: Option<UnderlayProgram>,
    route: Result<Route, NoRoute>,
    links: BTreeMap<u32, Option<LinkState>>,
    neighbours: BTreeMap<(u32, IpAddr), Option<Neighbour>>,
}

impl World {
    fn new() -> Self {
        let endpoint: Endpoint =
            ("10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()).into();
        let name = Name::try_from("u".to_owned()).unwrap();
        let route = Route {
            local: false,
            mtu: None,
            hops: vec![hop(None)],
        };
        let mut world = Self {
            remote: ip(PEER),
            underlay: Some(UnderlayProgram::new(name, endpoint, interface("eth0"))),
            route: Ok(route),
            links: [(3, Some(link("eth0")))].into(),
            neighbours: BTreeMap::new(),
        };
        world.knows(PEER, Neighbour::Fresh(THEIRS));
        world
    }

    fn knows(&mut self, address: &str, neighbour: Neighbour) {
        self.neighbours.insert((3, ip(address)), Some(neighbour));
    }

    fn route(&mut self) -> &mut Route {
        self.route.as_mut().unwrap()
    }

    fn link(&mut self) -> &mut LinkState {
        self.links.get_mut(&3).unwrap().as_mut().unwrap()
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            remote: self.remote,
            underlay: self.underlay.as_ref(),
            route: self.route.clone(),
            links: &self.links,
            neighbours: &self.neighbours,
        }
    }

    fn resolve(&self) -> Result<NextHop, String> {
        resolve(&self.facts()).map_err(|why| why.to_string())
    }

    /// Where it goes, and the MTU.
    #[track_caller]
    fn way(&self) -> (Vec<Mac>, u32) {
        let way = self.resolve().unwrap();
        assert_eq!(way.remote, self.remote);
        let from = |hop: &Hop| (hop.interface.clone(), hop.source);
        let eth0 = (interface("eth0"), OURS);
        assert!(way.hops.iter().all(|hop| from(hop) == eth0), "{way:?}");
        (
            way.hops.iter().map(|hop| hop.destination).collect(),
            way.mtu,
        )
    }
}

/// Why there is no way when all is well but for what `change` changes.
#[track_caller]
fn why(change: impl FnOnce(&mut World)) -> String {
    let mut world = World::new();
    change(&mut world);
    world.resolve().unwrap_err()
}

#[test]
fn a_peer_on_the_link_is_its_own_next_hop() {
    assert_eq!(World::new().way(), (vec![THEIRS], 1600));
}

#[test]
fn behind_a_router_the_router_is_asked_for() {
    for (peer, router, by) in [
        (PEER, ROUTER, "ARP"),
        (PEER6, ROUTER6, "neighbour solicitations"),
        (PEER, ROUTER6, "neighbour solicitations"), // IPv4 by an IPv6 router, RFC 8950
    ] {
        let mut world = World::new();
        world.remote = ip(peer);
        world.route().hops = vec![hop(Some(router))];
        assert_eq!(world.facts().needs_neighbours(), [(3, ip(router))]);
        let waits = format!("{router} has not answered {by} on eth0 yet");
        assert_eq!(world.resolve(), Err(waits.clone()));
        world.knows(router, Neighbour::Sought);
        assert_eq!(world.resolve(), Err(waits));
        world.knows(router, Neighbour::Failed);
        assert_eq!(
            world.resolve(),
            Err(format!("{router} does not answer {by} on eth0"))
        );
        world.knows(router, Neighbour::Fading(OTHERS));
        assert_eq!(world.way(), (vec![OTHERS], 1600));
    }
}

#[test]
fn of_several_next_hops_all_are_used_in_whatever_order_they_are_named() {
    let mut world = World::new();
    world.knows("10.0.0.11", Neighbour::Fresh(THEIRS));
    world.knows("10.0.0.12", Neighbour::Lasting(OTHERS));
    for order in [["10.0.0.11", "10.0.0.12"], ["10.0.0.12", "10.0.0.11"]] {
        world.route().hops = order.map(|router| hop(Some(router))).to_vec();
        assert_eq!(world.facts().needs_neighbours().len(), 2);
        assert_eq!(world.way(), (vec![THEIRS, OTHERS], 1600));
    }
}

#[test]
fn a_hop_of_no_use_is_left_out_while_another_is() {
    let mut world = World::new();
    world.knows("10.0.0.12", Neighbour::Fresh(OTHERS));
    world.links.insert(4, Some(link("eth1")));
    let elsewhere = RouteHop {
        interface: 4,
        ..hop(Some("10.0.1.1"))
    };
    let dead = RouteHop {
        dead: true,
        ..hop(Some("10.0.0.12"))
    };
    let wrapped = RouteHop {
        wrapped: true,
        ..hop(Some("10.0.0.12"))
    };
    let silent = hop(Some("10.0.0.11"));
    world.knows("10.0.0.11", Neighbour::Failed);
    world.route().hops = vec![silent, elsewhere, dead, wrapped, hop(Some("10.0.0.12"))];
    assert_eq!(world.way(), (vec![OTHERS], 1600));

    world.route().hops.pop();
    assert_eq!(
        world.resolve().unwrap_err(),
        "10.0.0.11 does not answer ARP on eth0; \
         the route to 10.0.0.2 leaves by eth1, which is no underlay port; that is eth0; \
         the kernel holds the route to 10.0.0.2 by eth0 for dead; \
         the route to 10.0.0.2 wraps packets in something else, which is not supported"
    );
    assert_eq!(world.facts().needs_neighbours(), [(3, ip("10.0.0.11"))]);
}

#[test]
fn two_addresses_of_one_router_are_one_hop_and_the_same_reason_is_said_once() {
    let mut world = World::new();
    world.route().hops = vec![hop(Some("10.0.0.11")), hop(Some(ROUTER6))];
    world.knows("10.0.0.11", Neighbour::Fresh(OTHERS));
    world.knows(ROUTER6, Neighbour::Fresh(OTHERS));
    assert_eq!(world.way(), (vec![OTHERS], 1600));
    world.link().carrier = false;
    assert_eq!(world.resolve().unwrap_err(), "eth0 has no carrier");
}

#[test]
fn there_are_never_more_hops_than_the_datapath_takes() {
    let mut world = World::new();
    world.route().hops.clear();
    for last in 100..200 {
        let router = format!("10.0.0.{last}");
        world.route().hops.push(hop(Some(&router)));
        world.knows(&router, Neighbour::Fresh(Mac([2, 0, 0, 0, 9, last])));
    }
    let (hops, _) = world.way();
    assert_eq!(hops.len(), MAX_HOPS);
    assert_eq!(
        (hops[0], hops[15]),
        (Mac([2, 0, 0, 0, 9, 100]), Mac([2, 0, 0, 0, 9, 115]))
    );
}

#[test]
fn the_smallest_mtu_counts_of_route_and_interface_and_for_ipv6_of_its_own() {
    let mut world = World::new();
    world.knows(PEER6, Neighbour::Fresh(THEIRS));
    for (route, link, link6, v4, v6) in [
        (None, 1600, None, 1600, 1600),
        (Some(1400), 1600, None, 1400, 1400),
        (Some(9000), 1600, None, 1600, 1600),
        (None, 1600, Some(1280), 1600, 1280),
        (Some(1300), 1600, Some(1500), 1300, 1300),
        (None, 1400, Some(1500), 1400, 1400),
    ] {
        world.route().mtu = route;
        (world.link().mtu, world.link().mtu6) = (link, link6);
        for (peer, is) in [(PEER, v4), (PEER6, v6)] {
            world.remote = ip(peer);
            assert_eq!(
                world.way(),
                (vec![THEIRS], is),
                "{peer} {route:?} {link} {link6:?}"
            );
        }
    }
}

/// A route by `eth0.7`: VLAN `id` on `below`.
fn vlan(world: &mut World, id: u16, below: Option<&str>) {
    *world.link() = LinkState {
        mtu: 1496,
        vlan: Some(Vlan {
            id,
            below: below.map(interface),
        }),
        ..link("eth0.7")
    };
}

fn wants(world: &mut World, vlan: u16) {
    world.underlay.as_mut().unwrap().vlan = Some(vlan);
}

#[test]
fn a_vlan_s_route_leaves_by_the_kernel_s_vlan_interface_and_frames_by_the_one_below() {
    let mut world = World::new();
    wants(&mut world, 7);
    vlan(&mut world, 7, Some("eth0"));
    assert_eq!(world.way(), (vec![THEIRS], 1496)); // `way` looks that each hop is eth0's
}

#[test]
fn another_vlan_or_one_of_another_interface_or_none_at_all_is_the_wrong_way() {
    for (id, below, by) in [
        (8, Some("eth0"), "eth0.7 (VLAN 8 on eth0)"),
        (7, Some("eth1"), "eth0.7 (VLAN 7 on eth1)"),
        (7, None, "eth0.7 (VLAN 7)"),
    ] {
        let why = why(|world| {
            wants(world, 7);
            vlan(world, id, below);
        });
        assert_eq!(
            why,
            format!(
                "the route to 10.0.0.2 leaves by {by}, which is no underlay port; \
                 that is eth0 (VLAN 7)"
            )
        );
    }
    assert_eq!(
        why(|world| wants(world, 7)),
        "the route to 10.0.0.2 leaves by eth0, which is no underlay port; that is eth0 (VLAN 7)"
    );
}

#[test]
fn a_vlan_that_no_program_speaks_of_is_told_how_to_be_spoken_of() {
    assert_eq!(
        why(|world| vlan(world, 7, Some("eth0"))),
        "the route to 10.0.0.2 leaves by eth0.7, a VLAN interface: \
         say \"vlan\": 7 on interface eth0"
    );
    // An underlay that is the VLAN interface itself is one like any other.
    let mut world = World::new();
    vlan(&mut world, 7, Some("eth0"));
    world.underlay.as_mut().unwrap().interface = interface("eth0.7");
    let way = world.resolve().unwrap();
    assert_eq!(way.hops[0].interface, interface("eth0.7"));
}

#[test]
fn without_a_route_the_reason_is_said() {
    for (reason, text) in [
        (NoRoute::NotAsked, "no route to 10.0.0.2"),
        (NoRoute::Unreachable, "no route to 10.0.0.2"),
        (NoRoute::Prohibited, "the route to 10.0.0.2 prohibits it"),
        (NoRoute::Blackhole, "the route to 10.0.0.2 is a blackhole"),
        (
            NoRoute::NotOurs,
            "the endpoint 10.0.0.1 is no address of this host",
        ),
        (
            NoRoute::Unread,
            "what the kernel says of the route to 10.0.0.2 cannot be read",
        ),
    ] {
        assert_eq!(why(|world| world.route = Err(reason)), text);
    }
    assert_eq!(
        why(|world| world.route().local = true),
        "10.0.0.2 is an address of this host"
    );
    assert_eq!(
        why(|world| world.underlay = None),
        "no underlay is programmed"
    );
}

#[test]
fn without_an_endpoint_of_its_family_a_peer_is_not_reached() {
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(
        why(|world| world.underlay.as_mut().unwrap().endpoint = v6.into()),
        "the underlay has no IPv4 endpoint, and 10.0.0.2 needs one"
    );
    let v4: IpAddr = "10.0.0.1".parse().unwrap();
    assert_eq!(
        why(|world| {
            world.remote = ip(PEER6);
            world.underlay.as_mut().unwrap().endpoint = v4.into();
        }),
        "the underlay has no IPv6 endpoint, and 2001:db8::2 needs one"
    );
}

#[test]
fn without_a_good_interface_the_reason_is_said() {
    for gone in [None, Some(None)] {
        let why = why(|world| {
            world.links.clear();
            world.links.extend(gone.map(|link| (3, link)));
        });
        assert_eq!(why, "the interface of the route to 10.0.0.2 is gone");
    }
    let link = |change: fn(&mut LinkState)| why(|world| change(world.link()));
    assert_eq!(
        link(|link| link.name = interface("eth1")),
        "the route to 10.0.0.2 leaves by eth1, which is no underlay port; that is eth0"
    );
    assert_eq!(link(|link| link.up = false), "eth0 is down");
    assert_eq!(link(|link| link.carrier = false), "eth0 has no carrier");
    let dumb = "eth0 does not speak Ethernet and ARP";
    assert_eq!(link(|link| link.arp = false), dumb);
    assert_eq!(link(|link| link.mac = None), dumb);
    let dumb = why(|world| {
        world.remote = ip(PEER6);
        world.link().arp = false;
    });
    assert_eq!(
        dumb,
        "eth0 does not speak Ethernet and neighbour solicitations"
    );
}

#[test]
fn no_neighbour_is_sought_where_gre_could_not_leave() {
    let mut world = World::new();
    world.link().name = interface("eth1");
    assert_eq!(world.facts().needs_neighbours(), []);
    let mut world = World::new();
    world.route().local = true;
    assert_eq!(world.facts().needs_neighbours(), []);
}
