//! Who a client is. Pure, except for [`oauth::provider`], which fetches keys in the background; accounts come in through
//! [`AccountLookup`].
//!
//! Invariant: nothing a client can see or time tells whether a user name exists.

pub mod credentials;
pub mod external;
pub mod oauth;
pub mod principal;
pub mod sasl;
pub mod tokens;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use contract::resources::{AccountType, GatewayServiceAccount};
use credentials::Credentials;
use oauth::Rejection;

/// What the gateway keeps of a service account: the declaration without its password, and the verifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The declaration. Its password has been taken out.
    pub declared: GatewayServiceAccount,
    pub username: Arc<str>,
    pub virtual_cluster: Arc<str>,
    /// `None` when no password was ever set: such an account logs in with tokens only.
    pub credentials: Option<Credentials>,
}

impl Account {
    /// An external account has no credentials here, whatever it had before.
    pub fn new(mut declared: GatewayServiceAccount, credentials: Option<Credentials>) -> Self {
        declared.spec.password = None;
        let credentials = credentials.filter(|_| declared.spec.account_type == AccountType::Local);
        let username = Arc::from(declared.metadata.name.as_str());
        let virtual_cluster = Arc::from(declared.virtual_cluster());
        Self { declared, username, virtual_cluster, credentials }
    }

    /// Whether the gateway itself knows how the account proves who it is.
    pub fn is_local(&self) -> bool {
        self.declared.spec.account_type == AccountType::Local
    }

    /// What others call an external account.
    pub fn external_names(&self) -> &[String] {
        self.declared.spec.external_names.as_deref().unwrap_or_default()
    }
}

/// Finds accounts; the whole of what a login needs to know about the world.
pub trait AccountLookup: Send + Sync {
    /// By the user name.
    fn account(&self, username: &str) -> Option<Arc<Account>>;

    /// By one of the names that others have for it. At most one account has a name.
    fn by_external_name(&self, name: &str) -> Option<Arc<Account>>;
}

/// Who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub username: Arc<str>,
    pub virtual_cluster: Arc<str>,
    /// When the session must end, for credentials that expire.
    pub expires_at: Option<SystemTime>,
    /// The declared identity provider that vouched for it, as it was then: the session ends with it.
    pub provider: Option<Arc<crate::config::OAuth>>,
}

/// Why a login failed: for the log and the metrics. The client gets [`Failure::message`] and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The user does not exist, has no such credentials, or the proof is wrong.
    InvalidCredentials,
    /// The message does not follow the mechanism's grammar.
    Malformed,
    /// The message is longer than any honest one.
    TooLong,
    /// The client wants to act as somebody else.
    OtherAuthorizationId,
    /// The client insists on channel binding, which needs TLS.
    ChannelBinding,
    /// A message after the exchange has ended.
    OutOfTurn,
    /// The operating system gave no random bytes.
    NoRandomness,
    /// The client is who it says, and no account is for it.
    Unmapped,
    /// The token of the identity provider is not taken.
    Token(Box<Rejection>),
    /// A delegation token of Kafka's (KIP-48) to which the gateway knows no owner.
    DelegationToken,
}

impl Failure {
    /// For the operator; the client is told [`Failure::message`].
    pub fn reason(&self) -> Cow<'static, str> {
        let reason = match self {
            Self::InvalidCredentials => "unknown user, no such credentials, or wrong proof",
            Self::Malformed => "a message that does not follow the mechanism",
            Self::TooLong => "a message that is too long",
            Self::OtherAuthorizationId => "an authorization id other than the user name",
            Self::ChannelBinding => "channel binding, which is not supported",
            Self::OutOfTurn => "a message after the exchange has ended",
            Self::NoRandomness => "the operating system gives no random bytes",
            Self::Unmapped => "no service account has this identity",
            Self::Token(rejection) => return rejection.to_string().into(),
            Self::DelegationToken => "a delegation token of Kafka's, whose owner only Kafka knows",
        };
        reason.into()
    }

    /// What the client is told.
    pub fn message(&self) -> &'static str {
        match self {
            Self::InvalidCredentials => "Authentication failed: unknown user or wrong credentials",
            Self::Malformed => "Authentication failed: the message does not follow the SASL mechanism",
            Self::TooLong => "Authentication failed: the message is too long",
            Self::OtherAuthorizationId => "Authentication failed: the authorization id differs from the user name",
            Self::ChannelBinding => "Authentication failed: channel binding is not supported",
            Self::OutOfTurn => "Authentication failed: the exchange has already ended",
            Self::NoRandomness => "Authentication failed: try again",
            Self::Unmapped => "Authentication failed: no service account has this identity",
            Self::Token(rejection) => rejection.message(),
            Self::DelegationToken => "Authentication failed: delegation tokens are not taken, log in with a password",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(rejection) => write!(f, "{rejection}"),
            other => f.write_str(other.message()),
        }
    }
}
