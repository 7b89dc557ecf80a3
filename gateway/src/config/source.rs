//! Where settings come from, so that they can be read again, and which of them are others then.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

use super::settings::settings;
use super::{Config, ConfigError, Loaded};

/// A file, and variables as they were when the process began.
pub struct Source {
    file: Option<PathBuf>,
    variables: Vec<(String, String)>,
}

/// The values of all settings that were given, by path.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Given(BTreeMap<&'static str, Value>);

impl Source {
    /// Nothing is read yet.
    pub fn new(file: Option<PathBuf>, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { file, variables: variables.into_iter().collect() }
    }

    /// Reads the file, if there is one, and lets variables override it.
    ///
    /// # Errors
    /// [`ConfigError`]
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        Config::load(self.file(), self.variables.iter().cloned())
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

// Variables hold passwords.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Given {
    pub(super) fn new(given: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        Self(given.into_iter().collect())
    }

    /// The paths of the settings that have another value there, or only one of both has.
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        let paths = settings().map(|setting| setting.path);
        paths.filter(|path| self.0.get(path) != other.0.get(path)).collect()
    }
}

// Values may be secret.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
