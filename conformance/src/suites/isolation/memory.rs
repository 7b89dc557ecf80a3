//! How much memory a process of this machine has.

use std::fs;

/// What the gateway may grow by while it refuses: buffers and threads, not what frames claim.
pub(super) const ALLOWED: u64 = 64 << 20;

/// The resident bytes, where this system tells them.
pub(super) fn resident(pid: Option<u32>) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid?)).ok()?;
    // The highest it ever was: what was given back in between counts as well.
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
}

/// The difference, where both are known.
pub(super) fn grown(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    Some(after?.saturating_sub(before?))
}
