//! Where the sandbox keeps things: what it downloads (can be deleted at any time) and what it remembers.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::error::{Failure, Kind, Result};

/// The variable that puts everything below one directory, for tests and for people who want it elsewhere.
pub const HOME_VARIABLE: &str = "SANDBOX_HOME";

#[derive(Debug, Clone)]
pub struct Home {
    /// Kafka's jars and class-data archives.
    pub cache: PathBuf,
    /// The state file, configurations, logs and the broker's data.
    pub state: PathBuf,
}

impl Home {
    /// From `SANDBOX_HOME`, else from the platform's conventions (XDG).
    pub fn find() -> Result<Self> {
        if let Some(root) = std::env::var_os(HOME_VARIABLE).filter(|root| !root.is_empty()) {
            return Ok(Self::under(Path::new(&root)));
        }
        let base = etcetera::choose_base_strategy().map_err(|error| {
            Failure::new(Kind::Usage, format!("no home directory: {error}"))
                .hint(format!("set {HOME_VARIABLE} to a directory"))
        })?;
        let state = base.state_dir().unwrap_or_else(|| base.data_dir());
        Ok(Self { cache: base.cache_dir().join("sandbox"), state: state.join("sandbox") })
    }

    pub fn under(root: &Path) -> Self {
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        Self { cache: root.join("cache"), state: root.join("state") }
    }

    /// Where the broker keeps its data.
    pub fn broker(&self) -> PathBuf {
        self.state.join("broker")
    }

    pub fn broker_log(&self) -> PathBuf {
        self.state.join("broker.log")
    }

    pub fn gateway_config(&self) -> PathBuf {
        self.state.join("gateway.yaml")
    }

    pub fn gateway_log(&self) -> PathBuf {
        self.state.join("gateway.log")
    }
}

/// Makes a directory and its parents, readable by the owner alone.
pub fn private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Failure::file("create the directory", path, &error))
}

/// Writes a file that only the owner may read: whole or not at all.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension(format!("{}.part", std::process::id()));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    written.map_err(|error| {
        // What is half written must not stay behind; the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        Failure::file("write", path, &error)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole_and_closed_to_others() {
        let dir = std::env::temp_dir().join(format!("home-test-{}", std::process::id()));
        private_dir(&dir).unwrap();
        let path = dir.join("state.json");
        write_private(&path, "one").unwrap();
        write_private(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }
}
