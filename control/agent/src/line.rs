//! JSON messages over a unix socket, one a line, each way bounded in length and time.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why no message went or came. The connection is of no use any more.
#[derive(Debug, Error)]
pub enum LineError {
    /// The other side has closed it.
    #[error("the other side closed the connection")]
    Closed,
    /// Nothing moved in the time there was.
    #[error("no answer in time")]
    TimedOut,
    /// The other side's line is longer than what is read.
    #[error("a message longer than {0} bytes")]
    TooLong(usize),
    /// The other side's line is no message.
    #[error("not a message: {0}")]
    Unreadable(serde_json::Error),
    /// The socket.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
}

/// One connection.
#[derive(Debug)]
pub struct Lines {
    stream: UnixStream,
    /// What came behind the last line.
    rest: Vec<u8>,
    /// The longest line that is read, in bytes.
    limit: usize,
}

impl Lines {
    /// Connects to the socket at `path`; waits for nothing.
    ///
    /// # Errors
    ///
    /// [`LineError::Socket`]: nobody is there, or has no room for one more.
    pub fn connect(path: &Path, limit: usize) -> Result<Self, LineError> {
        // std would wait without bound on a listener that does not accept.
        let stream: UnixStream = mio::net::UnixStream::connect(path)?.into();
        Self::new(stream, limit)
    }

    /// Messages of at most `limit` bytes over `stream`.
    ///
    /// # Errors
    ///
    /// [`LineError::Socket`].
    pub fn new(stream: UnixStream, limit: usize) -> Result<Self, LineError> {
        stream.set_nonblocking(false)?;
        Ok(Self {
            stream,
            rest: Vec::new(),
            limit,
        })
    }

    /// Sends `message` until `deadline`.
    ///
    /// # Errors
    ///
    /// Why not; part of it may have gone.
    pub fn send(&mut self, message: &impl Serialize, deadline: Instant) -> Result<(), LineError> {
        let mut line = serde_json::to_vec(message).map_err(LineError::Unreadable)?;
        line.push(b'\n');
        let mut rest = &line[..];
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(left(deadline)?))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(LineError::Closed),
                Ok(count) => rest = &rest[count..],
                Err(error) => again(error)?,
            }
        }
        Ok(())
    }

    /// Receives one message until `deadline`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn receive<T: DeserializeOwned>(&mut self, deadline: Instant) -> Result<T, LineError> {
        let line = self.line(deadline)?;
        serde_json::from_slice(&line).map_err(LineError::Unreadable)
    }

    /// Receives one line, without its newline, until `deadline`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn line(&mut self, deadline: Instant) -> Result<Vec<u8>, LineError> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.rest[seen..].iter().position(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(seen + at + 1);
                let mut line = core::mem::replace(&mut self.rest, rest);
                line.pop();
                return Ok(line);
            }
            seen = self.rest.len();
            if seen >= self.limit {
                return Err(LineError::TooLong(self.limit));
            }
            self.stream.set_read_timeout(Some(left(deadline)?))?;
            let mut chunk = [0; 16 << 10];
            let room = chunk.len().min(self.limit - seen);
            match self.stream.read(&mut chunk[..room]) {
                Ok(0) => return Err(LineError::Closed),
                Ok(count) => self.rest.extend_from_slice(&chunk[..count]),
                Err(error) => again(error)?,
            }
        }
    }

    /// Whether the other side is still there, and silent: nobody speaks unasked.
    pub fn idle(&mut self) -> bool {
        let mut byte = [0];
        let quiet = self.rest.is_empty() && self.stream.set_nonblocking(true).is_ok();
        let read = self.stream.read(&mut byte);
        let back = self.stream.set_nonblocking(false).is_ok();
        quiet && back && matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Ends the connection, also for whoever waits on it in another thread.
    pub fn close(&self) {
        // It may be closed already: then this is what was wanted.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The time left until `deadline`; never zero, which a socket takes for "without bound".
fn left(deadline: Instant) -> Result<Duration, LineError> {
    match deadline.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(left),
        _ => Err(LineError::TimedOut),
    }
}

/// Whether to try again: the loop around it looks at the clock.
fn again(error: std::io::Error) -> Result<(), LineError> {
    match error.kind() {
        ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(()),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Err(LineError::Closed),
        _ => Err(LineError::Socket(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(limit: usize) -> (Lines, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Lines::new(ours, limit).unwrap(), theirs)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[test]
    fn two_messages_in_one_packet_are_two_messages() {
        let (mut ours, mut theirs) = pair(100);
        theirs.write_all(b"1\n2\n3").unwrap();
        assert_eq!(ours.receive::<u8>(soon()).unwrap(), 1);
        assert_eq!(ours.receive::<u8>(soon()).unwrap(), 2);
        let error = ours.receive::<u8>(soon()).unwrap_err();
        assert!(matches!(error, LineError::TimedOut), "half a line: {error}");
        theirs.write_all(b"4\n").unwrap();
        assert_eq!(ours.receive::<u8>(soon()).unwrap(), 34);
    }

    #[test]
    fn a_line_without_end_is_refused_at_the_limit() {
        let (mut ours, mut theirs) = pair(100);
        theirs.write_all(&[b'x'; 200]).unwrap();
        let error = ours.line(soon()).unwrap_err();
        assert!(matches!(error, LineError::TooLong(100)), "{error}");
    }

    #[test]
    fn who_does_not_read_is_not_waited_for() {
        let (mut ours, _theirs) = pair(100);
        let long = "x".repeat(8 << 20);
        let error = ours.send(&long, soon()).unwrap_err();
        assert!(matches!(error, LineError::TimedOut), "{error}");
    }

    #[test]
    fn idle_tells_silence_from_an_end_and_from_speech() {
        let (mut ours, theirs) = pair(100);
        assert!(ours.idle());
        drop(theirs);
        assert!(!ours.idle());
        let error = ours.line(soon()).unwrap_err();
        assert!(matches!(error, LineError::Closed), "{error}");

        let (mut ours, mut theirs) = pair(100);
        theirs.write_all(b"x").unwrap();
        assert!(!ours.idle());
    }
}
