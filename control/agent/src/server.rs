//! The agent's end of its socket: who may come in, and one thread for each who does.

use crate::api::{MAX_LINE, Reply, Request, Status};
use crate::board::Board;
use crate::desired::{Change, Refused};
use crate::keeper::{Call, CallError};
use crate::line::{LineError, Lines};
use crate::log;
use crossbeam::channel::{Sender, bounded};
use mio::net::UnixListener;
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// The most connections at a time.
pub const CONNECTIONS: usize = 64;
/// The group that may connect, beside root.
pub const GROUP: &str = "greyhound";

/// How long a connection may be silent, and how long one line may take.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the keeper may take for a call; it may be waiting for the datapath.
const CALL: Duration = Duration::from_secs(15);

const LISTENER: Token = Token(0);
const WOKEN: Token = Token(1);

/// Why there is no socket to come in by.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Somebody answers there.
    #[error("{}: somebody listens there already", .0.display())]
    Taken(PathBuf),
    /// Something else is there, and it is not ours to remove.
    #[error("{}: is there, and is no socket", .0.display())]
    NoSocket(PathBuf),
    /// The file system.
    #[error("{}: {why}", path.display())]
    File {
        /// The socket.
        path: PathBuf,
        /// What happened.
        why: io::Error,
    },
}

/// Makes the socket at `path`: for root and the group [`GROUP`], if there is one, and for nobody
/// else. What a killed agent left there is replaced; what somebody answers on is not.
///
/// # Errors
///
/// Why not.
pub fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    let file = |why| SocketError::File {
        path: path.to_owned(),
        why,
    };
    match mio::net::UnixStream::connect(path) {
        Ok(_) => return Err(SocketError::Taken(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(SocketError::Taken(path.to_owned()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => {
            let kind = std::fs::symlink_metadata(path).map_err(file)?.file_type();
            if !kind.is_socket() {
                return Err(SocketError::NoSocket(path.to_owned()));
            }
            log::note(format_args!(
                "{}: nobody answers; replacing what a killed agent left",
                path.display()
            ));
        }
    }
    place(path).map_err(file)
}

/// Makes the socket in a directory that nobody else can enter, and moves it to its place when its
/// rights are right: so there is no moment at which too many may connect.
fn place(path: &Path) -> io::Result<UnixListener> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let hidden = parent.join(format!(".gh-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&hidden); // of a killed agent that had our number
    std::fs::DirBuilder::new().mode(0o700).create(&hidden)?;
    let made = hidden.join("s");
    let listener = UnixListener::bind(&made).and_then(|listener| {
        std::fs::set_permissions(&made, PermissionsExt::from_mode(0o660))?;
        if let Some(group) = group() {
            std::os::unix::fs::chown(&made, None, Some(group))?;
        }
        std::fs::rename(&made, path)?;
        Ok(listener)
    });
    std::fs::remove_dir_all(&hidden)?;
    listener
}

/// The number of [`GROUP`] in `/etc/group`, if it is there.
fn group() -> Option<u32> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == GROUP).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// What a connection needs.
#[derive(Clone)]
pub struct Desk {
    /// To the keeper.
    pub calls: Sender<Call>,
    /// How far things are.
    pub board: Arc<Board>,
    /// The datapath's socket, to be shown.
    pub datapath: PathBuf,
    /// How long a request may wait for the datapath.
    pub patience: Duration,
}

/// Lets connections in until it is told to stop.
pub struct Server {
    listener: UnixListener,
    poll: Poll,
    desk: Desk,
    open: Vec<(JoinHandle<()>, UnixStream)>,
}

impl Server {
    /// A server on `listener`; the waker ends a wait, so that it looks whether it should stop.
    ///
    /// # Errors
    ///
    /// The system has no poll for us.
    pub fn new(mut listener: UnixListener, desk: Desk) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WOKEN)?;
        let open = Vec::with_capacity(CONNECTIONS);
        let server = Self {
            listener,
            poll,
            desk,
            open,
        };
        Ok((server, waker))
    }

    /// Lets connections in until `stop`; then ends them all, and returns.
    pub fn run(mut self, stop: &AtomicBool) {
        let mut signs = Events::with_capacity(4);
        while !stop.load(Ordering::Relaxed) {
            // Now and then without a sign: connections that ended are put away.
            if let Err(error) = self.poll.poll(&mut signs, Some(SILENCE))
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::warn(format_args!("waiting for connections failed: {error}"));
                std::thread::sleep(Duration::from_secs(1));
            }
            loop {
                match self.listener.accept() {
                    Ok((stream, _)) => self.admit(stream.into()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        log::warn(format_args!("a connection could not be taken: {error}"));
                        // Out of descriptors: there may be some when others have ended.
                        std::thread::sleep(Duration::from_millis(100));
                        break;
                    }
                }
            }
        }
        for (_, stream) in &self.open {
            let _ = stream.shutdown(std::net::Shutdown::Both); // it may have ended already
        }
        for (thread, _) in self.open {
            let _ = thread.join(); // a panic was printed where it happened
        }
    }

    fn admit(&mut self, stream: UnixStream) {
        self.open.retain(|(thread, _)| !thread.is_finished());
        let full = self.open.len() >= CONNECTIONS;
        let admitted = stream.try_clone().and_then(|clone| {
            let mut lines = Lines::new(stream, MAX_LINE).map_err(io::Error::other)?;
            if full {
                let why = format!("{CONNECTIONS} connections are open; try again later");
                let soon = Instant::now() + Duration::from_millis(100);
                let _ = lines.send(&Reply::Failed { why }, soon); // it is turned away either way
                return Ok(());
            }
            let desk = self.desk.clone();
            let thread = std::thread::Builder::new().name("connection".to_owned());
            let thread = thread.spawn(move || desk.serve(lines))?;
            self.open.push((thread, clone));
            Ok(())
        });
        if let Err(error) = admitted {
            log::warn(format_args!("a connection could not be served: {error}"));
        }
    }
}

impl Desk {
    /// Serves one connection until it ends or is silent too long.
    fn serve(&self, mut lines: Lines) {
        loop {
            let reply = match lines.line(Instant::now() + SILENCE) {
                Ok(line) => match serde_json::from_slice(&line) {
                    Ok(request) => self.answer(request),
                    Err(error) => Reply::Failed {
                        why: format!("not a request: {error}"),
                    },
                },
                Err(error @ LineError::TooLong(_)) => {
                    let why = error.to_string();
                    let soon = Instant::now() + Duration::from_secs(1);
                    let _ = lines.send(&Reply::Failed { why }, soon); // and then it ends
                    return;
                }
                Err(_) => return,
            };
            if lines.send(&reply, Instant::now() + SILENCE).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Apply { document, wait } => {
                let changes =
                    self.document(&document, |document, reply| Call::Apply { document, reply });
                self.taken(changes, wait)
            }
            Request::Withdraw { ids, wait } => {
                let ids = ids.into_iter().collect();
                let changes = self.call(|reply| Call::Withdraw { ids, reply });
                self.taken(changes.map_err(|error| Box::new(reply(error, ""))), wait)
            }
            Request::Plan { document } => {
                let changes =
                    self.document(&document, |document, reply| Call::Plan { document, reply });
                changes.map_or_else(|reply| *reply, |changes| Reply::Planned { changes })
            }
            Request::Show(subject) => match self.call(|reply| Call::Show { subject, reply }) {
                Ok(report) => Reply::Shown(report),
                Err(error) => reply(error, ""),
            },
            Request::Status => Reply::Status(self.status()),
        }
    }

    /// Reads a document and brings it to the keeper.
    fn document(
        &self,
        text: &str,
        call: impl FnOnce(Vec<Read>, Sender<Result<Vec<Change>, CallError>>) -> Call,
    ) -> Result<Vec<Change>, Box<Reply>> {
        let document = program::read(text.as_bytes()).map_err(|error| {
            Box::new(Reply::Refused {
                field: error.field().to_owned(),
                id: None,
                why: error.to_string(),
            })
        })?;
        self.call(|reply| call(document, reply))
            .map_err(|error| Box::new(reply(error, text)))
    }

    /// Brings a call to the keeper, and waits for the answer.
    fn call<T>(
        &self,
        call: impl FnOnce(Sender<Result<T, CallError>>) -> Call,
    ) -> Result<T, CallError> {
        let (reply, answer) = bounded(1);
        let late = || {
            CallError::Datapath(
                "the agent is busy or ending, and may still carry it out: see `greyhound status`"
                    .to_owned(),
            )
        };
        let deadline = Instant::now() + CALL;
        let sent = self.calls.send_deadline(call(reply), deadline);
        sent.map_err(|_| late())?;
        answer.recv_deadline(deadline).map_err(|_| late())?
    }

    fn taken(&self, changes: Result<Vec<Change>, Box<Reply>>, wait: bool) -> Reply {
        let changes = match changes {
            Ok(changes) => changes,
            Err(reply) => return *reply,
        };
        let pending = if wait {
            self.board.wait(&changes, Instant::now() + self.patience)
        } else {
            Vec::new()
        };
        Reply::Taken { changes, pending }
    }

    fn status(&self) -> Status {
        let standing = self.board.read();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            datapath: self.datapath.clone(),
            connected: standing.instance.is_some(),
            instance: standing.instance,
            why: match standing.instance {
                Some(_) => String::new(),
                None => standing.why.clone(),
            },
            wanted: standing.desired.len(),
            applied: standing.applied.len(),
            pending: standing.all_pending(),
            unreachable: standing.unreachable.clone(),
        }
    }
}

type Read = (Option<program::Epoch>, program::Program);

/// What to say to who sent `text`.
fn reply(error: CallError, text: &str) -> Reply {
    match error {
        CallError::Refused(refused) => {
            let Refused { index, id, error } = *refused;
            Reply::Refused {
                field: path(text, index, error.field()),
                why: match (index, &id) {
                    // It was fine before: the document takes something away from under it.
                    (None, Some(id)) if !text.is_empty() => {
                        format!("{id} stands on what this document changes: {error}")
                    }
                    _ => error.to_string(),
                },
                id,
            }
        }
        CallError::Store(error) => Reply::Failed {
            why: format!("it could not be kept: {error}"),
        },
        CallError::Datapath(why) => Reply::Failed { why },
    }
}

/// The path of `field` of the program at `index` of the document `text`.
fn path(text: &str, index: Option<usize>, field: &str) -> String {
    match index {
        None => String::new(),
        Some(_) if !text.trim_start().starts_with('[') => field.to_owned(),
        Some(index) if field.is_empty() => format!("[{index}]"),
        Some(index) => format!("[{index}].{field}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_somebody_answers_on_is_not_taken_away() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("agent.sock");
        let first = listen(&path).unwrap();
        assert!(matches!(listen(&path), Err(SocketError::Taken(_))));
        drop(first); // as a killed agent: the file stays
        assert!(path.exists());
        let _second = listen(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("agent.sock");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(listen(&path), Err(SocketError::NoSocket(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn the_path_of_a_field_fits_the_document() {
        assert_eq!(path(" [{", Some(2), "mac"), "[2].mac");
        assert_eq!(path("[", Some(2), ""), "[2]");
        assert_eq!(path(" {", Some(0), "mac"), "mac");
        assert_eq!(path("", None, "mac"), "");
    }
}
