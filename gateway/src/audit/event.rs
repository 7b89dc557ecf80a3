//! What is recorded: who did what, from where, and what became of it. No field can hold a payload, a password or a key, and
//! whatever a client chose is [`Shown`].

use std::net::SocketAddr;
use std::time::SystemTime;

use crate::authn::Identity;
use crate::observe::shown::Shown;

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct Event {
    pub(super) time: SystemTime,
    pub(super) origin: Origin,
    pub(super) action: Action,
}

/// Who did it, where, and from where, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    pub(super) principal: Option<Shown>,
    pub(super) user: Option<Shown>,
    pub(super) virtual_cluster: Option<Shown>,
    pub(super) connection: Connection,
}

/// The two ends of a client's connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The gateway's end.
    pub local: Option<SocketAddr>,
    /// The client's end.
    pub remote: Option<SocketAddr>,
}

/// How a change of what is declared is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It was not there.
    Created,
    /// It was there and is another now.
    Updated,
    /// It is gone.
    Deleted,
}

/// What happened. Names of topics, groups and so on are the virtual ones, as the client said them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// A client proved who it is.
    AuthenticationSucceeded {
        /// Such as `SCRAM-SHA-512`, or `SSL` for a certificate.
        mechanism: Shown,
    },
    /// A client could not prove who it is. Whom it claimed to be is the event's principal.
    AuthenticationFailed {
        /// As the client asked for it.
        mechanism: Shown,
        /// For the operator: the client is told less.
        reason: Shown,
    },
    /// An authenticated client may not do this.
    AuthorizationDenied {
        /// The API's name, such as `Produce`.
        api: Shown,
        /// The operation of the ACL that is missing or denies, such as `WRITE`.
        operation: Shown,
        /// Such as `TOPIC`.
        resource_type: Shown,
        /// The virtual name.
        resource: Shown,
    },
    /// The gateway refused a request for another reason than a missing right.
    RequestRefused {
        /// The API's name, or `unknown`.
        api: Shown,
        /// Why.
        reason: Shown,
    },
    /// A connection was closed before anything was read from it.
    ConnectionRefused {
        /// Why.
        reason: Shown,
    },
    /// A session ended by the gateway's will: credentials expired, rights revoked, account or tenant removed.
    SessionEnded {
        /// Why.
        reason: Shown,
    },
    /// What is declared was changed by the admin API.
    ConfigurationChanged {
        /// How.
        change: Change,
        /// The resource's kind, such as `VirtualCluster`.
        kind: Shown,
        /// Its name.
        name: Shown,
    },
    /// An ACL was made or removed, by Kafka's API or by the admin API.
    AclChanged {
        /// How.
        change: Change,
        /// The binding, such as `ALLOW User:alice READ TOPIC LITERAL orders from *`.
        binding: Shown,
    },
    /// Somebody without the credentials of an admin user, or without the right, asked the admin API.
    AdminRefused {
        /// The HTTP method.
        method: Shown,
        /// The path without its query.
        path: Shown,
        /// Why.
        reason: Shown,
    },
    /// A request to the admin API (`audit.adminRequests`).
    AdminRequest {
        /// The HTTP method.
        method: Shown,
        /// The path without its query.
        path: Shown,
        /// The status of the answer.
        status: u16,
    },
    /// A client used a topic (`audit.apiRequests`, `audit.sensitiveTopics`).
    TopicUsed {
        /// The API's name, such as `Fetch`.
        api: Shown,
        /// The virtual name.
        topic: Shown,
        /// Whether it is one of `audit.sensitiveTopics`.
        sensitive: bool,
    },
    /// Certificates or keys were read anew, or could not be.
    CertificateReloaded {
        /// What they are for, such as a listener's name.
        purpose: Shown,
        /// The subject and the end of validity, or why the former ones stay in use.
        outcome: Result<Shown, Shown>,
    },
    /// Another physical cluster serves clients.
    UpstreamSwitched {
        /// The name of the one before.
        from: Shown,
        /// The name of the one from now on.
        to: Shown,
        /// Counts the switches.
        epoch: u64,
    },
    /// Something that a rule of [`super::anomaly`] watches for.
    Alert {
        /// The rule's name.
        rule: &'static str,
        /// Whom or what it is about.
        subject: Shown,
        /// What was seen.
        detail: Shown,
    },
    /// Events that could not be kept.
    EventsLost {
        /// How many.
        count: u64,
        /// Where they were lost: `queue`, or a sink's name.
        at: &'static str,
    },
    /// More different events of a type than are told apart at a time.
    Various {
        /// Their type.
        of: &'static str,
    },
    /// A chain begins, or goes on after a pause.
    ChainStarted {
        /// Why.
        because: Shown,
    },
}

impl Origin {
    /// Somebody who is in no virtual cluster.
    pub fn new(principal: Option<&str>, connection: Connection) -> Self {
        Self { principal: principal.map(Shown::from), connection, ..Self::default() }
    }

    /// A client that has proved who it is.
    pub fn of(identity: &Identity, connection: Connection) -> Self {
        let (user, virtual_cluster) = ((&*identity.username).into(), (&*identity.virtual_cluster).into());
        Self { principal: None, user: Some(user), virtual_cluster: Some(virtual_cluster), connection }
    }
}

impl Event {
    /// Something that happened now.
    pub fn new(action: Action) -> Self {
        Self { time: SystemTime::now(), origin: Origin::default(), action }
    }

    /// Comes from where something else did.
    #[must_use]
    pub fn from_where(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// What happened.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Done by a client that has proved who it is.
    #[must_use]
    pub fn by(mut self, identity: &Identity) -> Self {
        self.origin.user = Some((&*identity.username).into());
        self.origin.virtual_cluster = Some((&*identity.virtual_cluster).into());
        self
    }

    /// What the client called itself when it logged in, proved or not: a user name, a certificate's subject, a token's.
    #[must_use]
    pub fn claimed(mut self, principal: &str) -> Self {
        self.origin.principal = Some(principal.into());
        self
    }

    /// Concerns a virtual cluster.
    #[must_use]
    pub fn virtual_cluster(mut self, name: &str) -> Self {
        self.origin.virtual_cluster = Some(name.into());
        self
    }

    /// Done over a connection.
    #[must_use]
    pub fn over(mut self, connection: Connection) -> Self {
        self.origin.connection = connection;
        self
    }
}

impl Action {
    /// How the event is called in the record, and as a label of its counter.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::AuthenticationSucceeded { .. } | Self::AuthenticationFailed { .. } => "AUTHENTICATION",
            Self::AuthorizationDenied { .. } => "AUTHORIZATION",
            Self::RequestRefused { .. } => "REQUEST_REFUSED",
            Self::ConnectionRefused { .. } => "CONNECTION_REFUSED",
            Self::SessionEnded { .. } => "SESSION_ENDED",
            Self::ConfigurationChanged { .. } => "CONFIGURATION",
            Self::AclChanged { .. } => "ACL",
            Self::AdminRefused { .. } => "ADMIN_REFUSED",
            Self::AdminRequest { .. } => "ADMIN_REQUEST",
            Self::TopicUsed { .. } => "TOPIC_USED",
            Self::CertificateReloaded { .. } => "CERTIFICATE",
            Self::UpstreamSwitched { .. } => "UPSTREAM_SWITCH",
            Self::Alert { .. } => "ALERT",
            Self::EventsLost { .. } => "EVENTS_LOST",
            Self::Various { .. } => "VARIOUS",
            Self::ChainStarted { .. } => "CHAIN_STARTED",
        }
    }
}
