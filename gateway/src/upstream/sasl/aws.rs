//! AWS Signature Version 4, as far as a presigned request needs it.
//!
//! Algorithm: "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)" and "Create a signed AWS API
//! request" of AWS' documentation. It makes text of what it is given and knows no service.

use aws_lc_rs::{digest, hmac};
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// The only algorithm there is.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A request as it is signed.
#[derive(Debug)]
pub(super) struct Canonical<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Names and values as they are, in any order.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Lower-case names and trimmed values, by name.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// The payload's hash in hex, or what a service takes for it.
    pub(super) payload: &'a str,
}

/// Where and when a signature counts.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// `20130524T000000Z`
    pub(super) time: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

impl Scope<'_> {
    fn date(&self) -> &str {
        self.time.split('T').next().unwrap_or_default()
    }

    /// `20130524/us-east-1/s3/aws4_request`
    pub(super) fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date(), self.region, self.service)
    }

    fn key(&self, secret: &str) -> Vec<u8> {
        let steps = [self.date(), self.region, self.service, "aws4_request"];
        steps.iter().fold(format!("AWS4{secret}").into_bytes(), |key, step| mac(&key, step))
    }
}

impl Canonical<'_> {
    fn text(&self) -> String {
        let mut query = self.query.iter().map(|(name, value)| (encoded(name), encoded(value))).collect::<Vec<_>>();
        query.sort();
        let query = query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let headers = self.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect::<String>();
        let names = self.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        format!("{}\n{}\n{query}\n{headers}\n{names}\n{}", self.method, self.path, self.payload)
    }

    /// The signature in hex.
    pub(super) fn signature(&self, scope: &Scope<'_>, secret: &str) -> String {
        let hash = hex(digest::digest(&digest::SHA256, self.text().as_bytes()).as_ref());
        let to_sign = format!("{ALGORITHM}\n{}\n{}\n{hash}", scope.time, scope.text());
        hex(&mac(&scope.key(secret), &to_sign))
    }
}

/// The hash of no payload, in hex.
pub(super) fn empty_payload() -> String {
    hex(digest::digest(&digest::SHA256, b"").as_ref())
}

/// `20130524T000000Z` of a time after 1970.
pub(super) fn timestamp(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Year, month and day of the Gregorian calendar, of days since 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

fn mac(key: &[u8], message: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Everything but letters, digits and `-_.~` as `%XX`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The secret of AWS' documentation and test suite.
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const S3_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    /// docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, "Example"
    #[test]
    fn the_documented_presigned_request() {
        let scope = Scope { time: "20130524T000000Z", region: "us-east-1", service: "s3" };
        let credential = format!("AKIAIOSFODNN7EXAMPLE/{}", scope.text());
        let query = [
            ("X-Amz-SignedHeaders", "host"),
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", scope.time),
            ("X-Amz-Expires", "86400"),
        ];
        let request = Canonical {
            method: "GET",
            path: "/test.txt",
            query: &query,
            headers: &[("host", "examplebucket.s3.amazonaws.com")],
            payload: "UNSIGNED-PAYLOAD",
        };
        assert_eq!(
            hex(digest::digest(&digest::SHA256, request.text().as_bytes()).as_ref()),
            "3bfa292879f6447bbcda7001decf97f4a54dc650c8942174ae0a9121cf58ad04"
        );
        assert_eq!(
            request.signature(&scope, S3_SECRET),
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    /// docs.aws.amazon.com/general/latest/gr/signature-v4-examples.html, "Derive a signing key"
    #[test]
    fn the_documented_signing_key() {
        let scope = Scope { time: "20120215T000000Z", region: "us-east-1", service: "iam" };
        assert_eq!(hex(&scope.key(SECRET)), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }

    /// aws-sig-v4-test-suite: get-vanilla and get-vanilla-query-order-key-case
    #[test]
    fn the_published_test_suite() {
        let scope = Scope { time: "20150830T123600Z", region: "us-east-1", service: "service" };
        let headers = [("host", "example.amazonaws.com"), ("x-amz-date", scope.time)];
        let cases: [(&[(&str, &str)], &str); 2] = [
            (&[], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (
                &[("Param2", "value2"), ("Param1", "value1")],
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ];
        for (query, expected) in cases {
            let payload = empty_payload();
            let request = Canonical { method: "GET", path: "/", query, headers: &headers, payload: &payload };
            assert_eq!(request.signature(&scope, SECRET), expected);
        }
    }

    #[test]
    fn times_are_written_as_aws_wants_them() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(1_369_353_600), "20130524T000000Z");
        assert_eq!(at(1_709_164_799), "20240228T235959Z");
        assert_eq!(at(1_709_164_800), "20240229T000000Z");
        assert_eq!(at(4_107_542_400), "21000301T000000Z");
    }
}
