//! The socket by which the agent speaks to the supervisor.
//!
//! One message a line, at most [`MAX_MESSAGE`] bytes. One thread a connection reads and writes;
//! all requests go, one after the other, to the one thread that has the supervisor.
//!
//! Whoever first says what is to be in force is the agent until its connection ends: a second one,
//! with another store, would undo what the first does, and neither would notice. Anybody may look.

use crate::supervisor::{LOOK, Meanwhile, NoAnswer, Supervisor};
use crate::thread::Clock;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use core::time::Duration;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use program::link::{Answer, MAX_MESSAGE, Request};
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Connections at one time: the agent's, and a few of people who look.
const CONNECTIONS: usize = 8;

/// How long one that was just killed may take to be gone.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a reader may take to take an answer.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// A request, and where its answer goes.
pub struct Asked {
    request: Request,
    answer: Sender<Answer>,
}

/// The socket, listening. Dropping it removes its file.
pub struct Server {
    path: PathBuf,
    asked: Receiver<Asked>,
}

impl Server {
    /// Listens at `path`, for its owner only.
    ///
    /// A file that a killed datapath left there is replaced; one that somebody listens at is not.
    ///
    /// # Errors
    ///
    /// The kernel's; [`ErrorKind::AddrInUse`] if a datapath listens there already.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let end = Instant::now() + GOODBYE;
        while UnixStream::connect(path).is_ok() {
            if Instant::now() < end {
                std::thread::sleep(GOODBYE / 100);
                continue;
            }
            return Err(io::Error::new(
                ErrorKind::AddrInUse,
                format!("another datapath listens at {}", path.display()),
            ));
        }
        let is_socket = |found: fs::Metadata| found.file_type().is_socket();
        if fs::symlink_metadata(path).is_ok_and(|found| !is_socket(found)) {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                "there is a file, and it is no socket",
            ));
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let (ask, asked) = bounded(CONNECTIONS);
        std::thread::Builder::new()
            .name("listener".to_owned())
            .spawn(move || accept(&listener, &ask))?;
        Ok(Self {
            path: path.to_owned(),
            asked,
        })
    }

    /// Answers requests, and does what time brings, until `stop` is set.
    ///
    /// # Errors
    ///
    /// A worker does not answer any more, and the datapath is to end.
    pub fn serve(
        &self,
        supervisor: &mut Supervisor,
        clock: &Clock,
        meanwhile: Meanwhile<'_>,
        stop: &AtomicBool,
    ) -> Result<(), NoAnswer> {
        while !stop.load(Relaxed) {
            match self.asked.recv_timeout(LOOK / 4) {
                Ok(Asked { request, answer }) => {
                    // Whoever asked may have gone.
                    let _ = answer.send(supervisor.answer(request, meanwhile));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            supervisor.failed().map_or(Ok(()), Err)?;
            supervisor.tick(clock.now(), meanwhile)?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever removed it before us did what we wanted.
        let _ = fs::remove_file(&self.path);
    }
}

/// The number of the connection that says what is to be in force; 0 if there is none.
type Leader = Arc<AtomicUsize>;

fn accept(listener: &UnixListener, ask: &Sender<Asked>) {
    let open = Arc::new(AtomicUsize::new(0));
    let leader = Leader::default();
    for (number, stream) in (1..).zip(listener.incoming()) {
        let Ok(stream) = stream else {
            // Out of descriptors, most likely: others will close theirs.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if open.fetch_add(1, Relaxed) >= CONNECTIONS {
            open.fetch_sub(1, Relaxed);
            let why = format!("there are {CONNECTIONS} connections already");
            let _ = say(&stream, &Answer::Failed { why });
            continue;
        }
        let (open, ask, leader) = (open.clone(), ask.clone(), leader.clone());
        let name = "connection".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn({
            let open = open.clone();
            move || {
                // The other side went, or broke the contract: either way it is over.
                let _ = converse(&stream, &ask, (number, &leader));
                let _ = leader.compare_exchange(number, 0, Relaxed, Relaxed);
                open.fetch_sub(1, Relaxed);
            }
        });
        if thread.is_err() {
            open.fetch_sub(1, Relaxed);
        }
    }
}

/// Reads requests and writes answers until the other side goes.
fn converse(
    stream: &UnixStream,
    ask: &Sender<Asked>,
    (number, leader): (usize, &Leader),
) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_LIMIT))?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(MAX_MESSAGE as u64)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            let why = format!("a message ends by a newline and has at most {MAX_MESSAGE} bytes");
            return say(stream, &Answer::Failed { why });
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(request) if leads(&request) && !lead(number, leader) => Answer::Failed {
                why: "another agent leads this datapath: end that one first".to_owned(),
            },
            Ok(request) => {
                let (answer, answered) = bounded(1);
                ask.send(Asked { request, answer })
                    .map_err(io::Error::other)?;
                answered.recv().map_err(io::Error::other)?
            }
            Err(error) => Answer::Failed {
                why: format!("not a request: {error}"),
            },
        };
        say(stream, &answer)?;
    }
}

/// Whether it says what is to be in force.
fn leads(request: &Request) -> bool {
    matches!(request, Request::Apply { .. } | Request::NextHops { .. })
}

/// Makes connection `number` the leader, if there is no other.
fn lead(number: usize, leader: &Leader) -> bool {
    match leader.compare_exchange(0, number, Relaxed, Relaxed) {
        Ok(_) => true,
        Err(leads) => leads == number,
    }
}

fn say(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
}
