//! Questions for addresses are answered where the answer is known, and only then.

#![allow(clippy::unwrap_used)] // a story that cannot be told fails

mod packets;

use packets::*;
use program::{Allowed, Mac, Neighbour, NetworkProgram, Prefix, Speaks};
use sim::{Guest, Lab, Setup, gre};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

const VNET: u32 = 7;
const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x66];
const ASKER: &str = "10.1.1.1";
const OWNER: &str = "10.1.1.2";
const ASKER_V6: &str = "2001:db8::1";
const OWNER_V6: &str = "2001:db8::2";
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
/// Flags of a neighbour's advertisement (RFC 4861 §4.4).
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// What happened to a question: who heard it, and what its asker heard.
struct Asked {
    answers: Vec<Vec<u8>>,
    moved: Vec<String>,
    heard_here: usize,
    on_the_wire: usize,
}

/// Three guests of host 0 and one of host 1, all heard, in a network of which `say` says more.
struct Story {
    lab: Lab,
    asker: Guest,
    owner: Guest,
    other: Guest,
    far: Guest,
}

impl Story {
    fn new(say: impl Fn(&mut NetworkProgram)) -> Self {
        let mut lab = Lab::with(Setup::default());
        lab.network_with(VNET, say, |_| ());
        let [asker, owner, other] = [0; 3].map(|host| lab.guest(host, VNET));
        let far = lab.guest(1, VNET);
        for guest in [&asker, &owner, &other, &far] {
            lab.send(guest, &sim::ethernet(ALL, guest.mac));
        }
        let mut story = Self {
            lab,
            asker,
            owner,
            other,
            far,
        };
        story.forget();
        story
    }

    /// The owner's program says that it has these addresses, and may do this.
    fn programmed(addresses: &[&str], allow: &[Allowed]) -> Self {
        let mut story = Self::new(|_| ());
        let owner = story.owner.clone();
        story.lab.port_with(&owner, |port| {
            let prefix = |text: &&str| Prefix::try_from((*text).to_owned()).unwrap();
            port.addresses = Some(addresses.iter().map(prefix).collect());
            port.allow = allow.to_vec();
        });
        story.forget();
        story
    }

    /// What was heard until now is no part of what is asked next.
    fn forget(&mut self) {
        for guest in [&self.asker, &self.owner, &self.other, &self.far] {
            self.lab.received(guest);
        }
        self.lab.wire();
        self.lab.moved();
    }

    /// `guest` says something, and everybody listens.
    fn says(&mut self, guest: &Guest, frame: &[u8]) {
        self.lab.send(guest, frame);
        self.forget();
    }

    /// Something comes from host 1.
    fn comes(&mut self, frame: &[u8]) {
        let packet = gre(self.lab.address(1), self.lab.address(0), VNET, frame);
        self.lab.arrive(0, &packet);
        self.forget();
    }

    fn ask(&mut self, question: &[u8]) -> Asked {
        self.forget();
        self.lab.send(&self.asker, question);
        let became = Asked {
            moved: self.lab.moved(),
            answers: self.lab.received(&self.asker),
            heard_here: self.lab.received(&self.other).len(),
            on_the_wire: self.lab.wire().len(),
        };
        self.forget();
        became
    }

    /// The question is answered with `answer` and goes no further.
    fn answered(&mut self, question: &[u8], answer: &[u8], what: &str) {
        let asked = self.ask(question);
        assert_eq!(asked.answers, [answer], "{what}");
        assert_eq!((asked.heard_here, asked.on_the_wire), (0, 0), "{what}");
        let expected = [
            "h0 g0-1: received 1, answered 1, transmitted 1",
            "h0 vnet 7: received 1, answered 1, transmitted 1",
        ];
        assert_eq!(asked.moved, expected, "{what}");
    }

    /// The question is heard by all the others, and not answered.
    fn flooded(&mut self, question: &[u8], what: &str) {
        let asked = self.ask(question);
        assert!(asked.answers.is_empty(), "{what}: {:02x?}", asked.answers);
        assert_eq!((asked.heard_here, asked.on_the_wire), (1, 1), "{what}");
        assert_eq!(
            asked.moved[0], "h0 g0-1: received 1, copied 2, sent 3",
            "{what}"
        );
    }

    /// Who has the owner's IPv4 address? The guest asks.
    fn question(&self) -> Vec<u8> {
        who_has((self.asker.mac, v4(ASKER)), v4(OWNER))
    }

    /// It is `mac`: what the guest is told.
    fn answer(&self, mac: [u8; 6]) -> Vec<u8> {
        is_at((mac, v4(OWNER)), (self.asker.mac, v4(ASKER)))
    }

    /// The same over IPv6.
    fn question_v6(&self) -> Vec<u8> {
        solicit((self.asker.mac, v6(ASKER_V6)), v6(OWNER_V6))
    }

    /// It is `mac`, and it may be a router.
    fn answer_v6(&self, mac: [u8; 6], flags: u8) -> Vec<u8> {
        let target = v6(OWNER_V6);
        let advert = Saying::is_at(target, mac, flags);
        advert.frame((self.asker.mac, mac), (target, v6(ASKER_V6)))
    }

    /// The owner tells somebody its addresses.
    fn owner_speaks(&mut self) {
        let owner = self.owner.clone();
        let said = is_at((owner.mac, v4(OWNER)), (self.other.mac, v4("10.1.1.3")));
        self.says(&owner, &said);
        let said = self.advert(owner.mac, 0);
        self.says(&owner, &said);
    }

    /// `mac` has the owner's IPv6 address, it says to somebody.
    fn advert(&self, mac: [u8; 6], flags: u8) -> Vec<u8> {
        let advert = Saying::is_at(v6(OWNER_V6), mac, flags | SOLICITED | OVERRIDE);
        advert.frame((self.other.mac, mac), (v6(OWNER_V6), v6("2001:db8::3")))
    }
}

#[test]
fn a_question_for_a_programmed_port_is_answered_and_goes_nowhere_else() {
    let mut story = Story::programmed(&[OWNER, OWNER_V6], &[]);
    let mac = story.owner.mac;
    let (question, answer) = (story.question(), story.answer(mac));
    story.answered(&question, &answer, "ARP");
    let (question, answer) = (story.question_v6(), story.answer_v6(mac, SOLICITED));
    story.answered(&question, &answer, "neighbour discovery");
    // Behind a tag is another network of the guests' own.
    for tags in TAGS.iter().filter(|tags| !tags.is_empty()) {
        story.flooded(&tagged(&story.question(), tags), "ARP behind a tag");
        story.flooded(
            &tagged(&story.question_v6(), tags),
            "discovery behind a tag",
        );
    }
    // Without what Ethernet pads it with, it is answered alike.
    let (question, answer) = (story.question(), story.answer(mac));
    story.answered(&question[..42], &answer[..42], "ARP, as short as it is");
}

#[test]
fn an_answer_written_out() {
    let mut story = Story::programmed(&[OWNER], &[]);
    let asked = story.ask(&story.question());
    #[rustfmt::skip]
    let answer = [
        2, 0, 0, 0, 0, 1,  2, 0, 0, 0, 0, 2,  0x08, 0x06, // to who asked, from who is asked for
        0, 1, 0x08, 0, 6, 4, 0, 2,                        // Ethernet and IPv4, a reply
        2, 0, 0, 0, 0, 2,  10, 1, 1, 2,                   // this is who has it
        2, 0, 0, 0, 0, 1,  10, 1, 1, 1,                   // who asked
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(asked.answers, [answer]);
}

#[test]
fn a_prefix_is_no_address() {
    let mut story = Story::programmed(&["10.1.1.0/24", "2001:db8::/64"], &[]);
    story.flooded(&story.question(), "ARP");
    story.flooded(&story.question_v6(), "neighbour discovery");
}

#[test]
fn a_networks_program_knows_whom_no_port_has() {
    let mut story = Story::new(|network| {
        let neighbour = |address: IpAddr, router| Neighbour {
            address,
            mac: Mac(STRANGER),
            router,
        };
        network.neighbours = vec![
            neighbour(v4(OWNER).into(), true),
            neighbour(v6(OWNER_V6).into(), true),
            neighbour(v6("2001:db8::9").into(), false),
        ];
    });
    let answer = story.answer(STRANGER);
    story.answered(&story.question(), &answer, "ARP");
    let answer = story.answer_v6(STRANGER, ROUTER | SOLICITED);
    story.answered(&story.question_v6(), &answer, "a router");
    let (asker, host) = ((story.asker.mac, v6(ASKER_V6)), v6("2001:db8::9"));
    let answer = Saying::is_at(host, STRANGER, SOLICITED);
    let answer = answer.frame((asker.0, STRANGER), (host, asker.1));
    story.answered(&solicit(asker, host), &answer, "no router");
    // What guests say does not change what programs say.
    story.owner_speaks();
    let answer = story.answer(STRANGER);
    story.answered(&story.question(), &answer, "programs know better");
}

#[test]
fn a_port_that_may_route_is_a_router() {
    let mut story = Story::programmed(&[OWNER_V6], &[Allowed::Router]);
    let answer = story.answer_v6(story.owner.mac, ROUTER | SOLICITED);
    story.answered(&story.question_v6(), &answer, "a router");
}

#[test]
fn what_was_heard_here_is_told_from_then_on() {
    let mut story = Story::new(|_| ());
    story.flooded(&story.question(), "not heard");
    story.flooded(&story.question_v6(), "not heard");
    story.owner_speaks();
    let mac = story.owner.mac;
    let answer = story.answer(mac);
    story.answered(&story.question(), &answer, "ARP");
    let answer = story.answer_v6(mac, SOLICITED);
    story.answered(&story.question_v6(), &answer, "neighbour discovery");
}

#[test]
fn a_question_says_who_asks_and_an_announcement_who_speaks() {
    for by_question in [true, false] {
        let mut story = Story::new(|_| ());
        let owner = story.owner.clone();
        let target = if by_question { "10.1.1.77" } else { OWNER };
        story.says(&owner, &who_has((owner.mac, v4(OWNER)), v4(target)));
        let answer = story.answer(owner.mac);
        story.answered(&story.question(), &answer, "heard in what the owner said");
    }
}

#[test]
fn what_was_heard_from_a_peer_is_told_here() {
    let mut story = Story::new(|_| ());
    let far = story.far.mac;
    let said = is_at((far, v4(OWNER)), (story.other.mac, v4("10.1.1.3")));
    story.comes(&said);
    story.comes(&story.advert(far, 0));
    let answer = story.answer(far);
    story.answered(&story.question(), &answer, "ARP");
    let answer = story.answer_v6(far, SOLICITED);
    story.answered(&story.question_v6(), &answer, "neighbour discovery");
}

#[test]
fn what_a_peer_asks_is_for_who_has_the_address() {
    let mut story = Story::programmed(&[OWNER, OWNER_V6], &[]);
    let (far, host) = (story.far.mac, v6("2001:db8::7"));
    for question in [
        who_has((far, v4("10.1.1.7")), v4(OWNER)),
        solicit((far, host), v6(OWNER_V6)),
        probe(far, v6(OWNER_V6)),
    ] {
        let packet = gre(story.lab.address(1), story.lab.address(0), VNET, &question);
        story.lab.arrive(0, &packet);
        assert!(story.lab.wire().is_empty(), "not answered");
        assert_eq!(story.lab.received(&story.owner), [question]);
        let moved = story.lab.moved();
        assert!(
            moved.iter().all(|line| !line.contains("answered")),
            "{moved:?}"
        );
        story.forget();
    }
}

#[test]
fn who_is_silent_for_too_long_is_asked_for_again() {
    let mut story = Story::new(|network| network.aging_s = 10);
    story.owner_speaks();
    let (asker, mac) = (story.asker.clone(), story.owner.mac);
    let still_there = |story: &mut Story, wait| {
        story.lab.wait(Duration::from_secs(wait));
        story.says(&asker, &sim::ethernet(ALL, asker.mac));
    };
    still_there(&mut story, 9);
    let answer = story.answer(mac);
    story.answered(&story.question(), &answer, "9 s");
    still_there(&mut story, 2);
    story.flooded(&story.question(), "11 s");
    story.flooded(&story.question_v6(), "11 s");

    // The address was heard just now, but its station is gone.
    let mut story = Story::new(|network| network.aging_s = 10);
    let owner = story.owner.clone();
    let other = story.other.clone();
    let said = is_at((STRANGER, v4(OWNER)), (other.mac, v4("10.1.1.3")));
    let said = [&said[..6], &owner.mac, &said[12..]].concat();
    story.says(&owner, &said);
    story.flooded(&story.question(), "of a station that nobody has heard");
}

#[test]
fn a_station_that_is_withdrawn_is_asked_for_again() {
    let mut story = Story::new(|_| ());
    story.owner_speaks();
    let id = program::Id {
        kind: program::Kind::Port,
        name: program::Name::try_from(story.owner.name.clone()).unwrap(),
    };
    let (host, now) = story.lab.host(0);
    host.withdraw(id, now).unwrap();
    let asked = story.ask(&story.question());
    assert!(asked.answers.is_empty());
    assert_eq!((asked.heard_here, asked.on_the_wire), (1, 1));
}

#[test]
fn a_network_that_does_not_suppress_asks_everybody() {
    let mut story = Story::new(|network| {
        network.suppress = false;
        network.neighbours = vec![Neighbour {
            address: v4(OWNER).into(),
            mac: Mac(STRANGER),
            router: false,
        }];
    });
    story.owner_speaks();
    story.flooded(&story.question(), "ARP");
    story.flooded(&story.question_v6(), "neighbour discovery");
}

#[test]
fn who_is_behind_the_same_port_answers_for_itself() {
    let mut lab = Lab::new(2, VNET);
    let bridge = lab.guest_as(0, VNET, Speaks::Any, STRANGER);
    let other = lab.guest(0, VNET);
    let behind = [2, 0, 0, 0, 0, 0x67];
    lab.send(&bridge, &who_has((behind, v4(OWNER)), v4(OWNER)));
    lab.received(&other);
    let question = who_has((STRANGER, v4(ASKER)), v4(OWNER));
    lab.send(&bridge, &question);
    assert!(lab.received(&bridge).is_empty());
    assert_eq!(lab.received(&other), [question]);
}

#[test]
fn a_probe_hears_of_others_what_programs_say_and_nothing_of_itself() {
    // Of itself: its own address is programmed for its own MAC.
    let mut story = Story::new(|_| ());
    let asker = story.asker.clone();
    let own = [ASKER, ASKER_V6, "fe80::ff:fe00:1"];
    story.lab.port_with(&asker, |port| {
        let prefix = |text: &str| Prefix::try_from(text.to_owned()).unwrap();
        port.addresses = Some(own.map(prefix).to_vec());
    });
    let free = who_has((asker.mac, v4("0.0.0.0")), v4(ASKER));
    story.flooded(&free, "ARP probe");
    for address in [v6(ASKER_V6), link_local(asker.mac)] {
        story.flooded(&probe(asker.mac, address), "duplicate address detection");
    }
    // Nor is a question with an address for one's own.
    story.flooded(
        &who_has((asker.mac, v4(ASKER)), v4(ASKER)),
        "an announcement",
    );

    // Of another: it is taken.
    let mut story = Story::programmed(&[OWNER, OWNER_V6], &[]);
    let (asker, owner) = (story.asker.mac, story.owner.mac);
    let nobody = v4("0.0.0.0");
    let taken = is_at((owner, v4(OWNER)), (asker, nobody));
    story.answered(&who_has((asker, nobody), v4(OWNER)), &taken, "ARP probe");
    let advert = Saying::is_at(v6(OWNER_V6), owner, 0);
    let taken = advert.frame((ALL_NODES_MAC, owner), (v6(OWNER_V6), ALL_NODES));
    story.answered(
        &probe(asker, v6(OWNER_V6)),
        &taken,
        "duplicate address detection",
    );

    // Of another who was only heard: it may be gone, so it is asked.
    let mut story = Story::new(|_| ());
    story.owner_speaks();
    story.flooded(&who_has((asker, nobody), v4(OWNER)), "ARP probe");
    story.flooded(&probe(asker, v6(OWNER_V6)), "duplicate address detection");
}

#[test]
fn an_announcement_is_heard_by_all_and_answered_by_nobody() {
    let mut story = Story::programmed(&[OWNER], &[]);
    let asker = story.asker.mac;
    let foreign = (asker, v4(OWNER)); // even of an address that another has
    story.flooded(&who_has(foreign, v4(OWNER)), "as a request");
    story.flooded(&arp((ALL, asker), 2, foreign, foreign), "as a reply");
}

#[test]
fn nothing_is_learned_of_routers_nor_from_what_is_not_valid() {
    let mut story = Story::new(|_| ());
    let owner = story.owner.clone();
    story.says(&owner, &story.advert(owner.mac, ROUTER));
    story.flooded(&story.question_v6(), "a router answers for itself");

    let good = story.advert(owner.mac, 0);
    let mut routed = good.clone();
    routed[14 + 7] = 254; // hop limit
    let mut wrong = good.clone();
    wrong[14 + 40 + 2] ^= 1; // checksum
    for frame in [routed, wrong] {
        story.says(&owner, &frame);
        story.flooded(&story.question_v6(), "not valid");
    }
    // Neither from a solicitation, which cannot say whether its sender is a router.
    story.says(
        &owner,
        &solicit((owner.mac, v6(OWNER_V6)), v6("2001:db8::77")),
    );
    story.flooded(&story.question_v6(), "a solicitation");
    story.says(&owner, &good);
    let answer = story.answer_v6(owner.mac, SOLICITED);
    story.answered(&story.question_v6(), &answer, "valid");
}

#[test]
fn an_address_that_moved_is_told_as_it_was_heard_last() {
    let mut story = Story::new(|_| ());
    story.owner_speaks();
    let far = story.far.mac;
    let announced = who_has((far, v4(OWNER)), v4(OWNER));
    story.comes(&announced);
    let answer = story.answer(far);
    story.answered(&story.question(), &answer, "at the peer now");
    story.owner_speaks();
    let answer = story.answer(story.owner.mac);
    story.answered(&story.question(), &answer, "here again");
}

#[test]
fn what_one_network_knows_no_other_is_told() {
    let mut story = Story::programmed(&[OWNER, OWNER_V6], &[]);
    story.owner_speaks();
    story.lab.network(8);
    let [asker, other] = [0; 2].map(|host| story.lab.guest(host, 8));
    for question in [
        who_has((asker.mac, v4(ASKER)), v4(OWNER)),
        solicit((asker.mac, v6(ASKER_V6)), v6(OWNER_V6)),
    ] {
        story.lab.send(&asker, &question);
        assert!(story.lab.received(&asker).is_empty());
        assert_eq!(story.lab.received(&other), [question]);
    }
}
