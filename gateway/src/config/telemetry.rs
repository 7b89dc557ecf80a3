//! How the gateway logs, and where it sends traces.

use contract::secret::Secret;
use serde_yaml::Value;

use super::reader::{Reader, text};
use super::settings::{Setting, file_only, setting};

/// The form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// Where traces go, and how many requests are traced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracing {
    /// Where spans are sent by OTLP over HTTP: the whole URL.
    pub endpoint: String,
    /// Sent along, as a collector may want to know who sends.
    pub headers: Vec<(String, Secret)>,
    /// How the gateway calls itself.
    pub service_name: String,
    /// Of a million requests, this many are traced.
    pub per_million: u32,
}

pub(super) const SETTINGS: &[Setting] = &[
    setting("log.format", "GATEWAY_LOG_FORMAT"),
    setting("log.level", "GATEWAY_LOG_LEVEL"),
    setting("tracing.endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    setting("tracing.headers", "OTEL_EXPORTER_OTLP_HEADERS"),
    setting("tracing.serviceName", "OTEL_SERVICE_NAME"),
    file_only("tracing.sampleRatio"),
];

/// One of a hundred.
const PER_MILLION: u32 = 10_000;
const SERVICE_NAME: &str = "anabranch-gateway";
/// Where a collector takes spans, behind its base URL (OTLP 1.0).
const PATH: &str = "/v1/traces";

pub(super) fn log_format(reader: &mut Reader) -> LogFormat {
    reader.choice("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]).unwrap_or_default()
}

/// As `RUST_LOG` has it: `debug`, or `info,gateway::session=debug`.
pub(super) fn log_level(reader: &mut Reader) -> Option<String> {
    reader.value("log.level", |value| {
        let level = text(value)?;
        let checked = level.parse::<tracing_subscriber::filter::Targets>();
        checked.map(|_| level.clone()).map_err(|error| {
            format!("'{level}' is no level (error, warn, info, debug, trace), nor levels of modules: {error}")
        })
    })
}

/// `None`: nothing is traced.
pub(super) fn tracing(reader: &mut Reader) -> Option<Tracing> {
    let endpoint = reader.value("tracing.endpoint", endpoint);
    let headers = reader.value("tracing.headers", headers).unwrap_or_default();
    let service_name = reader.text("tracing.serviceName").unwrap_or_else(|| SERVICE_NAME.to_owned());
    let per_million = reader.value("tracing.sampleRatio", ratio).unwrap_or(PER_MILLION);
    Some(Tracing { endpoint: endpoint?, headers, service_name, per_million })
}

fn endpoint(value: &Value) -> Result<String, String> {
    let url = text(value)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| format!("'{url}' must begin with https:// or http://"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.is_empty() {
        return Err(format!("'{url}' names no host"));
    }
    if authority.contains('@') {
        return Err("a password does not belong into the address: set tracing.headers".to_owned());
    }
    if rest.contains(['?', '#']) || rest.chars().any(char::is_whitespace) {
        return Err(format!("'{url}' must be a collector's base address, such as http://127.0.0.1:4318"));
    }
    let url = url.trim_end_matches('/');
    Ok(if url.ends_with(PATH) { url.to_owned() } else { format!("{url}{PATH}") })
}

/// As OpenTelemetry's variable has them: `name=value,name=value`.
fn headers(value: &Value) -> Result<Vec<(String, Secret)>, String> {
    let header = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let is_value = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        (is_name && is_value).then(|| (name.to_ascii_lowercase(), Secret::new(value)))
    };
    let text = text(value)?;
    let headers: Option<Vec<_>> = text.split(',').map(header).collect();
    // The text itself is not repeated: it may hold a token.
    headers.ok_or_else(|| "must be headers as in 'name=value,name=value'".to_owned())
}

fn ratio(value: &Value) -> Result<u32, String> {
    let ratio: Option<f64> = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match ratio {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a million")]
        Some(ratio) if (0.0..=1.0).contains(&ratio) => Ok((ratio * 1e6).round() as u32),
        _ => Err("must be a number from 0, no request, to 1, every request".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn config(text: &str, variables: &[(&str, &str)]) -> Config {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::parse(&format!("upstream: {{bootstrapServers: 'k:1'}}\n{text}"), variables).unwrap().config
    }

    #[test]
    fn nothing_is_traced_without_an_address() {
        assert_eq!(config("", &[]).tracing, None);
        assert_eq!(config("", &[]).log_format, LogFormat::Text);
        assert_eq!(config("log: {format: json}", &[]).log_format, LogFormat::Json);
        assert_eq!(config("", &[("GATEWAY_LOG_FORMAT", "JSON")]).log_format, LogFormat::Json);
    }

    #[test]
    fn the_variables_of_opentelemetry_are_understood() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer s3cret, x-team=data"),
            ("OTEL_SOMETHING_ELSE", "1"),
        ];
        let config = config("tracing: {sampleRatio: 0.25}", &variables);
        let tracing = config.tracing.as_ref().unwrap();
        assert_eq!((tracing.endpoint.as_str(), tracing.per_million), ("http://collector:4318/v1/traces", 250_000));
        assert_eq!(tracing.headers[0], ("authorization".to_owned(), Secret::new("Bearer s3cret")));
        assert!(!format!("{config:?}").contains("s3cret"));
        assert_eq!(super::endpoint(&"https://c/x/v1/traces".into()).unwrap(), "https://c/x/v1/traces");
    }
}
