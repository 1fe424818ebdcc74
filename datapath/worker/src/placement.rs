//! Who is home to what.
//!
//! - A network has its home at one worker: only that one learns and forwards in it
//!   ([`switch::Compiler::home`]).
//! - Every queue of a guest's port is polled by the home of its network, so that a guest's frame
//!   never changes workers on its way to another port of its network.
//! - The queues of an underlay port are dealt to the workers in turn: what arrives there may be of
//!   any network, and is handed to its home if that is another worker.
//! - A worker sends on the queue it polls. One that polls no queue of a port hands what it has for
//!   that port to a worker that does.

use switch::WorkerId;

/// The worker that polls `queue` of an underlay port.
pub fn underlay_queue(queue: u32, workers: u16) -> WorkerId {
    let workers = u32::from(workers.max(1));
    WorkerId(u16::try_from(queue % workers).unwrap_or(0))
}

/// The worker that sends for `worker` on an underlay port with `queues` queues.
pub fn underlay_sender(worker: WorkerId, queues: u32, workers: u16) -> WorkerId {
    // Where there are as many queues as workers, everybody sends for himself.
    underlay_queue(u32::from(worker.0) % queues.max(1), workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_is_polled_and_every_worker_has_somebody_who_sends() {
        for workers in 1..=8 {
            for queues in 1..=16 {
                let polled: Vec<_> = (0..queues).map(|q| underlay_queue(q, workers)).collect();
                assert!(polled.iter().all(|worker| worker.0 < workers));
                for worker in (0..workers).map(WorkerId) {
                    let sender = underlay_sender(worker, queues, workers);
                    assert!(
                        polled.contains(&sender),
                        "{sender:?} polls a queue of the port"
                    );
                    if polled.contains(&worker) {
                        assert_eq!(sender, worker, "whoever can send does it himself");
                    }
                }
            }
        }
    }
}
