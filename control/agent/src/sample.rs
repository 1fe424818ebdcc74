//! Programs for tests.

use program::{
    Interface, Name, NetworkProgram, PortProgram, Program, Speaks, TunnelProgram, UnderlayProgram,
    Vnet,
};

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

fn interface(text: &str) -> Interface {
    Interface::try_from(text.to_owned()).unwrap()
}

pub(crate) fn underlay(text: &str, endpoint: [u8; 4], on: &str) -> Program {
    Program::Underlay(UnderlayProgram {
        name: name(text),
        endpoint: endpoint.into(),
        interface: interface(on),
    })
}

pub(crate) fn network(text: &str, vnet: u32) -> Program {
    Program::Network(NetworkProgram {
        name: name(text),
        vnet: Vnet(vnet),
        aging_s: 300,
        mtu: None,
    })
}

pub(crate) fn tunnel(text: &str, vnet: u32, remote: [u8; 4]) -> Program {
    Program::Tunnel(TunnelProgram {
        name: name(text),
        vnet: Vnet(vnet),
        remote: remote.into(),
    })
}

pub(crate) fn port(text: &str, vnet: u32, on: &str) -> Program {
    Program::Port(PortProgram {
        name: name(text),
        vnet: Vnet(vnet),
        interface: interface(on),
        mac: Speaks::Any,
    })
}
