//! Hosts, guests, and the wires between them.

use crate::command::ip;
use crate::namespace::Namespace;
use crate::run::{Run, sweep};
use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// What the underlay carries: a guest's 1500 bytes in 42 more, and room to spare.
const UNDERLAY_MTU: u32 = 1600;

/// Hosts and guests that live as long as this value.
///
/// Dropped, it removes everything it made. Keep it until the end of a test.
pub struct Lab {
    run: Arc<Run>,
    hosts: u8,
}

/// A host: a namespace with an underlay interface once it is [wired](Lab::wire).
#[derive(Clone)]
pub struct Host {
    namespace: Namespace,
    address: Ipv4Addr,
}

/// A guest: a namespace with `eth0`, whose other end is a port in a host's namespace.
#[derive(Clone)]
pub struct Guest {
    namespace: Namespace,
    address: Ipv4Addr,
    mac: String,
    port: String,
}

/// How a guest hangs on its host.
#[derive(Clone, Debug)]
pub struct GuestOptions {
    /// Its `eth0`'s MTU, in bytes.
    pub mtu: u32,
    /// Receive and transmit queues of the port.
    pub queues: u32,
    /// Whether the guest leaves checksums and segmentation to a card that is not there.
    /// On, TCP works only through a datapath that finishes checksums.
    pub offloads: bool,
}

impl Default for GuestOptions {
    fn default() -> Self {
        Self {
            mtu: 1500,
            queues: 1,
            offloads: false,
        }
    }
}

impl Lab {
    /// A lab without hosts. `name` says what it is for.
    ///
    /// What killed runs left is named on stderr and removed first.
    ///
    /// # Errors
    ///
    /// If we are not root, or leftovers cannot be removed.
    pub fn new(name: &str) -> Result<Self> {
        for swept in sweep()? {
            eprintln!("{swept}");
        }
        Ok(Self {
            run: Run::new(name)?,
            hosts: 0,
        })
    }

    /// The run's id: what its namespaces are called after `gh-`.
    pub fn id(&self) -> &str {
        self.run.id()
    }

    /// Where the run keeps its files.
    pub fn folder(&self) -> &Path {
        self.run.folder()
    }

    /// A host called `node`, with no wire yet. Its underlay address will be 192.168.77.n, n
    /// counted from 1.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn host(&mut self, node: &str) -> Result<Host> {
        let namespace = Namespace::new(&self.run, node)?;
        self.hosts += 1;
        Ok(Host {
            namespace,
            address: Ipv4Addr::new(192, 168, 77, self.hosts),
        })
    }

    /// Gives each of `hosts` the interface `under0`, all on one segment: a plain veth between two,
    /// a bridge in a namespace of its own between more.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn wire(&self, hosts: &[&Host]) -> Result<()> {
        ensure!(hosts.len() > 1, "a wire has two ends or more");
        if let [one, other] = hosts {
            let (one, other) = (one.name(), other.name());
            ip(&format!(
                "-n {one} link add under0 type veth peer name under0 netns {other}"
            ))?;
        } else {
            let fabric = Namespace::new(&self.run, "fabric")?;
            fabric.ip("link add br0 type bridge")?;
            fabric.ip(&format!("link set br0 up mtu {UNDERLAY_MTU}"))?;
            for host in hosts {
                let (end, there) = (format!("w-{}", host.node()), host.name());
                fabric.ip(&format!(
                    "link add {end} type veth peer name under0 netns {there}"
                ))?;
                fabric.ip(&format!("link set {end} master br0 up mtu {UNDERLAY_MTU}"))?;
            }
        }
        for host in hosts {
            host.ip(&format!(
                "addr add {}/24 dev {}",
                host.address,
                Host::UNDERLAY
            ))?;
            host.ip(&format!(
                "link set {} up mtu {UNDERLAY_MTU}",
                Host::UNDERLAY
            ))?;
        }
        Ok(())
    }

    /// A guest on `host`, with [`GuestOptions::default`].
    ///
    /// # Errors
    ///
    /// As [`guest_with`](Self::guest_with).
    pub fn guest(&self, host: &Host, node: &str, address: Ipv4Addr, mac: &str) -> Result<Guest> {
        self.guest_with(host, node, address, mac, &GuestOptions::default())
    }

    /// A guest called `node` on `host`: `eth0` with `address`/24 and `mac` there, the port
    /// `p-<node>` here.
    ///
    /// # Errors
    ///
    /// If the port's name is longer than the kernel's 15 bytes, or the kernel refuses.
    pub fn guest_with(
        &self,
        host: &Host,
        node: &str,
        address: Ipv4Addr,
        mac: &str,
        options: &GuestOptions,
    ) -> Result<Guest> {
        let port = format!("p-{node}");
        ensure!(
            port.len() <= 15,
            "{port:?}: an interface's name has at most 15 bytes"
        );
        let namespace = Namespace::new(&self.run, node)?;
        let GuestOptions {
            mtu,
            queues,
            offloads,
        } = options;
        let queues = format!("numrxqueues {queues} numtxqueues {queues}");
        host.ip(&format!(
            "link add {port} mtu {mtu} {queues} type veth \
             peer name eth0 address {mac} mtu {mtu} {queues} netns {}",
            namespace.name()
        ))?;
        if !offloads {
            let off = [
                "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off",
            ];
            namespace.exec("ethtool", &off)?;
        }
        namespace.ip(&format!("addr add {address}/24 dev eth0"))?;
        namespace.ip("link set eth0 up")?;
        host.ip(&format!("link set {port} up"))?;
        Ok(Guest {
            namespace,
            address,
            mac: mac.to_owned(),
            port,
        })
    }

    /// Removes everything, and says if that could not be done. Dropping does the same, but can
    /// only complain.
    ///
    /// # Errors
    ///
    /// If something of the lab would not go.
    pub fn close(self) -> Result<()> {
        self.run.remove()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Hosts and guests may be alive still; without the lab they are names of what is gone.
        if let Err(error) = self.run.remove() {
            eprintln!(
                "lab {}: {error:#}; the next run will try again",
                self.run.id()
            );
        }
    }
}

impl Host {
    /// The interface that carries the underlay.
    pub const UNDERLAY: &str = "under0";

    /// Its address on the underlay.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}

impl Guest {
    /// The address of its `eth0`.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The MAC address of its `eth0`.
    pub fn mac(&self) -> &str {
        &self.mac
    }

    /// From now on it knows `other`'s MAC for good and nobody else's, and so has nothing to ask: a
    /// guest that is not spoken to is silent.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn knows_only(&self, other: &Self) -> Result<()> {
        self.ip("neigh flush dev eth0")?;
        let (address, mac) = (other.address, &other.mac);
        self.ip(&format!(
            "neigh replace {address} lladdr {mac} nud permanent dev eth0"
        ))
        .map(|_| ())
    }

    /// The interface at its host that carries its frames.
    pub fn port(&self) -> &str {
        &self.port
    }
}

impl Deref for Host {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl Deref for Guest {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}
