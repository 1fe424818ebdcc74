//! The control socket of `ovs-vswitchd`: one JSON-RPC question, one answer.
//!
//! `ovs-appctl` says the same, at the price of a process each.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an answer may take: the switch answers between two rounds of its main loop.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks `method` with `words` over a connection of its own; returns what is said.
///
/// The switch takes new connections once a round, before it reads from any, and looks after its
/// datapath between two rounds. So when the second of two calls is answered, what the first put
/// into a device's queue has been through the datapath.
pub(crate) fn ask(socket: &Path, method: &str, words: &[&str]) -> Result<String> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("nobody listens at {}", socket.display()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let question = json!({ "id": 0, "method": method, "params": words });
    stream.write_all(question.to_string().as_bytes())?;
    let mut answers =
        serde_json::Deserializer::from_reader(BufReader::new(&stream)).into_iter::<Value>();
    let answer = answers.next().context("no answer")?;
    let answer = answer.with_context(|| format!("{method} was not answered in {LIMIT:?}"))?;
    if let Some(error) = answer["error"].as_str() {
        bail!("{method} {}: {}", words.join(" "), error.trim());
    }
    Ok(answer["result"].as_str().unwrap_or_default().to_owned())
}
