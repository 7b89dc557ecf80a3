//! Declaring sandboxes on a gateway by its admin API.

use contract::client::AdminClient;
use contract::resources::virtual_cluster::VirtualCluster;
use contract::resources::{GatewayServiceAccount, UpsertResult};

use crate::error::{Failure, Kind, Result};
use crate::state::{Sandbox, Server, State};

const TOKEN_VARIABLE: &str = "SANDBOX_TOKEN";

/// What a declaration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Created,
    Updated,
    Unchanged,
}

impl Action {
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A client of the gateway that a sandbox is on.
pub fn admin(state: &State, server: &Server) -> Result<AdminClient> {
    match server {
        Server::Local => {
            let gateway = state.stack.as_ref().and_then(|stack| stack.gateway.as_ref());
            let gateway = gateway.filter(|gateway| gateway.process.is_alive()).ok_or_else(not_running)?;
            Ok(AdminClient::new(&gateway.admin_url(), &gateway.admin_user, gateway.admin_password.reveal()))
        }
        Server::Url(url) => {
            let token = std::env::var(TOKEN_VARIABLE).unwrap_or_default();
            let (user, password) = token.split_once(':').ok_or_else(|| {
                Failure::new(Kind::Denied, format!("the gateway at {url} needs a login"))
                    .hint(format!("set {TOKEN_VARIABLE} to USER:PASSWORD of an admin of that gateway"))
            })?;
            Ok(AdminClient::new(url, user, password))
        }
    }
}

/// The failure of what needs the local stack when it is not there.
pub fn not_running() -> Failure {
    Failure::new(Kind::Unreachable, "the local stack is not running")
        .hint("`sandbox up NAME --local` starts it, with what it held before")
}

/// Whether the gateway of a sandbox may run, as far as can be told without asking it.
pub fn may_run(state: &State, sandbox: &Sandbox) -> bool {
    let gateway = state.stack.as_ref().and_then(|stack| stack.gateway.as_ref());
    sandbox.server != Server::Local || gateway.is_some_and(|gateway| gateway.process.is_alive())
}

/// Declares the virtual cluster and its account. The same declaration again changes nothing, and a gateway that forgot
/// learns it anew.
pub fn declare(admin: &AdminClient, sandbox: &Sandbox) -> Result<UpsertResult> {
    let cluster = VirtualCluster::new(&sandbox.id).with_prefix(prefix(&sandbox.id));
    let result = admin.put_virtual_cluster(&cluster, false)?.upsert_result;
    let connection = &sandbox.connection;
    let account = GatewayServiceAccount::local(&connection.username, &sandbox.id, Some(connection.password.clone()));
    admin.put_service_account(&account, false)?;
    Ok(result)
}

/// Takes the declaration back: first the account, so that nobody logs in to what is going away.
pub fn withdraw(admin: &AdminClient, sandbox: &Sandbox) -> Result<()> {
    admin.delete_service_account(&sandbox.connection.username, Some(&sandbox.id))?;
    admin.delete_virtual_cluster(&sandbox.id)?;
    Ok(())
}

/// What every physical name of a sandbox begins with.
pub fn prefix(id: &str) -> String {
    format!("{id}.")
}
