//! What it was measured on.

use serde_json::{Value, json};
use std::fs;
use std::thread;

/// Where the kernel keeps the niceness of all that was started from one terminal, together.
const GROUP: &str = "/proc/self/autogroup";

/// Right of way, for all that this run starts, over whatever else the machine does meanwhile.
/// Dropped, it is as before.
pub(crate) struct RightOfWay(Option<String>);

impl RightOfWay {
    /// Takes it, where the kernel has groups of processes (`sched_autogroup`); they share the CPU
    /// by group, so the niceness of one process would say nothing.
    pub(crate) fn take() -> Self {
        let now = fs::read_to_string(GROUP).unwrap_or_default();
        let before = now.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        let taken = before.parse::<i32>().is_ok() && fs::write(GROUP, "-20").is_ok();
        Self(taken.then_some(before))
    }

    /// Whether it was to be had.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for RightOfWay {
    fn drop(&mut self) {
        if let Some(before) = &self.0
            && let Err(error) = fs::write(GROUP, before)
        {
            eprintln!("{GROUP} is still at -20: {error}");
        }
    }
}

/// CPU, kernel, governor, load: what a reader of figures asks first.
pub(crate) fn facts() -> Value {
    let read = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let cpu = read("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    json!({
        "cpu": model,
        "cpus": thread::available_parallelism().ok(),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "governor": read(governor).unwrap_or_else(|| "not the machine's to choose".into()),
        "mitigations": read("/sys/devices/system/cpu/vulnerabilities/spectre_v2"),
        "load": read("/proc/loadavg"),
    })
}
