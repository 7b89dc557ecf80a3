//! Which gateway is asked, and as whom.

use std::path::PathBuf;

use contract::client::AdminClient;

use super::CliError;

/// Where the admin API is.
#[derive(Debug, clap::Args)]
pub struct Connection {
    /// Address of the gateway's admin API, http:// or https://
    #[arg(long, env = "GATEWAY_ADMIN_URL", value_name = "URL", default_value = "http://127.0.0.1:8888")]
    server: String,
    /// User of the admin API
    #[arg(long, env = "GATEWAY_ADMIN_USER", value_name = "NAME", default_value = "admin")]
    username: String,
    /// A file with the password of that user; else GATEWAY_ADMIN_PASSWORD holds it. Not an option: others could see it
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Certificates (PEM) of the authorities that are believed over https://; those of the system if not given
    #[arg(long, env = "GATEWAY_ADMIN_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Connection {
    pub(super) fn client(&self) -> Result<AdminClient, CliError> {
        let password = match &self.password_file {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                let text =
                    text.map_err(|error| CliError::CannotTell(format!("cannot read {}: {error}", file.display())))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            None => std::env::var("GATEWAY_ADMIN_PASSWORD").unwrap_or_default(),
        };
        Ok(match &self.ca_file {
            Some(file) => AdminClient::with_authorities(file, &self.server, &self.username, &password)?,
            None => AdminClient::new(&self.server, &self.username, &password),
        })
    }
}
