//! From a client's certificate to a name: Kafka's `ssl.principal.mapping.rules`.
//!
//! A list of `DEFAULT` and `RULE:pattern/replacement/[L|U]`, of which the first that fits the whole subject decides. It is read
//! and applied as Kafka's `SslPrincipalMapper` does it, its surprises included. Patterns are Java's where they mean the
//! same to the engine used here, which takes linear time; other constructs are refused when the settings are read.

mod pattern;
mod replacement;

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use regex::Regex;

use crate::transport::tls::certificate::Certificate;
use crate::transport::tls::names;
use pattern::Pattern;
use replacement::Replacement;

/// Java's `\s` and `.`; the rest of the two expressions is the same in both languages.
const SPACE: &str = r"[ \t\n\x0B\f\r]";
const ANY: &str = r"[^\n\r\x{85}\x{2028}\x{2029}]";
/// A subject is cut off by no limit in X.509; one that is longer than this is nobody's.
const LONGEST_SUBJECT: usize = 4096;

static RULE: LazyLock<String> =
    LazyLock::new(|| format!(r"(DEFAULT)|RULE:((?:\\{ANY}|[^\\/])*)/((?:\\{ANY}|[^\\/])*)/([LU]?){ANY}*?|({ANY}*?)"));

/// Rules, ready to be applied.
#[derive(Debug)]
pub struct PrincipalRules(Vec<Rule>);

#[derive(Debug)]
enum Rule {
    Default,
    Map { pattern: Box<Pattern>, replacement: Replacement, case: Case },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Kept,
    Lower,
    Upper,
}

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the principal mapping rule '{rule}' {reason}")]
pub struct RuleError {
    pub rule: String,
    pub reason: String,
}

/// Why a certificate names nobody. The client is told nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPrincipal {
    #[error("the certificate's subject cannot be read")]
    Unreadable,
    #[error("the certificate's subject is empty or too long")]
    NoSubject,
    #[error("no principal mapping rule fits the certificate's subject")]
    NoRule,
    #[error("the certificate has expired")]
    Expired,
}

/// Who a certificate is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What the rules make of the subject.
    pub name: String,
    /// When the certificate ends.
    pub expires_at: SystemTime,
}

impl PrincipalRules {
    /// Reads a list of rules.
    ///
    /// # Errors
    /// [`RuleError`] for the first that cannot be used.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let unusable = |rule: &str, reason: String| RuleError { rule: rule.to_owned(), reason };
        let compile = |expression: String| Regex::new(&expression).map_err(|error| unusable(text, error.to_string()));
        let splitter = compile(format!("{SPACE}*({})(?:{SPACE}*(?:,{SPACE}*|$))", *RULE))?;
        let parser = compile(format!("^(?:{})", *RULE))?;
        let mut rules = Vec::new();
        // What Java's `trim` takes off.
        let trimmed = text.trim_matches(|character| character <= ' ');
        for found in splitter.captures_iter(trimmed) {
            let rule = found.get(1).map_or("", |rule| rule.as_str());
            let Some(parts) = parser.captures(rule) else { return Err(unusable(rule, "is not a rule".to_owned())) };
            let end = parts.get(0).map_or(0, |whole| whole.end());
            if end != rule.len() {
                let reason = format!(
                    "is neither DEFAULT nor RULE:pattern/replacement/ with L or U behind it; '{}' is too much",
                    &rule[end..]
                );
                return Err(unusable(rule, reason));
            }
            if parts.get(1).is_some() {
                rules.push(Rule::Default);
            } else if let (Some(pattern), Some(replacement)) = (parts.get(2), parts.get(3)) {
                let pattern = Pattern::compile(pattern.as_str()).map_err(|reason| unusable(rule, reason))?;
                let replacement = Replacement::compile(replacement.as_str(), &pattern);
                let replacement = replacement.map_err(|reason| unusable(rule, reason))?;
                let case = match parts.get(4).map(|case| case.as_str()) {
                    Some("L") => Case::Lower,
                    Some("U") => Case::Upper,
                    _ => Case::Kept,
                };
                rules.push(Rule::Map { pattern: Box::new(pattern), replacement, case });
            }
        }
        if rules.is_empty() {
            return Err(unusable(text, "says nothing; DEFAULT takes the whole subject".to_owned()));
        }
        Ok(Self(rules))
    }

    /// What the rules make of a subject's text; `None` where none fits.
    pub fn apply(&self, subject: &str) -> Option<String> {
        self.0.iter().find_map(|rule| match rule {
            Rule::Default => Some(subject.to_owned()),
            Rule::Map { pattern, replacement, case } => {
                let name = pattern.matches(subject).then(|| replacement.replace_all(pattern, subject))?;
                Some(match case {
                    Case::Kept => name,
                    Case::Lower => name.to_lowercase(),
                    Case::Upper => name.to_uppercase(),
                })
            }
        })
    }

    /// Who a verified certificate is about, at this time: a session that is taken up again shows the one of its beginning.
    ///
    /// # Errors
    /// [`NoPrincipal`]
    pub fn principal(&self, certificate: &[u8], now: SystemTime) -> Result<Principal, NoPrincipal> {
        let read = Certificate::read(certificate).ok_or(NoPrincipal::Unreadable)?;
        let subject = names::rfc2253(read.subject).map_err(|_| NoPrincipal::Unreadable)?;
        if subject.is_empty() || subject.len() > LONGEST_SUBJECT {
            return Err(NoPrincipal::NoSubject);
        }
        let seconds = u64::try_from(read.not_after).map_err(|_| NoPrincipal::Expired)?;
        // The date itself is still within (RFC 5280, 4.1.2.5).
        let expires_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.saturating_add(1)));
        let expires_at = expires_at.filter(|expires_at| *expires_at > now).ok_or(NoPrincipal::Expired)?;
        let name = self.apply(&subject).filter(|name| !name.is_empty()).ok_or(NoPrincipal::NoRule)?;
        Ok(Principal { name, expires_at })
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests;
