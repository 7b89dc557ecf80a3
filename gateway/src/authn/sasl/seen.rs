//! What a login says of itself, seen by somebody who only passes it on, or who wants to know before it is checked.
//!
//! Nothing here is believed: a name is whose the client claims to be, until whoever can check it has said yes. What is not
//! the mechanism's message to the letter has no name, so that the gateway and Kafka cannot read two names out of one message.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::oauthbearer;
use super::scram::ClientFirst;
use crate::authn::Failure;

/// A SASL mechanism whose messages can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
    OAuthBearer,
    AwsMskIam,
}

/// Around the token of an OAUTHBEARER message: names of fields, and what clients add to it (KIP-342).
const AROUND_A_TOKEN: usize = 4 * 1024;
/// The longest message of the other mechanisms: signed requests of AWS, with a session's token, have some kilobytes.
const LONGEST: usize = 12 * 1024;

/// What stands in an AWS_MSK_IAM message, of what a signed request to AWS has.
#[derive(Deserialize)]
struct SignedRequest {
    /// `<access key id>/<date>/<region>/kafka-cluster/aws4_request`
    #[serde(rename = "x-amz-credential")]
    credential: String,
}

/// Whom a token is about. Two of them in one token are an error.
#[derive(Deserialize)]
struct Subject {
    sub: String,
}

impl Mechanism {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 5] = [Self::Plain, Self::ScramSha256, Self::ScramSha512, Self::OAuthBearer, Self::AwsMskIam];

    /// By its registered name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// Its registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::AwsMskIam => "AWS_MSK_IAM",
        }
    }

    /// The longest message that is passed on, in bytes, where tokens may have `longest_token`.
    pub const fn longest_message(self, longest_token: usize) -> usize {
        match self {
            Self::OAuthBearer => longest_token + AROUND_A_TOKEN,
            Self::Plain | Self::ScramSha256 | Self::ScramSha512 | Self::AwsMskIam => LONGEST,
        }
    }

    /// Whose the client's first message claims to be.
    ///
    /// # Errors
    /// [`Failure::Malformed`] for what is no such message, other failures for what the mechanism forbids.
    pub fn claimed(self, message: &[u8]) -> Result<String, Failure> {
        let name = match self {
            Self::Plain => plain(message)?,
            Self::ScramSha256 | Self::ScramSha512 => scram(message)?,
            Self::OAuthBearer => {
                let payload = self.token(message)?.split('.').nth(1).ok_or(Failure::Malformed)?;
                let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).map_err(|_| Failure::Malformed)?;
                serde_json::from_slice::<Subject>(&payload).map_err(|_| Failure::Malformed)?.sub
            }
            Self::AwsMskIam => {
                let request = serde_json::from_slice::<SignedRequest>(message).map_err(|_| Failure::Malformed)?;
                request.credential.split('/').next().unwrap_or_default().to_owned()
            }
        };
        if name.is_empty() { Err(Failure::Malformed) } else { Ok(name) }
    }

    /// The token of an OAUTHBEARER message; no other mechanism's message has one.
    ///
    /// # Errors
    /// [`Failure::Malformed`], [`Failure::ChannelBinding`]
    pub fn token(self, message: &[u8]) -> Result<&str, Failure> {
        if self == Self::OAuthBearer { oauthbearer::token(message) } else { Err(Failure::Malformed) }
    }

    /// Whether an answer of Kafka's that holds no error ends the exchange: the client is who it claims to be.
    ///
    /// `answers` is how many there were, this one included.
    pub fn is_final(self, answers: usize, answer: &[u8]) -> bool {
        match self {
            Self::Plain | Self::AwsMskIam => answers == 1,
            Self::ScramSha256 | Self::ScramSha512 => answers == 2 && answer.starts_with(b"v="),
            // Anything but nothing says in JSON why the token is not taken.
            Self::OAuthBearer => answers == 1 && answer.is_empty(),
        }
    }
}

fn plain(message: &[u8]) -> Result<String, Failure> {
    let parts = message.split(|byte| *byte == 0).map(std::str::from_utf8).collect::<Result<Vec<_>, _>>();
    match parts.as_deref() {
        Ok([authorization_id, username, _]) if authorization_id.is_empty() || authorization_id == username => {
            Ok((*username).to_owned())
        }
        Ok([_, _, _]) => Err(Failure::OtherAuthorizationId),
        _ => Err(Failure::Malformed),
    }
}

fn scram(message: &[u8]) -> Result<String, Failure> {
    let message = std::str::from_utf8(message).map_err(|_| Failure::Malformed)?;
    let first = ClientFirst::parse(message)?;
    // The name is then a delegation token's, and whose it is only Kafka knows (KIP-48).
    if first.bare.split(',').skip(2).any(|extension| extension.starts_with("tokenauth=")) {
        return Err(Failure::DelegationToken);
    }
    Ok(first.username)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("{}.{}.sig", BASE64_URL_SAFE_NO_PAD.encode("{}"), BASE64_URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn every_mechanism_says_whose_it_is() {
        let bearer = format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", token(r#"{"iss":"x","sub":"svc-1"}"#));
        let iam = r#"{"version":"2020_10_22","x-amz-credential":"AKIDEXAMPLE/20260101/eu-west-1/kafka-cluster/aws4_request"}"#;
        for (mechanism, message, name) in [
            (Mechanism::Plain, "\0alice\0secret", "alice"),
            (Mechanism::Plain, "alice\0alice\0secret", "alice"),
            (Mechanism::ScramSha256, "n,,n=al=2Cice,r=abc", "al,ice"),
            (Mechanism::ScramSha512, "n,a=alice,n=alice,r=abc", "alice"),
            (Mechanism::OAuthBearer, bearer.as_str(), "svc-1"),
            (Mechanism::AwsMskIam, iam, "AKIDEXAMPLE"),
        ] {
            assert_eq!(mechanism.claimed(message.as_bytes()), Ok(name.to_owned()), "{message}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_has_no_name() {
        let bearer = |payload: &str| format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", token(payload));
        for (mechanism, message, failure) in [
            (Mechanism::Plain, "root\0alice\0secret".to_owned(), Failure::OtherAuthorizationId),
            (Mechanism::Plain, "\0alice".to_owned(), Failure::Malformed),
            (Mechanism::Plain, "\0\0x".to_owned(), Failure::Malformed),
            (Mechanism::Plain, "\0alice\0x\0bob\0y".to_owned(), Failure::Malformed),
            (Mechanism::ScramSha256, "n,,n=tok,r=abc,tokenauth=true".to_owned(), Failure::DelegationToken),
            (Mechanism::ScramSha256, "n,a=root,n=alice,r=abc".to_owned(), Failure::OtherAuthorizationId),
            (Mechanism::OAuthBearer, bearer(r#"{"sub":"a","sub":"b"}"#), Failure::Malformed),
            (Mechanism::OAuthBearer, bearer("{}"), Failure::Malformed),
            (Mechanism::OAuthBearer, "n,,\u{1}auth=Bearer x\u{1}\u{1}".to_owned(), Failure::Malformed),
            (Mechanism::AwsMskIam, "{}".to_owned(), Failure::Malformed),
            (
                Mechanism::AwsMskIam,
                r#"{"x-amz-credential":"A/1","x-amz-credential":"B/1"}"#.to_owned(),
                Failure::Malformed,
            ),
        ] {
            assert_eq!(mechanism.claimed(message.as_bytes()), Err(failure), "{message}");
        }
    }

    #[test]
    fn an_answer_that_only_looks_good_is_not_the_end() {
        assert!(Mechanism::Plain.is_final(1, b""));
        assert!(!Mechanism::ScramSha256.is_final(1, b"r=abc,s=def,i=4096"));
        assert!(!Mechanism::ScramSha256.is_final(1, b"v=abc"), "the client has proven nothing yet");
        assert!(!Mechanism::ScramSha256.is_final(2, b"e=invalid-proof"));
        assert!(Mechanism::ScramSha512.is_final(2, b"v=abc"));
        assert!(Mechanism::OAuthBearer.is_final(1, b""));
        assert!(!Mechanism::OAuthBearer.is_final(1, br#"{"status":"invalid_token"}"#));
        assert!(!Mechanism::OAuthBearer.is_final(2, b""), "a refused token stays refused");
    }
}
