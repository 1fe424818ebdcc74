//! Programs for tests.

use program::{
    Interface, Name, NetworkProgram, PortProgram, Program, Speaks, TunnelProgram, UnderlayProgram,
    Vnet,
};
use std::net::{IpAddr, Ipv4Addr};

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

fn interface(text: &str) -> Interface {
    Interface::try_from(text.to_owned()).unwrap()
}

pub(crate) fn underlay(text: &str, endpoint: [u8; 4], on: &str) -> Program {
    let endpoint = Ipv4Addr::from(endpoint).into();
    Program::Underlay(UnderlayProgram::new(name(text), endpoint, interface(on)))
}

pub(crate) fn network(text: &str, vnet: u32) -> Program {
    Program::Network(NetworkProgram::new(name(text), Vnet(vnet)))
}

pub(crate) fn tunnel(text: &str, vnet: u32, remote: [u8; 4]) -> Program {
    let remote = IpAddr::from(remote);
    Program::Tunnel(TunnelProgram::new(name(text), Vnet(vnet), remote))
}

pub(crate) fn port(text: &str, vnet: u32, on: &str) -> Program {
    Program::Port(PortProgram::new(
        name(text),
        Vnet(vnet),
        interface(on),
        Speaks::Any,
    ))
}
