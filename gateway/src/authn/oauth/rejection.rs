//! Why a token is not taken: in full for the operator, as much as the bearer may know for the client.

use std::fmt;

use crate::observe::shown::Shown;

/// What was wrong with a token. `Display` is for the log: what it shows of the token is made fit to be shown, and no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// Not three parts in base64 with JSON in them, or something in them that cannot be.
    Malformed(&'static str),
    /// Signed in a way that is not allowed, or not at all.
    Algorithm(Shown),
    /// The header is of something else than an access or identity token.
    Kind(Shown),
    /// No published key has this id. The second text says why there may be none, if the provider could not be asked.
    UnknownKey { id: Shown, provider: Option<String> },
    /// The key of this id is for other algorithms.
    KeyOfOtherAlgorithm { id: Shown, algorithm: &'static str },
    /// The token names no key, and there is not exactly one that fits.
    KeyNotNamed,
    /// No key was ever fetched, and why.
    NoKeys(String),
    /// The key did not make the signature.
    Signature,
    /// Another issuer than the expected one.
    Issuer(Shown),
    /// Made for somebody else.
    Audience(Shown),
    /// Seconds since it expired.
    Expired(u64),
    /// Seconds until it may be used, beyond the skew that is allowed.
    NotYetValid(u64),
    /// Seconds by which it was made in the future, beyond the skew that is allowed.
    FromTheFuture(u64),
    /// A claim without which no token is taken, or with a value of the wrong kind.
    Claim(String),
    /// A claim that does not have the required value.
    RequiredClaim(String),
    /// A scope that it does not have.
    Scope(String),
}

impl Rejection {
    /// What the client is told. Before the signature is known to be right that is what the sender could see for itself;
    /// behind it, which claim was wrong, and never what was expected.
    pub fn message(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Authentication failed: the token is not a signed JSON Web Token",
            Self::Algorithm(_) => "Authentication failed: the token's signature algorithm is not allowed",
            Self::Kind(_) => "Authentication failed: the token is no access token",
            Self::UnknownKey { .. } | Self::KeyOfOtherAlgorithm { .. } | Self::KeyNotNamed => {
                "Authentication failed: the token is not signed with a key of the identity provider"
            }
            Self::NoKeys(_) => "Authentication failed: the identity provider cannot be asked for its keys: try again",
            Self::Signature => "Authentication failed: the token's signature is wrong",
            Self::Issuer(_) => "Authentication failed: the token is from another issuer",
            Self::Audience(_) => "Authentication failed: the token is for another audience",
            Self::Expired(_) => "Authentication failed: the token has expired",
            Self::NotYetValid(_) => "Authentication failed: the token is not valid yet: compare the clocks",
            Self::FromTheFuture(_) => "Authentication failed: the token is from the future: compare the clocks",
            Self::Claim(_) => "Authentication failed: the token lacks a claim",
            Self::RequiredClaim(_) => "Authentication failed: a claim of the token does not have the required value",
            Self::Scope(_) => "Authentication failed: the token lacks a scope",
        }
    }

    /// The status of the error challenge (RFC 7628 section 3.2.2; the words are those of RFC 6750).
    pub fn status(&self) -> &'static str {
        match self {
            Self::Scope(_) => "insufficient_scope",
            Self::Malformed(_) => "invalid_request",
            _ => "invalid_token",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "token refused: not a signed JSON Web Token: {what}"),
            Self::Algorithm(name) => write!(f, "token refused: signed by '{name}', which is not an allowed algorithm"),
            Self::Kind(kind) => write!(f, "token refused: its type is '{kind}', not that of an access token"),
            Self::UnknownKey { id, provider: None } => {
                write!(f, "token refused: the identity provider publishes no key '{id}'")
            }
            Self::UnknownKey { id, provider: Some(reason) } => {
                write!(f, "token refused: no key '{id}' is known, and the identity provider cannot be asked: {reason}")
            }
            Self::KeyOfOtherAlgorithm { id, algorithm } => {
                write!(f, "token refused: signed by {algorithm}, which key '{id}' is not for")
            }
            Self::KeyNotNamed => f.write_str("token refused: names no key, and more or fewer than one would fit"),
            Self::NoKeys(reason) => write!(f, "token refused: no keys of the identity provider are known: {reason}"),
            Self::Signature => f.write_str("token refused: the key it names did not make its signature"),
            Self::Issuer(issuer) => write!(f, "token refused: issued by '{issuer}', not by oauth.expectedIssuer"),
            Self::Audience(audience) => {
                write!(f, "token refused: made for '{audience}', which is not in oauth.expectedAudiences")
            }
            Self::Expired(seconds) => write!(f, "token refused: expired {seconds} s ago"),
            Self::NotYetValid(seconds) => write!(
                f,
                "token refused: not valid before another {seconds} s; compare the clocks, see oauth.clockSkewSeconds"
            ),
            Self::FromTheFuture(seconds) => write!(
                f,
                "token refused: issued {seconds} s in the future; compare the clocks, see oauth.clockSkewSeconds"
            ),
            Self::Claim(name) => write!(f, "token refused: has no claim '{name}' of the right kind"),
            Self::RequiredClaim(name) => {
                write!(f, "token refused: claim '{name}' does not have the value of oauth.requiredClaims")
            }
            Self::Scope(name) => write!(f, "token refused: lacks scope '{name}' of oauth.requiredScopes"),
        }
    }
}
