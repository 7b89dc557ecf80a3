//! Declarations kept in the process: gone when it ends.

use super::Declarations;

/// The store of a gateway that keeps no state.
#[derive(Debug, Default)]
pub struct MemoryStore {
    declarations: Declarations,
}

impl MemoryStore {
    /// Everything declared now.
    pub fn read(&self) -> &Declarations {
        &self.declarations
    }

    /// Replaces everything declared.
    pub fn write(&mut self, declarations: Declarations) {
        self.declarations = declarations;
    }
}
