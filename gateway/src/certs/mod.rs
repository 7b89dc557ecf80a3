//! `gateway certs init`: a certificate authority for development, and what the gateway and its clients show each other.
//!
//! For production there are real authorities: this one's key lies beside its certificates.

mod issue;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::transport::tls::export;
use issue::{Authority, Issued};

/// Works with certificates.
#[derive(Debug, Clone, PartialEq, Eq, clap::Subcommand)]
pub enum CertsCommand {
    /// Make a certificate authority for development, and what the gateway and its clients show each other.
    ///
    /// Writes PEM and PKCS12, never over files that are there, and prints the settings that use them.
    Init(Wanted),
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Wanted {
    /// Where the files go.
    #[arg(value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// A host name or address of the gateway, besides localhost, 127.0.0.1 and ::1; may be repeated.
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// The domain of host routing, whose brokers are broker-<id>.<virtual cluster>.<domain>.
    #[arg(long)]
    pub domain: Option<String>,
    /// A virtual cluster with names below the domain (a wildcard reaches down one level only); may be repeated.
    #[arg(long = "virtual-cluster", value_name = "NAME")]
    pub virtual_clusters: Vec<String>,
    /// A client that gets a certificate of its own; may be repeated.
    #[arg(long = "client", value_name = "NAME", default_value = "client")]
    pub clients: Vec<String>,
    /// How long the certificates are good.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
    /// Write over files that are there.
    #[arg(long)]
    pub force: bool,
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    #[error("{0} is there already; use another folder, or --force to write over it")]
    Exists(String),
    #[error("cannot write {path}: {source}")]
    Unwritable { path: String, source: std::io::Error },
    #[error("'{0}' cannot be a client's name: it becomes a file's; use letters, digits, '.', '_' and '-'")]
    BadClient(String),
    #[error("'{name}' is no host name or address: {reason}")]
    BadHost { name: String, reason: String },
    #[error("--virtual-cluster needs --domain: without one, clients are not told apart by host names")]
    NoDomain,
    #[error("certificates cannot be made: {0}")]
    Issue(#[from] rcgen::Error),
    #[error("the operating system gives no random bytes")]
    NoRandomness,
}

impl From<aws_lc_rs::error::Unspecified> for CertsError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::NoRandomness
    }
}

/// A file to be written.
struct File {
    name: String,
    content: Vec<u8>,
    /// Only its owner may read it.
    secret: bool,
}

impl CertsCommand {
    /// Does it; tells what to do next.
    ///
    /// # Errors
    /// [`CertsError`]
    pub fn run(&self) -> Result<String, CertsError> {
        match self {
            Self::Init(wanted) => init(wanted),
        }
    }
}

/// Makes the files; tells what to do with them.
///
/// # Errors
/// [`CertsError`]; nothing is written where a file is in the way.
pub fn init(wanted: &Wanted) -> Result<String, CertsError> {
    let password = password()?;
    let authority = Authority::new(wanted.days)?;
    let gateway = authority.server(&names(wanted)?)?;
    let mut files = vec![
        open("ca.pem", authority.pem()),
        secret("ca.key", authority.key_pem()),
        open("gateway.pem", gateway.pem.clone() + &authority.pem()),
        secret("gateway.key", gateway.key_pem.clone()),
        secret("gateway.p12", key_store("gateway", &gateway, &authority, &password)?),
        secret("truststore.p12", export::trust_store(&[("ca", authority.der())], &password)?),
        secret("password", format!("{password}\n")),
    ];
    let folder = std::path::absolute(&wanted.folder).unwrap_or_else(|_| wanted.folder.clone());
    files.push(secret("ssl.properties", properties(&folder, &password, None)));
    for client in &wanted.clients {
        let issued = authority.client(client)?;
        files.push(open(&format!("{client}.pem"), issued.pem.clone() + &authority.pem()));
        files.push(secret(&format!("{client}.p12"), key_store(client, &issued, &authority, &password)?));
        files.push(secret(&format!("{client}.properties"), properties(&folder, &password, Some(client))));
        files.push(secret(&format!("{client}.key"), issued.key_pem));
    }
    write(&folder, &files, wanted.force)?;
    Ok(told(&folder, wanted))
}

fn open(name: &str, content: impl Into<Vec<u8>>) -> File {
    File { name: name.to_owned(), content: content.into(), secret: false }
}

fn secret(name: &str, content: impl Into<Vec<u8>>) -> File {
    File { name: name.to_owned(), content: content.into(), secret: true }
}

fn key_store(name: &str, issued: &Issued, authority: &Authority, password: &str) -> Result<Vec<u8>, CertsError> {
    Ok(export::key_store(name, &issued.key, &[&issued.der, authority.der()], password)?)
}

/// 192 bits, of letters that no shell or properties file reads as anything else.
fn password() -> Result<String, CertsError> {
    let mut bytes = [0; 24];
    rand::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// What the gateway's certificate is for.
fn names(wanted: &Wanted) -> Result<Vec<String>, CertsError> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend(wanted.hosts.iter().cloned());
    match &wanted.domain {
        None if !wanted.virtual_clusters.is_empty() => return Err(CertsError::NoDomain),
        None => {}
        Some(domain) => {
            names.extend([domain.clone(), format!("*.{domain}")]);
            names.extend(wanted.virtual_clusters.iter().map(|name| format!("*.{name}.{domain}").to_lowercase()));
        }
    }
    for client in &wanted.clients {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let taken = ["ca", "gateway", "truststore", "password", "ssl"].contains(&client.as_str());
        if client.is_empty() || client.starts_with('.') || taken || !client.bytes().all(fits) {
            return Err(CertsError::BadClient(client.clone()));
        }
    }
    Ok(names)
}

fn write(folder: &Path, files: &[File], force: bool) -> Result<(), CertsError> {
    let unwritable = |path: &Path| {
        let path = path.display().to_string();
        move |source| CertsError::Unwritable { path, source }
    };
    fs::create_dir_all(folder).map_err(unwritable(folder))?;
    if !force && let Some(there) = files.iter().map(|file| folder.join(&file.name)).find(|path| path.exists()) {
        return Err(CertsError::Exists(there.display().to_string()));
    }
    for file in files {
        let path = folder.join(&file.name);
        // A new file in place of the old one: the mode is right from the start, and who reads sees one or the other.
        let fresh = folder.join(format!(".{}.new", file.name));
        let _ = fs::remove_file(&fresh);
        let mode = if file.secret { 0o600 } else { 0o644 };
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh);
        let written = opened.and_then(|mut opened| opened.write_all(&file.content));
        written.and_then(|()| fs::rename(&fresh, &path)).map_err(unwritable(&path))?;
    }
    Ok(())
}

/// For Java's clients.
fn properties(folder: &Path, password: &str, client: Option<&str>) -> String {
    let place = |name: &str| folder.join(name).display().to_string();
    let mut lines = vec![
        "security.protocol=SSL".to_owned(),
        "ssl.truststore.type=PKCS12".to_owned(),
        format!("ssl.truststore.location={}", place("truststore.p12")),
        format!("ssl.truststore.password={password}"),
    ];
    if let Some(client) = client {
        lines.extend([
            "ssl.keystore.type=PKCS12".to_owned(),
            format!("ssl.keystore.location={}", place(&format!("{client}.p12"))),
            format!("ssl.keystore.password={password}"),
            format!("ssl.key.password={password}"),
        ]);
    }
    lines.join("\n") + "\n"
}

fn told(folder: &Path, wanted: &Wanted) -> String {
    let place = |name: &str| folder.join(name).display().to_string();
    let (ca, pem, key) = (place("ca.pem"), place("gateway.pem"), place("gateway.key"));
    let mut text = format!(
        "tls:\n  keyStore: {{ path: {pem}, keyPath: {key} }}\n  trustStore: {{ path: {ca} }}\n\
         # or GATEWAY_SSL_KEY_STORE_PATH={} with the password in {}\n\
         # Java:       --command-config {}\n\
         # librdkafka: -X security.protocol=SSL -X ssl.ca.location={ca}\n\
         # openssl:    openssl s_client -connect HOST:PORT -CAfile {ca}\n",
        place("gateway.p12"),
        place("password"),
        place("ssl.properties"),
    );
    for client in &wanted.clients {
        text += &format!(
            "# {client} (clientAuth: REQUIRE; externalNames: [CN={client}]):\n\
             #   Java: {}   librdkafka: -X ssl.certificate.location={} -X ssl.key.location={}\n",
            place(&format!("{client}.properties")),
            place(&format!("{client}.pem")),
            place(&format!("{client}.key")),
        );
    }
    text
}

#[cfg(test)]
mod tests;
