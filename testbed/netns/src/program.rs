//! Program documents, as a person would write them in a file.
//!
//! Written out here by hand on purpose: what tests and the demo feed to `greyhound apply` must not
//! change with the types that read it.

use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// The underlay of a host of a lab.
pub fn underlay(endpoint: Ipv4Addr) -> Value {
    let interface = crate::Host::UNDERLAY;
    json!({"version": 1, "kind": "underlay", "name": "under", "endpoint": endpoint,
           "interface": interface})
}

/// A network.
pub fn network(name: &str, vnet: u32) -> Value {
    json!({"version": 1, "kind": "network", "name": name, "vnet": vnet})
}

/// A tunnel of a network to a peer.
pub fn tunnel(name: &str, vnet: u32, remote: Ipv4Addr) -> Value {
    json!({"version": 1, "kind": "tunnel", "name": name, "vnet": vnet, "remote": remote})
}

/// A guest's port; `mac` may be `any`.
pub fn port(name: &str, vnet: u32, interface: &str, mac: &str) -> Value {
    json!({"version": 1, "kind": "port", "name": name, "vnet": vnet, "interface": interface,
           "mac": mac})
}
