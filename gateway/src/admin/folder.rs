//! Declarations that are files of a folder: what they say holds, and nothing else changes it.

use std::sync::Arc;

use contract::resources::Resource;

use crate::authn::Account;
use crate::authn::credentials::Credentials;
use crate::store::folder::{Folder, Look};
use crate::store::{Change, Declarations};
use crate::world::check_password;

/// A folder, and whether its files were ever right.
#[derive(Debug)]
pub(super) struct Watched {
    folder: Arc<std::sync::Mutex<Folder>>,
    path: String,
    pub(super) has_read: bool,
}

/// What the files of a folder say.
#[derive(Debug)]
pub(super) enum Files {
    Unchanged,
    Declare(Declarations),
    /// Everything that is wrong with them.
    Wrong(String),
}

impl Watched {
    pub(super) fn new(folder: Folder) -> Self {
        let path = folder.path().display().to_string();
        Self { folder: Arc::new(std::sync::Mutex::new(folder)), path, has_read: false }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Looks at the files. Passwords that are as they were keep their verifiers.
    pub(super) async fn look(&self, now: Arc<Declarations>) -> Files {
        let (folder, path, had_some) = (Arc::clone(&self.folder), self.path.clone(), !now.is_empty());
        // Files, and the derivation of verifiers, take time that the threads that serve clients do not have.
        let looked = tokio::task::spawn_blocking(move || {
            let look = folder.lock().unwrap_or_else(std::sync::PoisonError::into_inner).look();
            match look {
                Look::Nothing => Files::Unchanged,
                Look::Wrong(reason) => Files::Wrong(reason),
                // A volume that is not mounted looks like this; nobody removes every tenant by mistake.
                Look::Declared(resources) if resources.is_empty() && had_some => Files::Wrong(format!(
                    "the folder {path} holds no resources any more: restart the gateway if nothing shall be declared"
                )),
                Look::Declared(resources) => declarations(resources, &now).map_or_else(Files::Wrong, Files::Declare),
            }
        });
        looked.await.unwrap_or_else(|error| Files::Wrong(error.to_string()))
    }
}

fn declarations(resources: Vec<Resource>, now: &Declarations) -> Result<Declarations, String> {
    let (mut declared, mut problems) = (Declarations::default(), Vec::new());
    for resource in resources {
        declared.apply(match resource {
            Resource::VirtualCluster(cluster) => Change::PutVirtualCluster(Box::new(cluster)),
            Resource::GatewayServiceAccount(account) => {
                if let Err(problem) = check_password(&account) {
                    problems.push(problem.to_string());
                    continue;
                }
                let key = (account.virtual_cluster().to_owned(), account.metadata.name.clone());
                let known = now.accounts.get(&key).and_then(|known| known.credentials.clone());
                let credentials = match &account.spec.password {
                    None => None,
                    Some(password) => match known.filter(|known| known.is_password(password.reveal())) {
                        Some(known) => Some(known),
                        None => Some(
                            Credentials::from_password(password.reveal())
                                .map_err(|_| "the system gave no random salt for a password: try again".to_owned())?,
                        ),
                    },
                };
                Change::PutAccount(Arc::new(Account::new(account, credentials)))
            }
            other => Change::Put(Box::new(other)),
        });
    }
    if problems.is_empty() { Ok(declared) } else { Err(problems.join("\n")) }
}
