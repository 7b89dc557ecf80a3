//! An OpenID provider as a process: `fixtures/services/openid`, which says what tokens it gives.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use conformance::drivers::http;
use conformance::gateways::free_ports;

use super::needs;
use super::secure_kafka::certificates;

pub(crate) struct Provider {
    child: Child,
    port: u16,
    pub(crate) issuer: String,
    given: Mutex<Vec<String>>,
}

impl Provider {
    /// One that signs with the key of `fixtures/certs`.
    pub(crate) fn start() -> Self {
        Self::run(free_ports(1).unwrap(), certificates().as_os_str())
    }

    /// One that signs with a key of its own, which goes with it.
    pub(crate) fn fresh() -> Self {
        Self::run(free_ports(1).unwrap(), "fresh".as_ref())
    }

    /// The same provider after it was down, with another key.
    pub(crate) fn with_another_key(down: Down) -> Self {
        Self::run(down.port, "fresh".as_ref())
    }

    fn run(port: u16, key: &std::ffi::OsStr) -> Self {
        let mut child = Command::new(needs::fixtures().join("services/openid/run"))
            .arg(port.to_string())
            .arg(key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut issuer = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut issuer).unwrap();
        assert!(issuer.starts_with("http://"), "the provider did not start: {issuer:?}");
        Self { child, port, issuer: issuer.trim().to_owned(), given: Mutex::default() }
    }

    /// The token that it gives to this client for this scope.
    pub(crate) fn token(&self, id: &str, scope: &str) -> String {
        let form = format!("grant_type=client_credentials&scope={}", scope.replace(' ', "+"));
        let asked = http::post_form(&self.issuer, "/token", Some(&http::basic(id, "any")), &form).unwrap();
        let token = asked.body()["access_token"].as_str().unwrap_or_else(|| panic!("no token: {asked:?}")).to_owned();
        self.given.lock().unwrap().push(token.clone());
        token
    }

    /// The tokens that [`Self::token`] gave.
    pub(crate) fn given(&self) -> Vec<String> {
        self.given.lock().unwrap().clone()
    }

    /// Ends it; its address stays the same when it comes back.
    pub(crate) fn stop(self) -> Down {
        Down { port: self.port }
    }
}

/// A provider that is not there.
pub(crate) struct Down {
    port: u16,
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It has replaced the script that started it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
