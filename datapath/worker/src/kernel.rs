//! Takes the kernel's interfaces: steer, and one `AF_XDP` socket a queue.

use crate::attach::{Attachment, MAX_QUEUES, Opener, PortRequest, QueueDevice, Takes};
use core::ptr::NonNull;
use core::time::Duration;
use frame::Borrower;
use io::{
    AfXdp, Buffers, BusyPoll, Facts, FactsError, Meter, OpenRequest, Preference, Steer, Take,
};
use switch::PortFacts;

/// How long a queue that was just let go of may stay so: the kernel takes some 40 ms.
const PATIENCE: Duration = Duration::from_secs(2);

/// The same, when it is tried again: many ports may wait, and all of them for one thread.
const PATIENCE_AGAIN: Duration = Duration::from_millis(100);

/// How interfaces are taken.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The mode that is wished for.
    pub preference: Preference,
    /// Preferred busy polling, if it is wished for.
    pub busy_poll: Option<BusyPoll>,
    /// Whether the workers have jumbo buffers.
    pub jumbo: bool,
    /// How many workers there are.
    pub workers: u16,
}

impl Opener for Kernel {
    fn open(&mut self, request: &PortRequest) -> Result<Box<dyn Attachment>, String> {
        let name = request.interface.as_str();
        let facts = Facts::of(name).map_err(|error| error.to_string())?;
        let buffers = facts
            .buffers(self.jumbo)
            .map_err(|error| error.to_string())?;
        let queues = facts.rx_queues;
        if queues > u32::from(MAX_QUEUES) {
            return Err(format!(
                "{name} has {queues} receive queues; at most {MAX_QUEUES} are polled, and every \
                 one must be: `ethtool -L {name} combined {MAX_QUEUES}`"
            ));
        }
        let mut steer = Steer::attach(name, self.preference).map_err(|error| error.to_string())?;
        let mut devices = Vec::new();
        let mut meters = Vec::new();
        let mut notes = Vec::new();
        for queue in 0..queues {
            let (device, meter) = self.queue(request, buffers, &mut steer, queue, &mut notes)?;
            devices.push(device);
            meters.push(meter);
        }
        notes.dedup();
        let known = PortFacts {
            mtu: facts.mtu,
            queues,
        };
        let interface = name.to_owned();
        let takes = request.takes;
        Ok(Box::new(Taken {
            steer,
            takes,
            devices,
            meters,
            notes,
            facts,
            buffers,
            known,
            interface,
        }))
    }
}

impl Kernel {
    /// Opens the socket of one queue and tells the steer of it.
    fn queue(
        &self,
        request: &PortRequest,
        buffers: Buffers,
        steer: &mut Steer,
        queue: u32,
        notes: &mut Vec<String>,
    ) -> Result<(QueueDevice, Meter), String> {
        let worker = request.takes.worker(queue, self.workers);
        let memory = request.memory.get(usize::from(worker.0)).copied();
        let (base, bytes) = memory.ok_or("no such worker")?;
        let base = NonNull::new(core::ptr::with_exposed_provenance_mut(base));
        let number = request.first_borrower + u16::try_from(queue).unwrap_or(0);
        let borrower = Borrower::new(number);
        let name = request.interface.as_str();
        let memory = (base.ok_or("no memory")?, bytes);
        let socket = AfXdp::open(&OpenRequest {
            preference: steer.preference(self.preference),
            busy_poll: self.busy_poll,
            jumbo: buffers == Buffers::Jumbo,
            patience: if request.patient {
                PATIENCE
            } else {
                PATIENCE_AGAIN
            },
            ..OpenRequest::new(name, queue, memory, borrower)
        });
        let socket = socket.map_err(|error| error.to_string())?;
        let descriptor = io::Device::descriptor(&socket).ok_or("the socket has no descriptor")?;
        steer
            .socket(queue, descriptor)
            .map_err(|error| error.to_string())?;
        let meter = socket.meter().map_err(|error| error.to_string())?;
        let said = socket
            .notes()
            .iter()
            .map(|note| format!("queue {queue}: {note}"));
        notes.extend(said);
        let mode = socket.mode().to_string();
        let device = QueueDevice {
            queue,
            worker,
            borrower,
            device: Box::new(socket),
            mode,
        };
        Ok((device, meter))
    }
}

/// An interface that is taken.
struct Taken {
    /// Dropped first: the program goes before its sockets.
    steer: Steer,
    takes: Takes,
    devices: Vec<QueueDevice>,
    meters: Vec<Meter>,
    notes: Vec<String>,
    facts: Facts,
    /// What the sockets were opened for.
    buffers: Buffers,
    known: PortFacts,
    interface: String,
}

impl Attachment for Taken {
    fn take_devices(&mut self) -> Vec<QueueDevice> {
        core::mem::take(&mut self.devices)
    }

    fn facts(&self) -> PortFacts {
        self.known
    }

    fn steer(&self) -> String {
        match self.steer.attachment() {
            io::Attachment::Native => "native".to_owned(),
            io::Attachment::Generic { .. } => "generic".to_owned(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if let generic @ io::Attachment::Generic { .. } = self.steer.attachment() {
            notes.push(generic.to_string());
        }
        if !self.facts.up {
            notes.push(format!(
                "the interface is down: `ip link set {} up`",
                self.interface
            ));
        }
        notes
    }

    fn lost(&self) -> Vec<(&'static str, u64)> {
        let read = self.meters.iter().filter_map(|meter| meter.read().ok());
        let mut lost = vec![
            ("kernel_receive_dropped", 0),
            ("kernel_receive_ring_full", 0),
            ("kernel_fill_ring_empty", 0),
            ("kernel_send_refused", 0),
            ("jumbo_no_buffer", 0),
            ("jumbo_receive_too_long", 0),
            ("jumbo_send_too_long", 0),
        ];
        for losses in self.meters.iter().map(Meter::losses) {
            lost[4].1 += losses.no_buffer;
            lost[5].1 += losses.too_long;
            lost[6].1 += losses.unsendable;
        }
        for counted in read {
            lost[0].1 += counted.receive_dropped;
            lost[1].1 += counted.receive_ring_full;
            lost[2].1 += counted.fill_ring_empty;
            lost[3].1 += counted.send_invalid;
        }
        lost
    }

    fn look(&mut self) -> Result<PortFacts, String> {
        let facts = match Facts::of(&self.interface) {
            Ok(facts) => facts,
            Err(error @ FactsError::NoInterface { .. }) => return Err(error.to_string()),
            // The kernel does not say just now: that is no reason to let go.
            Err(_) => return Ok(self.known),
        };
        if facts.index != self.facts.index {
            return Err("the interface went away, and came back as another".to_owned());
        }
        if facts.rx_queues != self.facts.rx_queues {
            return Err("the interface has another number of queues".to_owned());
        }
        let needed = facts.buffers(true);
        if needed != Ok(Buffers::Chunks) && needed != Ok(self.buffers) {
            // To be opened anew for such frames, or refused.
            return Err(format!("its MTU was raised to {}", facts.mtu));
        }
        self.known.mtu = facts.mtu;
        self.facts = facts;
        Ok(self.known)
    }

    fn start(&mut self) -> Result<(), String> {
        let told = match self.takes {
            Takes::Guest(_) => self.steer.take(Take::Everything),
            Takes::Tunnels { endpoint, vlan } => {
                let addresses: Vec<_> = endpoint.addresses().collect();
                let told = self.steer.endpoints(&addresses);
                let told = told.and_then(|()| self.steer.vlan(vlan));
                told.and_then(|()| self.steer.take(Take::Tunnels))
            }
        };
        told.map_err(|error| error.to_string())
    }
}
