//! Waiting, with a limit and a clear word when it is over.

use anyhow::{Result, bail};
use std::thread;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(20);

/// Waits until `holds` says yes; `what` names it if it never does.
///
/// # Errors
///
/// If it does not hold within `limit`.
pub fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    value_within(what, limit, || holds().then_some(()))
}

/// Waits until `look` sees something, and returns it; `what` names it if it never does.
///
/// # Errors
///
/// If nothing is seen within `limit`.
pub fn value_within<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        if Instant::now() > end {
            bail!("waited {limit:?} in vain: {what}");
        }
        thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_comes_is_named() {
        let error = until("the moon is full", Duration::from_millis(30), || false);
        assert!(error.unwrap_err().to_string().contains("the moon is full"));
    }

    #[test]
    fn what_comes_late_is_returned() {
        let mut looks = 0;
        let seen = value_within("third look", Duration::from_secs(5), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(seen.unwrap(), 3);
    }
}
