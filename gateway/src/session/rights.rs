//! What a session's client may do now: the rules of the present world, looked at before each request, without a lock as long as
//! nothing changed.

use crate::authn::Identity;
use crate::authz::{Access, Authorizer, Requester, Topics};
use crate::naming::Tenant;
use crate::naming::sessions::FetchSessions;
use crate::quotas::rules::Rules;
use crate::world::World;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use wire::read::{Cursor, Malformed};

/// Tells apart what owns fetch sessions.
static OWNERS: AtomicU64 = AtomicU64::new(0);
/// More share sessions than this are begun anew: a client has one on each connection.
const MOST_SHARE_SESSIONS: usize = 100;

/// The rights of one client, and the sessions at the broker that were begun with them.
#[derive(Debug)]
pub(super) struct Rights {
    world: watch::Receiver<Arc<World>>,
    virtual_cluster: Arc<str>,
    principal: String,
    host: IpAddr,
    authorizer: Arc<Authorizer>,
    /// The names of the present world.
    tenant: Arc<Tenant>,
    quotas: Option<Arc<Rules>>,
    /// Whether the gateway has no say.
    left_to_kafka: bool,
    sessions: Option<OwnSessions>,
    /// Group and member of each share session.
    share_sessions: HashSet<(String, String)>,
}

/// The fetch sessions that were begun on this connection with the present rights: nobody else may continue them, and nobody
/// with other rights, since a broker goes on with what a session holds.
#[derive(Debug)]
struct OwnSessions {
    owner: Arc<str>,
    of: Arc<FetchSessions>,
}

impl OwnSessions {
    fn new(tenant: &Tenant) -> Self {
        let number = OWNERS.fetch_add(1, Ordering::Relaxed);
        let owner = FetchSessions::owner(tenant.namespace.prefix(), number);
        Self { owner, of: Arc::clone(&tenant.fetch_sessions) }
    }
}

impl Drop for OwnSessions {
    fn drop(&mut self) {
        self.of.forget(&self.owner);
    }
}

impl Rights {
    pub(super) fn new(
        world: watch::Receiver<Arc<World>>,
        identity: &Identity,
        host: IpAddr,
        tenant: Arc<Tenant>,
    ) -> Self {
        let mut rights = Self {
            world,
            virtual_cluster: Arc::clone(&identity.virtual_cluster),
            principal: format!("User:{}", identity.username),
            host,
            authorizer: Arc::default(),
            tenant,
            quotas: None,
            left_to_kafka: false,
            sessions: None,
            share_sessions: HashSet::new(),
        };
        rights.authorizer = rights.declared();
        rights
    }

    /// Kafka knows the client and has rules of its own: none of the gateway's hold.
    pub(super) fn left_to_kafka(mut self) -> Self {
        self.left_to_kafka = true;
        self.authorizer = self.declared();
        self
    }

    /// Takes the rules of the present world over.
    pub(super) fn renew(&mut self) {
        // Without a sender the world stays what it is.
        if !self.world.has_changed().unwrap_or(false) {
            return;
        }
        let declared = self.declared();
        self.renew_names();
        // Rules that say the same are the same rules.
        if !Arc::ptr_eq(&declared, &self.authorizer) && declared != self.authorizer {
            self.sessions = None;
            self.share_sessions.clear();
        }
        self.authorizer = declared;
    }

    /// Takes the names of the present world over. What is lent no more is not read on: sessions begin anew.
    fn renew_names(&mut self) {
        let namespace = {
            let world = self.world.borrow();
            let Some(declared) = world.virtual_cluster(&self.virtual_cluster) else { return };
            if declared.namespace.is_of(&self.tenant.namespace) {
                return;
            }
            declared.namespace.clone()
        };
        self.tenant = Arc::new(Tenant { namespace, ..Tenant::clone(&self.tenant) });
        self.sessions = None;
        self.share_sessions.clear();
    }

    /// The names for the next request.
    pub(super) const fn tenant(&self) -> &Arc<Tenant> {
        &self.tenant
    }

    /// Whether there is nothing to decide.
    pub(super) fn is_unrestricted(&self) -> bool {
        self.authorizer.is_unrestricted() && !self.tenant.namespace.may_forbid()
    }

    /// How much the client may take, where a quota is declared.
    pub(super) const fn quotas(&self) -> Option<&Arc<Rules>> {
        self.quotas.as_ref()
    }

    /// The rules for the next request.
    pub(super) const fn authorizer(&self) -> &Arc<Authorizer> {
        &self.authorizer
    }

    fn declared(&mut self) -> Arc<Authorizer> {
        let world = self.world.borrow_and_update();
        let declared = world.virtual_cluster(&self.virtual_cluster);
        self.quotas = declared.and_then(|declared| declared.quotas.clone());
        if self.left_to_kafka {
            return Arc::new(Authorizer::unrestricted());
        }
        let declared = declared.map(|declared| Arc::clone(&declared.authorizer));
        // Of a virtual cluster that is gone, the session ends in a moment.
        declared.unwrap_or_else(|| Arc::new(Authorizer::new([], [])))
    }

    /// What decides about the next request.
    pub(super) fn access<'a>(&'a mut self, tenant: &Tenant, topics: &'a dyn Topics) -> Access<'a> {
        if !self.authorizer.is_unrestricted() && self.sessions.is_none() {
            self.sessions = Some(OwnSessions::new(tenant));
        }
        Access {
            authorizer: &self.authorizer,
            who: Requester { principal: &self.principal, host: self.host },
            topics,
            sessions: self.sessions.as_ref().map(|sessions| &sessions.owner),
        }
    }

    /// Whether a ShareFetch may go on: a share session holds topics that are not asked for again, so that it may be continued
    /// only where it was begun, with the rights that it was begun with.
    ///
    /// # Errors
    /// [`Malformed`]
    pub(super) fn may_fetch_share(&mut self, body: &[u8]) -> Result<bool, Malformed> {
        if self.is_unrestricted() {
            return Ok(true);
        }
        let mut cursor = Cursor::new(body);
        let (group, member, epoch) = (text(&mut cursor)?, text(&mut cursor)?, cursor.i32()?);
        let session = (group, member);
        if epoch > 0 {
            return Ok(self.share_sessions.contains(&session));
        }
        if self.share_sessions.len() >= MOST_SHARE_SESSIONS {
            self.share_sessions.clear();
        }
        // The last epoch is -1.
        let _ = if epoch == 0 { self.share_sessions.insert(session) } else { self.share_sessions.remove(&session) };
        Ok(true)
    }
}

/// A text at the start of ShareFetch, all of whose versions are compact ones.
fn text(cursor: &mut Cursor<'_>) -> Result<String, Malformed> {
    let Some(length) = cursor.length(true, true, true)? else { return Ok(String::new()) };
    let at = cursor.at();
    let text = std::str::from_utf8(cursor.take(length)?).map_err(|_| Malformed::Utf8 { at })?;
    Ok(text.to_owned())
}
