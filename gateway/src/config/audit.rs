//! What is recorded of who came, what was refused and what was changed, and where.

use std::path::PathBuf;
use std::time::Duration;

use contract::secret::Secret;

/// The audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// How this gateway calls itself in events.
    pub node: Option<String>,
    /// A file.
    pub file: Option<AuditFile>,
    /// Standard output.
    pub stdout: bool,
    /// Without one, whoever may write the record can also compute its hashes anew.
    pub chain_key: Option<Secret>,
    /// Events that wait to be recorded.
    pub queue: usize,
    /// So many failed logins of one principal or address raise an alert.
    pub failures: u32,
    /// Within this time.
    pub window: Duration,
}

/// The file that events are appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFile {
    pub path: PathBuf,
    /// Whether each batch is on the disk before the next one is taken.
    pub fsync: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            node: None,
            file: None,
            stdout: false,
            chain_key: None,
            queue: 8192,
            failures: 10,
            window: Duration::from_secs(60),
        }
    }
}
