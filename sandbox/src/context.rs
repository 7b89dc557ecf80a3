//! What every command is given.

use std::path::PathBuf;

use crate::error::Result;
use crate::home::Home;
use crate::naming::{self, Name, Surroundings};
use crate::output::Console;

#[derive(Debug)]
pub struct Context {
    pub home: Home,
    pub console: Console,
    /// The executable of the sandbox, which starts what runs in the background.
    pub launcher: PathBuf,
    /// Where the command was called, or `-C`.
    pub directory: PathBuf,
    /// The admin address of a gateway, if one was named.
    pub server: Option<String>,
}

impl Context {
    /// The sandbox that a command means.
    pub fn name(&self, argument: Option<&str>) -> Result<Name> {
        let variable = |name: &str| std::env::var(name).ok();
        naming::resolve(argument, &Surroundings { directory: &self.directory, variable: &variable })
    }
}
