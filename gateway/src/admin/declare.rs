//! Changes of what is declared. A change holds as a whole or not at all.

use std::sync::{Arc, Mutex, PoisonError};

use contract::resources::UpsertResult;
use tokio::sync::watch;

use super::answer::ApiError;
use crate::store::Declarations;
use crate::store::memory::MemoryStore;
use crate::world::{self, World};

/// The only way to change the world.
#[derive(Debug)]
pub(super) struct Declare {
    store: Mutex<MemoryStore>,
    world: watch::Sender<Arc<World>>,
}

impl Declare {
    pub(super) fn new(world: watch::Sender<Arc<World>>) -> Self {
        Self { store: Mutex::default(), world }
    }

    /// Looks at what is declared now.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Declarations) -> T) -> T {
        look(self.store.lock().unwrap_or_else(PoisonError::into_inner).read())
    }

    /// Changes a copy; keeps and publishes it if it makes a world and this is not a dry run.
    pub(super) fn change<T>(
        &self,
        dry_run: bool,
        change: impl FnOnce(&mut Declarations) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        // Held throughout: two changes at once would each build a world without the other.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut declarations = store.read().clone();
        let answer = change(&mut declarations)?;
        let world = world::build(declarations.virtual_clusters.values(), declarations.accounts.values())
            .map_err(|problems| ApiError::problems(&problems))?;
        if !dry_run {
            store.write(declarations);
            self.world.send_replace(Arc::new(world));
        }
        Ok(answer)
    }
}

/// What putting `new` in the place of `old` means.
pub(super) fn upsert_result<T: PartialEq>(old: Option<&T>, new: &T) -> UpsertResult {
    match old {
        None => UpsertResult::Created,
        Some(old) if old == new => UpsertResult::NotChanged,
        Some(_) => UpsertResult::Updated,
    }
}
