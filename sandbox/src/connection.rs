//! How an application connects to a sandbox, in the words of each kind of application.

use clap::ValueEnum;
use contract::secret::Secret;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    pub bootstrap: String,
    pub security_protocol: String,
    pub mechanism: String,
    pub username: String,
    pub password: Secret,
}

/// The forms in which `env` prints a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// KEY='value' lines for an .env file
    Dotenv,
    /// export lines for a POSIX shell
    Shell,
    /// one JSON object of the same keys
    Json,
    /// a properties file of the Java clients (--consumer.config, --command-config)
    Properties,
    /// a properties file of librdkafka (kcat -F)
    Librdkafka,
}

impl Connection {
    /// PLAIN without TLS, for a gateway on this machine: every client can do it. The account takes SCRAM-SHA-256 and -512 too.
    pub fn plain(bootstrap: impl Into<String>, username: impl Into<String>, password: Secret) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            security_protocol: "SASL_PLAINTEXT".to_owned(),
            mechanism: "PLAIN".to_owned(),
            username: username.into(),
            password,
        }
    }

    /// The variables of a sandbox's environment, in the order they are printed.
    pub fn variables(&self, name: &str, id: &str) -> Vec<(&'static str, String)> {
        vec![
            ("KAFKA_BOOTSTRAP_SERVERS", self.bootstrap.clone()),
            ("KAFKA_SECURITY_PROTOCOL", self.security_protocol.clone()),
            ("KAFKA_SASL_MECHANISM", self.mechanism.clone()),
            ("KAFKA_SASL_USERNAME", self.username.clone()),
            ("KAFKA_SASL_PASSWORD", self.password.reveal().to_owned()),
            ("KAFKA_SASL_JAAS_CONFIG", self.jaas()),
            ("SANDBOX_NAME", name.to_owned()),
            ("SANDBOX_ID", id.to_owned()),
        ]
    }

    /// The whole text of one format, with its last line ended.
    pub fn render(&self, format: Format, name: &str, id: &str) -> String {
        let variables = self.variables(name, id);
        match format {
            Format::Dotenv => lines(&variables, |key, value| format!("{key}={}", dotenv_value(value))),
            Format::Shell => lines(&variables, |key, value| format!("export {key}={}", shell_value(value))),
            Format::Json => {
                let object = variables
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value.into()))
                    .collect::<serde_json::Map<_, _>>();
                format!("{:#}\n", serde_json::Value::Object(object))
            }
            Format::Properties => lines(
                &[
                    ("bootstrap.servers", self.bootstrap.clone()),
                    ("security.protocol", self.security_protocol.clone()),
                    ("sasl.mechanism", self.mechanism.clone()),
                    ("sasl.jaas.config", self.jaas()),
                ],
                |key, value| format!("{key}={value}"),
            ),
            Format::Librdkafka => lines(
                &[
                    ("bootstrap.servers", self.bootstrap.clone()),
                    ("security.protocol", self.security_protocol.clone()),
                    ("sasl.mechanism", self.mechanism.clone()),
                    ("sasl.username", self.username.clone()),
                    ("sasl.password", self.password.reveal().to_owned()),
                ],
                |key, value| format!("{key}={value}"),
            ),
        }
    }

    fn jaas(&self) -> String {
        let module = if self.mechanism == "PLAIN" {
            "org.apache.kafka.common.security.plain.PlainLoginModule"
        } else {
            "org.apache.kafka.common.security.scram.ScramLoginModule"
        };
        format!(r#"{module} required username="{}" password="{}";"#, self.username, self.password.reveal())
    }
}

fn lines(pairs: &[(&str, String)], line: impl Fn(&str, &str) -> String) -> String {
    pairs.iter().map(|(key, value)| line(key, value) + "\n").collect()
}

/// Bare where every reader of .env files agrees on the meaning, else in single quotes, which none of them expands.
fn dotenv_value(value: &str) -> String {
    if value.bytes().all(is_bare) { value.to_owned() } else { format!("'{value}'") }
}

fn shell_value(value: &str) -> String {
    if value.bytes().all(is_bare) { value.to_owned() } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b',' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(format: Format) -> String {
        Connection::plain("127.0.0.1:6969", "sb_aaaaaaaaaa_app", Secret::new("s3cret")).render(
            format,
            "demo",
            "sb_aaaaaaaaaa",
        )
    }

    #[test]
    fn dotenv() {
        assert_eq!(
            render(Format::Dotenv),
            r#"KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:6969
KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT
KAFKA_SASL_MECHANISM=PLAIN
KAFKA_SASL_USERNAME=sb_aaaaaaaaaa_app
KAFKA_SASL_PASSWORD=s3cret
KAFKA_SASL_JAAS_CONFIG='org.apache.kafka.common.security.plain.PlainLoginModule required username="sb_aaaaaaaaaa_app" password="s3cret";'
SANDBOX_NAME=demo
SANDBOX_ID=sb_aaaaaaaaaa
"#
        );
    }

    #[test]
    fn shell_exports_the_same() {
        let expected = render(Format::Dotenv).lines().map(|line| format!("export {line}\n")).collect::<String>();
        assert_eq!(render(Format::Shell), expected);
        assert_eq!(shell_value("it's"), r"'it'\''s'");
    }

    #[test]
    fn java_and_librdkafka_properties() {
        assert_eq!(
            render(Format::Properties),
            r#"bootstrap.servers=127.0.0.1:6969
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="sb_aaaaaaaaaa_app" password="s3cret";
"#
        );
        assert_eq!(
            render(Format::Librdkafka),
            "bootstrap.servers=127.0.0.1:6969\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n\
             sasl.username=sb_aaaaaaaaaa_app\nsasl.password=s3cret\n"
        );
    }

    #[test]
    fn json_has_every_variable() {
        let value: serde_json::Value = serde_json::from_str(&render(Format::Json)).unwrap();
        assert_eq!(value["KAFKA_SASL_PASSWORD"], "s3cret");
        assert_eq!(value.as_object().unwrap().len(), 8);
    }
}
