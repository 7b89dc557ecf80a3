//! AWS_MSK_IAM: a presigned request for `kafka-cluster:Connect`, in place of which a JSON object is sent.
//!
//! The fields are those that `aws-msk-iam-auth` sends (version `2020_10_22`): the query of the presigned request in lower
//! case, the host that it is signed for, and who asks.

use super::aws::{ALGORITHM, Canonical, Scope, empty_payload, timestamp};
use super::{LoginError, Step};
use crate::config::upstream::AwsIam;
use serde_json::{Value, json};
use std::time::SystemTime;

const VERSION: &str = "2020_10_22";
const SERVICE: &str = "kafka-cluster";
const ACTION: &str = "kafka-cluster:Connect";
/// How long the broker may take it for fresh, in seconds.
const EXPIRES: &str = "900";

/// The key that requests are signed with.
#[derive(Debug)]
pub(super) struct MskIam {
    settings: AwsIam,
}

impl MskIam {
    pub(super) fn new(settings: AwsIam) -> Self {
        Self { settings }
    }

    pub(super) fn access_key_id(&self) -> &str {
        &self.settings.access_key_id
    }

    pub(super) fn start(&self, host: &str) -> Result<Exchange, LoginError> {
        Ok(Exchange { payload: self.payload(host, SystemTime::now())? })
    }

    fn payload(&self, host: &str, now: SystemTime) -> Result<Vec<u8>, LoginError> {
        let region = region_of(host).or(self.settings.region.as_deref()).ok_or_else(|| {
            LoginError::Credentials(format!("the host '{host}' names no AWS region: set AWS_REGION as well"))
        })?;
        let time = timestamp(now);
        let scope = Scope { time: &time, region, service: SERVICE };
        let credential = format!("{}/{}", self.settings.access_key_id, scope.text());
        let mut query = vec![
            ("Action", ACTION),
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &*credential),
            ("X-Amz-Date", &*time),
            ("X-Amz-Expires", EXPIRES),
            ("X-Amz-SignedHeaders", "host"),
        ];
        if let Some(token) = &self.settings.session_token {
            query.push(("X-Amz-Security-Token", token.reveal()));
        }
        let payload = empty_payload();
        let request =
            Canonical { method: "GET", path: "/", query: &query, headers: &[("host", host)], payload: &payload };
        let signature = request.signature(&scope, self.settings.secret_access_key.reveal());
        let mut sent = json!({
            "version": VERSION,
            "host": host,
            "user-agent": concat!("anabranch-gateway/", env!("CARGO_PKG_VERSION")),
            "x-amz-signature": signature,
        });
        for (name, value) in query {
            sent[name.to_lowercase()] = Value::from(value);
        }
        Ok(sent.to_string().into_bytes())
    }
}

/// `us-east-1` of `b-1.cluster.abc.c2.kafka.us-east-1.amazonaws.com`, also of serverless and Chinese ones.
fn region_of(host: &str) -> Option<&str> {
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let host = host.strip_suffix(".amazonaws.com")?;
    let (_, region) = host.rsplit_once('.')?;
    region.contains('-').then_some(region)
}

/// One login.
pub(super) struct Exchange {
    payload: Vec<u8>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange(***)")
    }
}

impl Exchange {
    pub(super) fn first(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.payload)
    }

    /// The broker answers `{"version": …, "request-id": …}`.
    pub(super) fn step(&self, message: &[u8]) -> Result<Step, LoginError> {
        let answer = serde_json::from_slice::<Value>(message).unwrap_or_default();
        if answer["version"] == VERSION {
            Ok(Step::Done)
        } else {
            Err(LoginError::Malformed("AWS_MSK_IAM ends with a JSON object of version 2020_10_22"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::secret::Secret;
    use std::time::{Duration, UNIX_EPOCH};

    const HOST: &str = "b-1.test.abcdef.c2.kafka.us-west-2.amazonaws.com";

    fn iam(session_token: Option<&str>, region: Option<&str>) -> MskIam {
        MskIam::new(AwsIam {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: session_token.map(Secret::new),
            region: region.map(str::to_owned),
        })
    }

    fn payload(iam: &MskIam, host: &str) -> Value {
        let now = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        serde_json::from_slice(&iam.payload(host, now).unwrap()).unwrap()
    }

    #[test]
    fn the_payload_has_the_fields_that_brokers_know() {
        let sent = payload(&iam(None, None), HOST);
        let mut names = sent.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
        names.sort_unstable();
        let expected = [
            "action",
            "host",
            "user-agent",
            "version",
            "x-amz-algorithm",
            "x-amz-credential",
            "x-amz-date",
            "x-amz-expires",
            "x-amz-signature",
            "x-amz-signedheaders",
        ];
        assert_eq!(names, expected);
        assert_eq!(sent["action"], "kafka-cluster:Connect");
        assert_eq!(sent["x-amz-credential"], "AKIDEXAMPLE/20150830/us-west-2/kafka-cluster/aws4_request");
        assert_eq!(sent["x-amz-date"], "20150830T123600Z");
        assert_eq!(sent["host"], HOST);
    }

    /// What aws-msk-iam-auth 2.3.2 made of this key, token and host at that second.
    #[test]
    fn the_signature_is_that_of_aws_own_client() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_259_840);
        let sent = iam(Some("session/token+1=="), None).payload(HOST, now).unwrap();
        let sent = serde_json::from_slice::<Value>(&sent).unwrap();
        assert_eq!(sent["x-amz-date"], "20261121T111720Z");
        assert_eq!(sent["x-amz-signature"], "067d62a2bbc0305240d2b76840ced5dd9af69bbdcda7b6f3e2a7c38f2a9669df");
    }

    #[test]
    fn the_signature_depends_on_host_and_session_token() {
        let signature = |token, host| payload(&iam(token, Some("eu-west-1")), host)["x-amz-signature"].clone();
        let signatures = [signature(None, HOST), signature(Some("t"), HOST), signature(None, "localhost")];
        assert!(signatures[0] != signatures[1] && signatures[0] != signatures[2], "{signatures:?}");
        assert_eq!(payload(&iam(Some("t"), None), HOST)["x-amz-security-token"], "t");
    }

    #[test]
    fn the_region_is_read_from_the_brokers_name() {
        for (host, region) in [
            (HOST, Some("us-west-2")),
            ("b-3-public.x.kafka.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("boot-x.c1.kafka-serverless.eu-central-1.amazonaws.com", Some("eu-central-1")),
            ("b-1.x.c2.kafka.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("kafka.example.com", None),
            ("kafka.amazonaws.com", None),
        ] {
            assert_eq!(region_of(host), region, "{host}");
        }
        assert_eq!(
            payload(&iam(None, Some("eu-west-1")), "localhost")["x-amz-credential"],
            "AKIDEXAMPLE/20150830/eu-west-1/kafka-cluster/aws4_request"
        );
        let Err(error) = iam(None, None).start("localhost") else { panic!() };
        assert!(error.to_string().contains("set AWS_REGION"), "{error}");
    }

    #[test]
    fn only_the_brokers_own_answer_is_a_success() {
        let exchange = Exchange { payload: Vec::new() };
        assert_eq!(exchange.step(br#"{"version":"2020_10_22","request-id":"x"}"#), Ok(Step::Done));
        for answer in ["", "{}", "null", "{\"version\":\"1\"}", "not JSON"] {
            assert!(exchange.step(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
