//! The agent whole: its threads, started and ended together.

use crate::board::Board;
use crate::keeper::{Call, Keeper, Parts};
use crate::latest::Latest;
use crate::link::Link;
use crate::log;
use crate::server::{Desk, Server, SocketError, listen};
use crate::store::{Store, StoreError};
use crate::underlay::Follower;
use crossbeam::channel::{Receiver, Sender, bounded, select};
use mio::Waker;
use program::Limits;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// The most calls that wait for the keeper: every connection has one at most.
const CALLS: usize = crate::server::CONNECTIONS;
/// How often the keeper looks at the link when nobody calls.
const TURN: Duration = Duration::from_millis(50);

/// What an agent is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub socket: PathBuf,
    /// Where the datapath listens; to be shown only, the link knows its way.
    pub datapath: PathBuf,
    /// Where it keeps what is wanted.
    pub store: PathBuf,
    /// How many programs there may be.
    pub limits: Limits,
    /// Whether to follow the kernel. If not, it never says a word of the ways to the peers.
    pub follow: bool,
    /// How long an `apply` waits for the datapath.
    pub patience: Duration,
}

/// Why an agent did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The kernel has something not to give: netlink, a thread, a poll.
    #[error("{what}: {why}")]
    Kernel {
        /// What was asked for.
        what: &'static str,
        /// What the kernel said.
        why: io::Error,
    },
}

/// A running agent. It ends when it is told to, or dropped.
pub struct Agent {
    stop: Arc<AtomicBool>,
    board: Arc<Board>,
    wakers: Vec<Arc<Waker>>,
    /// Ends the keeper when it goes.
    ending: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    socket: PathBuf,
}

impl Agent {
    /// Starts an agent that feeds the datapath at the other end of `link`.
    ///
    /// # Errors
    ///
    /// Why not; then nothing of it is left.
    pub fn start(options: &Options, link: impl Link + 'static) -> Result<Self, StartError> {
        let kernel = |what| move |why| StartError::Kernel { what, why };
        let (store, desired) = Store::open(&options.store, options.limits)?;
        let sure = store.settled()?;
        let listener = listen(&options.socket)?;

        let board = Arc::new(Board::default());
        let (calls, called) = bounded(CALLS);
        let (ending, ended) = bounded(0);
        let (bell, rung) = bounded(1);
        let ways = Arc::new(Latest::new(move || {
            let _ = bell.try_send(()); // full: it is ringing already
        }));
        let desk = Desk {
            calls,
            board: Arc::clone(&board),
            datapath: options.datapath.clone(),
            patience: options.patience,
        };
        let (server, waker) = Server::new(listener, desk).map_err(kernel("poll"))?;

        let mut agent = Self {
            stop: Arc::new(AtomicBool::new(false)),
            board: Arc::clone(&board),
            wakers: vec![Arc::new(waker)],
            ending: Some(ending),
            threads: Vec::new(),
            socket: options.socket.clone(),
        };
        let mut wanted = Arc::new(Latest::new(|| ()));
        if options.follow {
            let (follower, waker) = Follower::open().map_err(kernel("netlink"))?;
            let waker = Arc::new(waker);
            agent.wakers.push(Arc::clone(&waker));
            wanted = Arc::new(Latest::new(move || {
                let _ = waker.wake(); // it looks by itself within seconds
            }));
            let (wanted, ways, stop) = (wanted.clone(), ways.clone(), agent.stop.clone());
            agent.spawn("underlay", move || follower.run(&wanted, &ways, &stop))?;
        }
        let parts = Parts {
            link,
            store,
            desired,
            sure,
            board,
            wanted,
            ways,
        };
        let keeper = Keeper::new(parts, Instant::now());
        agent.spawn("keeper", move || keep(keeper, &called, &rung, &ended))?;
        let stop = agent.stop.clone();
        agent.spawn("server", move || server.run(&stop))?;
        log::note(format_args!("listening at {}", options.socket.display()));
        Ok(agent)
    }

    /// Ends it, and waits until it has.
    pub fn stop(self) {
        drop(self);
    }

    fn spawn(
        &mut self,
        what: &'static str,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<(), StartError> {
        let thread = std::thread::Builder::new().name(what.to_owned());
        let thread = thread.spawn(run);
        let thread = thread.map_err(|why| StartError::Kernel { what, why })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.board.write(|standing| standing.ending = true);
        self.ending = None;
        for waker in &self.wakers {
            let _ = waker.wake(); // it looks by itself, only later
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a panic was printed where it happened
        }
        let _ = std::fs::remove_file(&self.socket); // a start finds out that nobody answers
    }
}

/// The keeper's thread.
fn keep<L: Link>(
    mut keeper: Keeper<L>,
    called: &Receiver<Call>,
    rung: &Receiver<()>,
    ended: &Receiver<()>,
) {
    loop {
        keeper.turn(Instant::now());
        select! {
            recv(called) -> call => match call {
                Ok(call) => keeper.call(call),
                Err(_) => return,
            },
            recv(rung) -> _ => {}
            recv(ended) -> _ => return,
            default(TURN) => {}
        }
    }
}
