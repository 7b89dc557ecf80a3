//! OAUTHBEARER (RFC 7628, KIP-255), the client's side: a bearer token, and extensions.

use super::dialogue::cleaned;
use super::token::Tokens;
use super::{LoginError, Step};
use crate::config::upstream::OAuth;
use contract::secret::Secret;
use serde_json::Value;
use std::collections::BTreeMap;

/// Where tokens come from, and what goes along.
#[derive(Debug)]
pub(super) struct OAuthBearer {
    tokens: Tokens,
    extensions: BTreeMap<String, String>,
}

impl OAuthBearer {
    pub(super) fn new(settings: &OAuth) -> Result<Self, LoginError> {
        Ok(Self { tokens: Tokens::new(&settings.source)?, extensions: settings.extensions.clone() })
    }

    pub(super) fn principal(&self) -> &str {
        self.tokens.owner()
    }

    pub(super) async fn start(&self) -> Result<Exchange, LoginError> {
        let token = self.tokens.current().await?;
        let mut message = format!("n,,\u{1}auth=Bearer {}", token.reveal());
        for (name, value) in &self.extensions {
            message.push_str(&format!("\u{1}{name}={value}"));
        }
        message.push_str("\u{1}\u{1}");
        Ok(Exchange { message: Secret::new(message), refusal: None })
    }

    /// Forgets the token, which a broker refused: it may have been revoked.
    pub(super) async fn forget(&self) {
        self.tokens.forget().await;
    }
}

/// One login.
#[derive(Debug)]
pub(super) struct Exchange {
    message: Secret,
    /// What the broker has against the token.
    refusal: Option<String>,
}

impl Exchange {
    pub(super) fn first(&self) -> Vec<u8> {
        self.message.reveal().as_bytes().to_vec()
    }

    /// A broker that takes the token says nothing. One that does not sends a JSON object, and its error only after it was
    /// acknowledged.
    pub(super) fn step(&mut self, message: &[u8]) -> Result<Step, LoginError> {
        if let Some(reason) = self.refusal.take() {
            return Err(LoginError::Refused { reason, hint: "the broker does not take the token" });
        }
        if message.is_empty() {
            return Ok(Step::Done);
        }
        let answer = serde_json::from_slice::<Value>(message).unwrap_or_default();
        self.refusal = Some(cleaned(answer["status"].as_str().unwrap_or("invalid_token")));
        Ok(Step::Say(vec![1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        Exchange { message: Secret::new("n,,\u{1}auth=Bearer abc\u{1}\u{1}"), refusal: None }
    }

    #[test]
    fn silence_is_consent() {
        let mut exchange = exchange();
        assert_eq!(exchange.first(), b"n,,\x01auth=Bearer abc\x01\x01");
        assert_eq!(exchange.step(b""), Ok(Step::Done));
        assert!(!format!("{exchange:?}").contains("abc"));
    }

    #[test]
    fn a_refusal_is_acknowledged_and_stays_one() {
        let mut exchange = exchange();
        assert_eq!(exchange.step(br#"{"status":"insufficient_scope"}"#), Ok(Step::Say(vec![1])));
        let refused = exchange.step(b"").unwrap_err();
        assert!(refused.to_string().contains("insufficient_scope"), "{refused}");
    }
}
