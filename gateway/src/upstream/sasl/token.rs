//! Bearer tokens: got by the client credentials grant (RFC 6749, section 4.4) or read from a file, kept, and renewed in time.

use super::LoginError;
use super::dialogue::cleaned;
use crate::config::upstream::{ClientCredentials, TokenSource};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use contract::secret::Secret;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A token is renewed after this part of its life, as Kafka's clients do (`sasl.login.refresh.window.factor`).
const RENEWED_AFTER: f64 = 0.8;
/// After a failure, nobody asks again for this long.
const RETRY: Duration = Duration::from_secs(2);
/// From connecting to the answer's end.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A token of which nobody says how long it lives is got anew after this time.
const UNKNOWN_LIFE: Duration = Duration::from_secs(60);
/// No longer tokens are taken: brokers take 512 KiB in all, and proxies much less.
const LONGEST: usize = 64 << 10;

/// The token of now.
pub(super) struct Tokens {
    source: Source,
    owner: String,
    kept: Mutex<Kept>,
}

enum Source {
    Endpoint(ureq::Agent, Box<ClientCredentials>),
    File(std::path::PathBuf),
}

#[derive(Default)]
struct Kept {
    token: Option<Token>,
    failed: Option<(Instant, LoginError)>,
}

/// A token and how long it is good for.
struct Token {
    text: Secret,
    renew_at: Instant,
    expires_at: Instant,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.owner)
    }
}

impl Tokens {
    pub(super) fn new(source: &TokenSource) -> Result<Self, LoginError> {
        let (source, owner) = match source {
            TokenSource::Endpoint(grant) => {
                let agent = agent(grant)?;
                (Source::Endpoint(agent, grant.clone()), grant.client_id.clone())
            }
            TokenSource::File(path) => (Source::File(path.clone()), format!("the token of {}", path.display())),
        };
        Ok(Self { source, owner, kept: Mutex::default() })
    }

    /// Whose token it is.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// A token that is good now. Those that wait for the same renewal share it.
    pub(super) async fn current(&self) -> Result<Secret, LoginError> {
        let mut kept = self.kept.lock().await;
        let now = Instant::now();
        let usable = kept.token.as_ref().filter(|token| now < token.expires_at);
        let failed = kept.failed.as_ref().filter(|(at, _)| now < *at + RETRY);
        match (usable, failed) {
            (Some(token), failed) if now < token.renew_at || failed.is_some() => return Ok(token.text.clone()),
            (None, Some((_, error))) => return Err(error.clone()),
            _ => {}
        }
        match self.fetch().await.and_then(|fetched| Token::new(fetched, Instant::now(), SystemTime::now())) {
            Ok(token) => {
                let text = token.text.clone();
                *kept = Kept { token: Some(token), failed: None };
                Ok(text)
            }
            Err(error) => {
                kept.failed = Some((Instant::now(), error.clone()));
                match kept.token.as_ref().filter(|token| Instant::now() < token.expires_at) {
                    Some(token) => {
                        tracing::warn!(%error, "the token was not renewed; the one before is good for a while");
                        Ok(token.text.clone())
                    }
                    None => Err(error),
                }
            }
        }
    }

    /// The next login gets a new one.
    pub(super) async fn forget(&self) {
        self.kept.lock().await.token = None;
    }

    async fn fetch(&self) -> Result<Fetched, LoginError> {
        match &self.source {
            Source::File(path) => from_file(path).await,
            Source::Endpoint(agent, grant) => {
                let (agent, grant) = (agent.clone(), grant.clone());
                let fetched = tokio::task::spawn_blocking(move || from_endpoint(&agent, &grant)).await;
                fetched.unwrap_or_else(|error| Err(LoginError::Credentials(error.to_string())))
            }
        }
    }
}

/// A token as it came.
struct Fetched {
    text: String,
    lifetime: Option<Duration>,
}

impl Token {
    /// How long it lives is in it, if it is a JWT (RFC 7519), or was said along with it.
    fn new(fetched: Fetched, now: Instant, clock: SystemTime) -> Result<Self, LoginError> {
        let text = fetched.text.trim();
        if text.is_empty() || text.len() > LONGEST || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(LoginError::Credentials("what came in place of a token is none".to_owned()));
        }
        let expires = expiry(text).map(|at| at.duration_since(clock).unwrap_or_default());
        let lifetime = expires.or(fetched.lifetime).unwrap_or(UNKNOWN_LIFE);
        if lifetime.is_zero() {
            let why = "the token has expired already: is this machine's clock right?";
            return Err(LoginError::Credentials(why.to_owned()));
        }
        let renew_at = now + lifetime.mul_f64(RENEWED_AFTER);
        Ok(Self { text: Secret::new(text), renew_at, expires_at: now + lifetime })
    }
}

/// The claim `exp`. Nothing is verified: that is the broker's business.
fn expiry(token: &str) -> Option<SystemTime> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims = serde_json::from_slice::<Value>(&claims).ok()?;
    let seconds = claims["exp"].as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
    Some(UNIX_EPOCH + Duration::from_secs_f64(seconds))
}

async fn from_file(path: &Path) -> Result<Fetched, LoginError> {
    let failed = |error: std::io::Error| LoginError::Credentials(format!("the token file {}: {error}", path.display()));
    let text = tokio::fs::read_to_string(path).await.map_err(failed)?;
    Ok(Fetched { text, lifetime: None })
}

fn agent(grant: &ClientCredentials) -> Result<ureq::Agent, LoginError> {
    let mut tls = ureq::tls::TlsConfig::builder()
        .unversioned_rustls_crypto_provider(std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(ureq::tls::RootCerts::PlatformVerifier);
    if let Some(store) = &grant.trust {
        tls = tls.root_certs(crate::upstream::tls::root_certificates(store)?);
    }
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        // The secret goes to the endpoint that was set and nowhere else.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(tls.build());
    Ok(config.build().into())
}

fn from_endpoint(agent: &ureq::Agent, grant: &ClientCredentials) -> Result<Fetched, LoginError> {
    let failed = |why: String| LoginError::Credentials(format!("the token endpoint {}: {why}", grant.url));
    let credentials = format!("{}:{}", grant.client_id, grant.client_secret.reveal());
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(grant.scope.as_deref().map(|scope| ("scope", scope)));
    let answer = agent
        .post(&grant.url)
        .header("Authorization", format!("Basic {}", BASE64_STANDARD.encode(credentials)))
        .header("Accept", "application/json")
        .send_form(form);
    let mut answer = answer.map_err(|error| failed(error.to_string()))?;
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(2 * LONGEST as u64).read_to_string();
    let body = body.map_err(|error| failed(error.to_string()))?;
    let body = serde_json::from_str::<Value>(&body).unwrap_or_default();
    if status != 200 {
        let error = cleaned(body["error"].as_str().unwrap_or("no reason given"));
        let hint = "check clientId, clientSecret and scope in sasl.jaas.config, KAFKA_SASL_JAAS_CONFIG";
        return Err(failed(format!("answered {status}, {error} ({hint})")));
    }
    let text = body["access_token"].as_str().ok_or_else(|| failed("its answer holds no access_token".to_owned()))?;
    let lifetime = body["expires_in"].as_f64().filter(|seconds| (0.0..1e9).contains(seconds));
    Ok(Fetched { text: text.to_owned(), lifetime: lifetime.map(Duration::from_secs_f64) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn token(exp: u64) -> String {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"sub\":\"gw\",\"exp\":{exp}}}"));
        format!("e30.{claims}.x")
    }

    fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    /// An endpoint that gives each of these answers once, then the last one again; what it was asked, and how often.
    fn endpoint(answers: Vec<(u16, String)>) -> (String, Arc<AtomicUsize>, std::sync::mpsc::Receiver<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let (sender, requests) = std::sync::mpsc::channel();
        let counter = Arc::clone(&count);
        let _ = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut chunk = [0; 4096];
                while !String::from_utf8_lossy(&request).contains("client_credentials") {
                    match stream.read(&mut chunk).unwrap() {
                        0 => break,
                        n => request.extend_from_slice(&chunk[..n]),
                    }
                }
                let (status, body) = answers[counter.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)].clone();
                let _ = sender.send(String::from_utf8(request).unwrap());
                let length = body.len();
                write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                    .unwrap();
            }
        });
        (url, count, requests)
    }

    fn tokens(url: &str) -> Tokens {
        let grant = ClientCredentials {
            url: url.to_owned(),
            client_id: "gw".to_owned(),
            client_secret: Secret::new("hunter2"),
            scope: Some("kafka write".to_owned()),
            trust: None,
        };
        Tokens::new(&TokenSource::Endpoint(Box::new(grant))).unwrap()
    }

    fn answer(token: &str) -> (u16, String) {
        (200, format!("{{\"access_token\":\"{token}\",\"expires_in\":10}}"))
    }

    #[tokio::test]
    async fn a_token_is_got_once_and_kept() {
        let (url, count, requests) = endpoint(vec![answer(&token(now() + 100))]);
        let tokens = tokens(&url);
        let (first, second) = tokio::join!(tokens.current(), tokens.current());
        assert_eq!(first.unwrap(), second.unwrap());
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let request = requests.recv().unwrap();
        assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
        assert!(request.to_lowercase().contains("authorization: basic z3c6ahvudgvymg"), "{request}");
        assert!(
            request.ends_with("grant_type=client_credentials&scope=kafka+write")
                || request.ends_with("grant_type=client_credentials&scope=kafka%20write"),
            "{request}"
        );
        tokens.forget().await;
        let _ = tokens.current().await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_it_expires() {
        let (url, count, _requests) = endpoint(vec![answer(&token(now() + 2)), answer(&token(now() + 100))]);
        let tokens = tokens(&url);
        let first = tokens.current().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        assert_ne!(tokens.current().await.unwrap(), first);
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_failed_renewal_leaves_the_token_in_use_and_is_not_repeated_at_once() {
        let (url, count, _requests) = endpoint(vec![answer(&token(now() + 4)), (503, String::new())]);
        let tokens = tokens(&url);
        let first = tokens.current().await.unwrap();
        tokens.kept.lock().await.token.as_mut().unwrap().renew_at = Instant::now();
        for _ in 0..5 {
            assert_eq!(tokens.current().await.unwrap(), first);
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_check_and_no_secret() {
        let (url, count, _requests) = endpoint(vec![(401, "{\"error\":\"invalid_client\"}".to_owned())]);
        let tokens = tokens(&url);
        let error = tokens.current().await.unwrap_err().to_string();
        assert!(error.contains(&url) && error.contains("401, invalid_client (check clientId"), "{error}");
        assert!(!error.contains("hunter2") && !format!("{tokens:?}").contains("hunter2"));
        assert_eq!(tokens.current().await.unwrap_err().to_string(), error);
        assert_eq!(count.load(Ordering::SeqCst), 1, "a failure is remembered for a while");
    }

    #[tokio::test]
    async fn the_token_of_a_file_is_read_again_when_it_is_old() {
        let path = std::env::temp_dir().join(format!("token-{}", std::process::id()));
        std::fs::write(&path, format!("{}\n", token(now() + 100))).unwrap();
        let tokens = Tokens::new(&TokenSource::File(path.clone())).unwrap();
        assert_eq!(tokens.current().await.unwrap().reveal(), std::fs::read_to_string(&path).unwrap().trim());
        std::fs::write(&path, token(now() - 1)).unwrap();
        tokens.forget().await;
        let error = tokens.current().await.unwrap_err().to_string();
        assert!(error.contains("expired already"), "{error}");
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(RETRY).await;
        let error = tokens.current().await.unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }

    #[test]
    fn lifetimes_are_read_from_the_token_first() {
        let (now, clock) = (Instant::now(), UNIX_EPOCH + Duration::from_secs(1_000));
        let life = |text: &str, lifetime| {
            let fetched = Fetched { text: text.to_owned(), lifetime };
            Token::new(fetched, now, clock).map(|token| token.expires_at - now)
        };
        assert_eq!(life(&token(1_060), Some(Duration::from_secs(5))), Ok(Duration::from_secs(60)));
        assert_eq!(life("opaque", Some(Duration::from_secs(5))), Ok(Duration::from_secs(5)));
        assert_eq!(life("opaque", None), Ok(UNKNOWN_LIFE));
        assert!(life(&token(999), None).is_err());
        for none in ["", "two words", "a\u{1}b", &"x".repeat(LONGEST + 1)] {
            assert!(life(none, None).is_err());
        }
    }
}
