//! Asking the agent.

use crate::api::{MAX_LINE, Reply, Request};
use crate::line::{LineError, Lines};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long an answer is waited for: longer than the agent waits for the datapath.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the agent did not answer, and what to do.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No socket there.
    #[error("{}: no agent listens there; start greyhound-agent, or name its socket with --socket", .0.display())]
    NotThere(PathBuf),
    /// A socket nobody listens on.
    #[error("{}: the agent that made this socket is gone; start greyhound-agent", .0.display())]
    Dead(PathBuf),
    /// Not allowed.
    #[error("{}: not allowed; be root or in the group greyhound", .0.display())]
    NotAllowed(PathBuf),
    /// Something else with the connection.
    #[error("{}: {why}", path.display())]
    Line {
        /// The socket.
        path: PathBuf,
        /// What happened.
        why: LineError,
    },
}

/// A connection to the agent.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    lines: Lines,
}

impl Client {
    /// Connects to the agent that listens at `path`.
    ///
    /// # Errors
    ///
    /// Why it is not to be had.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let path = path.to_owned();
        match Lines::connect(&path, MAX_LINE) {
            Ok(lines) => Ok(Self { path, lines }),
            Err(LineError::Socket(error)) if error.kind() == ErrorKind::NotFound => {
                Err(ClientError::NotThere(path))
            }
            Err(LineError::Socket(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                Err(ClientError::Dead(path))
            }
            Err(LineError::Socket(error)) if error.kind() == ErrorKind::PermissionDenied => {
                Err(ClientError::NotAllowed(path))
            }
            Err(why) => Err(ClientError::Line { path, why }),
        }
    }

    /// Asks, and waits for the answer: half a minute at most.
    ///
    /// # Errors
    ///
    /// No answer; an [`Apply`](Request::Apply) may have been taken.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let deadline = Instant::now() + PATIENCE;
        let sent = self.lines.send(request, deadline);
        sent.and_then(|()| self.lines.receive(deadline))
            .map_err(|why| ClientError::Line {
                path: self.path.clone(),
                why,
            })
    }
}
