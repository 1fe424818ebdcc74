//! To the datapath: one question, one answer.

use crate::line::{LineError, Lines};
use program::link::{Answer, MAX_MESSAGE, Request};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A way to a datapath, real or in memory.
///
/// After an error it is down, until [`connect`](Link::connect) is called again: nobody knows then
/// whether the last request was carried out, and only asking tells.
pub trait Link: Send {
    /// Makes a connection, in place of the one there may be.
    ///
    /// # Errors
    ///
    /// Nobody is there.
    fn connect(&mut self) -> Result<(), LineError>;

    /// Asks, and waits for the answer: for seconds, not for ever.
    ///
    /// # Errors
    ///
    /// No answer; the request may have been carried out.
    fn ask(&mut self, request: &Request) -> Result<Answer, LineError>;

    /// Whether the datapath is still there, as far as is known without asking.
    fn alive(&mut self) -> bool;
}

/// The link to a datapath of this host.
#[derive(Debug)]
pub struct UnixLink {
    path: PathBuf,
    patience: Duration,
    lines: Option<Lines>,
}

impl UnixLink {
    /// A link, not yet connected, to the datapath that listens at `path`. An answer is waited for
    /// as long as `patience`.
    pub fn new(path: PathBuf, patience: Duration) -> Self {
        Self {
            path,
            patience,
            lines: None,
        }
    }
}

impl Link for UnixLink {
    fn connect(&mut self) -> Result<(), LineError> {
        self.lines = None;
        self.lines = Some(Lines::connect(&self.path, MAX_MESSAGE)?);
        Ok(())
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, LineError> {
        let deadline = Instant::now() + self.patience;
        let Some(mut lines) = self.lines.take() else {
            return Err(LineError::Closed);
        };
        lines.send(request, deadline)?;
        let answer = lines.receive(deadline)?;
        self.lines = Some(lines); // only a line that was answered stays
        Ok(answer)
    }

    fn alive(&mut self) -> bool {
        self.lines.as_mut().is_some_and(Lines::idle)
    }
}
