//! Soon.
use anyhow::{Result, bail};
pub(crate) fn run() -> Result<bool> {
    crate::needs::for_demo()?;
    bail!("soon")
}
