//! Whose tokens are taken (OAUTHBEARER): the identity provider's keys, and what a token must say.

use std::path::PathBuf;
use std::time::Duration;

use contract::resources::identity_provider::IdentityProviderSpec;
use serde_yaml::Value;

use super::reader::{Reader, listed, text};
use super::settings::{Setting, as_usize, setting, structured};

pub(super) const SETTINGS: &[Setting] = &[
    setting("oauth.jwksUrl", "GATEWAY_OAUTH_JWKS_URL"),
    setting("oauth.caFile", "GATEWAY_OAUTH_CA_FILE"),
    setting("oauth.expectedIssuer", "GATEWAY_OAUTH_EXPECTED_ISSUER"),
    structured("oauth.expectedAudiences", "GATEWAY_OAUTH_EXPECTED_AUDIENCES"),
    structured("oauth.algorithms", "GATEWAY_OAUTH_ALGORITHMS"),
    setting("oauth.principalClaim", "GATEWAY_OAUTH_PRINCIPAL_CLAIM"),
    setting("oauth.scopeClaim", "GATEWAY_OAUTH_SCOPE_CLAIM"),
    structured("oauth.requiredScopes", "GATEWAY_OAUTH_REQUIRED_SCOPES"),
    structured("oauth.requiredClaims", "GATEWAY_OAUTH_REQUIRED_CLAIMS"),
    setting("oauth.clockSkewSeconds", "GATEWAY_OAUTH_CLOCK_SKEW_SECONDS"),
    setting("oauth.refreshSeconds", "GATEWAY_OAUTH_REFRESH_SECONDS"),
    setting("oauth.maxTokenBytes", "GATEWAY_OAUTH_MAX_TOKEN_BYTES"),
];

/// The signature algorithms that can be allowed, all of them with a public key (RFC 7518 section 3.1, RFC 8037).
pub const TOKEN_ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// Twice what web servers take as headers, where most tokens travel too. A client that is not known yet may make the
/// gateway hold this much.
const MAX_TOKEN_BYTES: i64 = 32 * 1024;
/// No setting takes more from clients that are not known yet.
const MOST_TOKEN_BYTES: i64 = 128 * 1024;

/// Whose tokens are taken, and what they must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth {
    pub jwks: JwksSource,
    /// Certificates in PEM that may sign for the provider's host, in the place of the system's.
    pub ca_file: Option<PathBuf>,
    /// `iss`, letter by letter.
    pub expected_issuer: String,
    /// One of them must be in `aud`; empty where the operator takes tokens for anybody.
    pub expected_audiences: Vec<String>,
    /// Of [`TOKEN_ALGORITHMS`].
    pub algorithms: Vec<String>,
    /// The claim that names the identity.
    pub principal_claim: String,
    pub scope_claim: String,
    /// All of them must be in the scope claim.
    pub required_scopes: Vec<String>,
    pub required_claims: Vec<RequiredClaim>,
    /// How far `nbf` and `iat` may lie in the future.
    pub clock_skew: Duration,
    /// How often the keys are fetched.
    pub refresh: Duration,
    /// The longest token that is looked at, in bytes.
    pub longest_token: usize,
}

/// Where the provider's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// `http://` or `https://`
    Url(String),
    File(PathBuf),
}

/// A claim that must be, or contain, a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredClaim {
    /// A name, or a JSON Pointer that begins with `/`.
    pub name: String,
    pub value: String,
}

impl OAuth {
    /// The provider that a resource declares. Keys come by https, or by http from this machine: files are the operator's to name.
    ///
    /// # Errors
    /// Paths in the resource, and what is wrong there.
    pub fn declared(spec: &IdentityProviderSpec) -> Result<Self, Vec<(&'static str, String)>> {
        let mut wrong = Vec::new();
        let jwks = jwks_source(&Value::from(spec.jwks_url.as_str())).and_then(|source| match &source {
            JwksSource::File(_) => Err("names a file: it must begin with https://".to_owned()),
            JwksSource::Url(url) if is_open_to_forgers(url) => {
                Err(format!("'{url}' is not https: whoever is on the way to it can make tokens for anybody"))
            }
            JwksSource::Url(_) => Ok(source),
        });
        if spec.issuer.trim().is_empty() {
            wrong.push(("spec.issuer", "is empty: it must be the 'iss' of the provider's tokens".to_owned()));
        }
        if spec.audiences.is_empty() || spec.audiences.iter().any(|audience| audience.trim().is_empty()) {
            let message = "must name one 'aud' or more: else tokens that the provider made for anybody else log in too";
            wrong.push(("spec.audiences", message.to_owned()));
        }
        let jwks = jwks.map_err(|message| wrong.push(("spec.jwksUrl", message))).ok();
        let claims = spec.required_claims.iter().flatten();
        let claims = claims.map(|(name, value)| RequiredClaim { name: name.clone(), value: value.clone() });
        match jwks {
            Some(jwks) if wrong.is_empty() => Ok(Self {
                jwks,
                ca_file: None,
                expected_issuer: spec.issuer.clone(),
                expected_audiences: spec.audiences.clone(),
                algorithms: TOKEN_ALGORITHMS.map(str::to_owned).to_vec(),
                principal_claim: spec.principal_claim.clone().unwrap_or_else(|| "sub".to_owned()),
                scope_claim: "scope".to_owned(),
                required_scopes: Vec::new(),
                required_claims: claims.collect(),
                clock_skew: DEFAULT_SKEW,
                refresh: DEFAULT_REFRESH,
                longest_token: as_usize(MAX_TOKEN_BYTES),
            }),
            _ => Err(wrong),
        }
    }
}

/// How far clocks may differ, and how often keys are fetched, where nothing else is said.
const DEFAULT_SKEW: Duration = Duration::from_secs(30);
const DEFAULT_REFRESH: Duration = Duration::from_secs(300);

/// `None` where no tokens are taken, or where what is set does not hold; the reader knows.
pub(super) fn read(reader: &mut Reader) -> Option<OAuth> {
    if !SETTINGS.iter().any(|setting| reader.is_given(setting.path)) {
        return None;
    }
    reader.require("oauth.jwksUrl", "is required with the other oauth settings: where the provider publishes its keys");
    reader.require("oauth.expectedIssuer", "is required with oauth: the 'iss' of the provider's tokens");
    let message = "is required with oauth: one of them must be the 'aud' of a token; [] takes tokens for anybody, so that \
                   whoever gets a token for something else can log in with it";
    reader.require("oauth.expectedAudiences", message);
    let jwks = reader.value("oauth.jwksUrl", jwks_source);
    let expected_audiences = reader.value("oauth.expectedAudiences", texts);
    if expected_audiences.as_ref().is_some_and(Vec::is_empty) {
        let place = reader.place("oauth.expectedAudiences").to_owned();
        reader.warning(format!("{place} is empty: tokens that the provider made for anybody else log in here too"));
    }
    if let Some(JwksSource::Url(url)) = &jwks
        && is_open_to_forgers(url)
    {
        let place = reader.place("oauth.jwksUrl").to_owned();
        reader.warning(format!("{place} is not https: whoever is on the way to {url} can make tokens for anybody"));
    }
    let expected_issuer = reader.text("oauth.expectedIssuer");
    let algorithms = reader.value("oauth.algorithms", algorithms);
    Some(OAuth {
        ca_file: reader.text("oauth.caFile").map(PathBuf::from),
        algorithms: algorithms.unwrap_or_else(|| TOKEN_ALGORITHMS.map(str::to_owned).to_vec()),
        principal_claim: reader.text("oauth.principalClaim").unwrap_or_else(|| "sub".to_owned()),
        scope_claim: reader.text("oauth.scopeClaim").unwrap_or_else(|| "scope".to_owned()),
        required_scopes: reader.value("oauth.requiredScopes", texts).unwrap_or_default(),
        required_claims: reader.value("oauth.requiredClaims", required_claims).unwrap_or_default(),
        clock_skew: seconds(reader.number("oauth.clockSkewSeconds", 30, 0, 600)),
        refresh: seconds(reader.number("oauth.refreshSeconds", 300, 5, 86_400)),
        longest_token: as_usize(reader.number("oauth.maxTokenBytes", MAX_TOKEN_BYTES, 1024, MOST_TOKEN_BYTES)),
        jwks: jwks?,
        expected_issuer: expected_issuer?,
        expected_audiences: expected_audiences?,
    })
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(number.unsigned_abs())
}

fn jwks_source(value: &Value) -> Result<JwksSource, String> {
    let url = text(value)?;
    if url.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err("holds a blank".to_owned());
    }
    if let Some(path) = url.strip_prefix("file://") {
        return if path.starts_with('/') {
            Ok(JwksSource::File(PathBuf::from(path)))
        } else {
            Err(format!("'{url}' names no file: it must be file:///, then the path"))
        };
    }
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/')) else {
        return Err(format!("'{url}' must begin with https://, http:// or file:///"));
    };
    if authority(rest).contains('@') {
        return Err("holds a user name: keys are public and are fetched without a login".to_owned());
    }
    Ok(JwksSource::Url(url))
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether keys come in the clear from another machine.
fn is_open_to_forgers(url: &str) -> bool {
    url.strip_prefix("http://").is_some_and(|rest| {
        let authority = authority(rest);
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        !(host == "localhost" || host == "[::1]" || host.starts_with("127."))
    })
}

/// A list, also as one text with commas.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, String> {
    match value {
        Value::Sequence(entries) => entries.iter().map(text).collect(),
        Value::String(one) => {
            let parts = one.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(parts.map(str::to_owned).collect())
        }
        _ => Err("must be a list of texts".to_owned()),
    }
}

fn algorithms(value: &Value) -> Result<Vec<String>, String> {
    let names = texts(value)?;
    if names.is_empty() {
        return Err("is empty: no token could be taken".to_owned());
    }
    match names.iter().find(|name| !TOKEN_ALGORITHMS.contains(&name.as_str())) {
        Some(name) => Err(format!("'{name}' is not served; served are {}", listed(TOKEN_ALGORITHMS.into_iter()))),
        None => Ok(names),
    }
}

fn required_claims(value: &Value) -> Result<Vec<RequiredClaim>, String> {
    let entries = value.as_mapping().ok_or("must be claims with their values, such as {team: data}")?;
    let claim = |(name, value): (&Value, &Value)| {
        let name = text(name)?;
        let value = match value {
            Value::Bool(truth) => Ok(truth.to_string()),
            other => text(other),
        };
        value.map(|value| RequiredClaim { name: name.clone(), value }).map_err(|message| format!("{name}: {message}"))
    };
    entries.iter().map(claim).collect()
}
