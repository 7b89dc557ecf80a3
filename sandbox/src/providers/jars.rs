//! The jars of Apache Kafka: taken from Maven Central once, checked, kept for this user.
//!
//! A jar lies in its place in the cache only when its checksum was right, so whatever ends a download early leaves
//! nothing half installed.

use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use ureq::tls::{RootCerts, TlsConfig};

use crate::context::Context;
use crate::error::{Failure, Kind, Result};
use crate::home;
use crate::output;

/// The version of the jars in the table.
pub const VERSION: &str = "4.3.0";
const TABLE: &str = include_str!("jars.txt");
const MAVEN_CENTRAL: &str = "https://repo1.maven.org/maven2";
const REPOSITORY_VARIABLE: &str = "SANDBOX_MAVEN_REPOSITORY";
const THREADS: usize = 4;
const ATTEMPTS: u32 = 3;
/// For one jar; the largest has 7 MB.
const TIMEOUT: Duration = Duration::from_secs(180);

/// A line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jar {
    sha256: &'static str,
    size: u64,
    /// In a Maven repository.
    path: &'static str,
}

impl Jar {
    fn file_name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

/// Where the jars and what is made of them lie.
pub fn folder(cache: &Path) -> PathBuf {
    cache.join(format!("kafka-{VERSION}"))
}

/// Makes sure that every jar is there. Returns them in the order of the table.
pub fn install(context: &Context) -> Result<Vec<PathBuf>> {
    let since = Instant::now();
    let folder = folder(&context.home.cache);
    home::private_dir(&folder)?;
    let jars = table();
    let missing = jars.iter().copied().filter(|jar| !is_installed(&folder, jar)).collect::<Vec<_>>();
    if !missing.is_empty() {
        remove_parts(&folder);
        let repository = std::env::var(REPOSITORY_VARIABLE).unwrap_or_else(|_| MAVEN_CENTRAL.to_owned());
        let local = std::env::var_os("HOME").map(|home| Path::new(&home).join(".m2/repository"));
        let megabytes = missing.iter().map(|jar| jar.size).sum::<u64>().div_ceil(1_000_000);
        context
            .console
            .note(&format!("getting Apache Kafka {VERSION}: {}, {megabytes} MB", output::count(missing.len(), "jar")));
        let download = Download {
            agent: agent(),
            repository: repository.trim_end_matches('/'),
            local: local.as_deref(),
            folder: &folder,
        };
        let found_here = download.all(&missing)?;
        let detail = format!("{} checked, {found_here} of them found in ~/.m2", missing.len());
        context.console.step("jars", since, &detail);
    }
    Ok(jars.iter().map(|jar| folder.join(jar.file_name())).collect())
}

fn table() -> Vec<Jar> {
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some(Jar { sha256: fields.next()?, size: fields.next()?.parse().ok()?, path: fields.next()? })
        })
        .collect()
}

/// A jar got to its place only when its checksum was right; its size shows whether someone cut it since.
fn is_installed(folder: &Path, jar: &Jar) -> bool {
    fs::metadata(folder.join(jar.file_name())).is_ok_and(|metadata| metadata.len() == jar.size)
}

/// What a command that was killed had begun to download. Only one command at a time gets here.
fn remove_parts(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for part in entries.filter(|path| path.extension().is_some_and(|extension| extension == "part")) {
        // It only takes room: the download goes to a file of its own.
        let _ = fs::remove_file(part);
    }
}

struct Download<'a> {
    agent: ureq::Agent,
    repository: &'a str,
    /// Maven's own cache, where many a jar may lie already.
    local: Option<&'a Path>,
    folder: &'a Path,
}

impl Download<'_> {
    /// Gets all jars by several threads. Returns how many were found on this machine; the first failure stops all.
    fn all(&self, jars: &[Jar]) -> Result<usize> {
        let (next, found_here, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let Some(jar) = jars.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                match self.one(jar) {
                    Ok(here) => found_here.fetch_add(usize::from(here), Ordering::Relaxed),
                    Err(failure) => {
                        failed.store(true, Ordering::Relaxed);
                        return Err(failure);
                    }
                };
            }
            Ok(())
        };
        let results = thread::scope(|scope| {
            let threads = (0..THREADS).map(|_| scope.spawn(work)).collect::<Vec<_>>();
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
        });
        for result in results {
            result.map_err(|_| Failure::new(Kind::Internal, "a download thread ended unexpectedly"))??;
        }
        Ok(found_here.into_inner())
    }

    fn one(&self, jar: &Jar) -> Result<bool> {
        if let Some(local) = self.local
            && let Ok(file) = fs::File::open(local.join(jar.path))
            && self.receive(jar, file).is_ok()
        {
            return Ok(true);
        }
        let url = format!("{}/{}", self.repository, jar.path);
        let mut attempt = 1;
        loop {
            match self.fetch(jar, &url) {
                Ok(()) => return Ok(false),
                // A wrong checksum stays wrong; a network may be better the next time.
                Err(Trouble::Failure(failure)) => return Err(failure),
                Err(Trouble::Network(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(Trouble::Network(reason)) => {
                    return Err(Failure::new(Kind::Unreachable, format!("cannot download {url}: {reason}")).hint(format!(
                        "nothing was half installed, so run it again; {REPOSITORY_VARIABLE} names another Maven repository"
                    )));
                }
            }
        }
    }

    fn fetch(&self, jar: &Jar, url: &str) -> std::result::Result<(), Trouble> {
        let answer = self.agent.get(url).call().map_err(|error| Trouble::Network(error.to_string()))?;
        self.receive(jar, answer.into_body().into_reader())
    }

    /// Writes beside the place, and puts it there once the checksum is right.
    fn receive(&self, jar: &Jar, mut from: impl Read) -> std::result::Result<(), Trouble> {
        let place = self.folder.join(jar.file_name());
        let temporary = self.folder.join(format!("{}.{}.part", jar.file_name(), std::process::id()));
        let received = (|| {
            let file = |error| Trouble::Failure(Failure::file("write", &temporary, &error));
            let mut part = fs::File::create(&temporary).map_err(file)?;
            let mut hash = digest::Context::new(&digest::SHA256);
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let read = from.read(&mut buffer).map_err(|error| Trouble::Network(error.to_string()))?;
                if read == 0 {
                    break;
                }
                hash.update(&buffer[..read]);
                part.write_all(&buffer[..read]).map_err(file)?;
            }
            check(jar, hash.finish().as_ref())?;
            fs::rename(&temporary, &place).map_err(|error| Trouble::Failure(Failure::file("write", &place, &error)))
        })();
        if received.is_err() {
            // May not even exist; the failure itself is what counts.
            let _ = fs::remove_file(&temporary);
        }
        received
    }
}

/// Why a jar could not be had: worth another attempt, or not.
#[derive(Debug)]
enum Trouble {
    Network(String),
    Failure(Failure),
}

fn check(jar: &Jar, actual: &[u8]) -> std::result::Result<(), Trouble> {
    let actual = actual.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if actual == jar.sha256 {
        return Ok(());
    }
    let message = format!(
        "the checksum of {} is wrong: expected sha256 {}, got {actual}; it was not installed",
        jar.file_name(),
        jar.sha256
    );
    Err(Trouble::Failure(Failure::new(Kind::Internal, message).hint(format!(
        "something on the way changes files, or {REPOSITORY_VARIABLE} names a repository with other contents"
    ))))
}

fn agent() -> ureq::Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    ureq::Agent::config_builder().tls_config(tls).timeout_global(Some(TIMEOUT)).build().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Jar = Jar {
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        size: 5,
        path: "org/example/hello/1/hello-1.jar",
    };

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("jars-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_table_is_whole() {
        let jars = table();
        assert_eq!(jars.len(), TABLE.lines().filter(|line| !line.starts_with('#')).count());
        assert!(jars.iter().all(|jar| jar.sha256.len() == 64 && jar.size > 0 && jar.path.ends_with(".jar")));
        assert!(jars.iter().any(|jar| jar.file_name() == format!("kafka-clients-{VERSION}.jar")));
        let mut names = jars.iter().map(Jar::file_name).collect::<Vec<_>>();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), jars.len(), "two jars share a file name");
    }

    #[test]
    fn only_a_right_jar_is_installed() {
        let folder = scratch("receive");
        let download = Download { agent: agent(), repository: "http://127.0.0.1:1", local: None, folder: &folder };
        let Err(Trouble::Failure(failure)) = download.receive(&HELLO, &b"hullo"[..]) else { panic!("was taken") };
        assert!(failure.message.contains("hello-1.jar") && failure.message.contains(HELLO.sha256), "{failure}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "something half installed");
        download.receive(&HELLO, &b"hello"[..]).unwrap();
        assert!(is_installed(&folder, &HELLO));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_jar_of_mavens_cache_is_used_if_it_is_right() {
        let (folder, local) = (scratch("folder"), scratch("local"));
        fs::create_dir_all(local.join("org/example/hello/1")).unwrap();
        let download =
            Download { agent: agent(), repository: "http://127.0.0.1:1", local: Some(&local), folder: &folder };
        fs::write(local.join(HELLO.path), "hullo").unwrap();
        let failure = download.one(&HELLO).unwrap_err();
        assert!(failure.message.starts_with("cannot download http://127.0.0.1:1/org/example/hello/1/hello-1.jar: "));
        fs::write(local.join(HELLO.path), "hello").unwrap();
        assert!(download.one(&HELLO).unwrap());
        for path in [folder, local] {
            fs::remove_dir_all(path).unwrap();
        }
    }
}
