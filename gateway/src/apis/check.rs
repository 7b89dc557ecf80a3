//! The first gate: a frame becomes [`Checked`] when its API and version are in the table and its header is well-formed.

use super::{Row, Verdict, row};
use wire::frame::{self, RequestHeader};
use wire::read::Malformed;
use wire::schema::{ApiKey, Versions};

/// A request whose header was read and whose API and version are served. Only [`check`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    key: ApiKey,
    header: RequestHeader<'a>,
    frame: &'a [u8],
}

/// Why a frame is not a request that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unserved {
    /// The header is not one.
    #[error("malformed header: {0}")]
    Malformed(#[from] Malformed),
    /// No Kafka knows this key.
    #[error("unknown API key {0}")]
    UnknownKey(i16),
    /// The version is not described or was not reviewed.
    #[error("{key:?} version {version} is not served ({min} to {max} are)", min = .served.min, max = .served.max)]
    Version {
        /// The API.
        key: ApiKey,
        /// The version that was asked for.
        version: i16,
        /// The versions that are served.
        served: Versions,
        /// What the answer has to repeat.
        correlation_id: i32,
    },
    /// The table denies it.
    #[error("{key:?} is not for virtual clusters: {reason}")]
    Denied {
        /// The API.
        key: ApiKey,
        /// The version that was asked for.
        version: i16,
        /// Why.
        reason: &'static str,
        /// What the answer has to repeat.
        correlation_id: i32,
    },
}

/// Reads the header of a frame (without its length) and looks it up in the table.
///
/// # Errors
/// [`Unserved`]
pub fn check(frame: &[u8]) -> Result<Checked<'_>, Unserved> {
    let (code, version, correlation_id) = frame::request_start(frame)?;
    let key = ApiKey::from_code(code).ok_or(Unserved::UnknownKey(code))?;
    let Row { verdict, versions, reason } = row(key);
    if verdict == Verdict::Deny {
        return Err(Unserved::Denied { key, version, reason, correlation_id });
    }
    let served = versions.intersect(key.versions());
    if !served.contains(version) {
        return Err(Unserved::Version { key, version, served, correlation_id });
    }
    Ok(Checked { key, header: frame::request_header(key, frame)?, frame })
}

impl<'a> Checked<'a> {
    /// The API.
    pub const fn key(&self) -> ApiKey {
        self.key
    }

    /// The version.
    pub const fn version(&self) -> i16 {
        self.header.version
    }

    /// The header.
    pub const fn header(&self) -> RequestHeader<'a> {
        self.header
    }

    /// The header's bytes.
    pub fn head(&self) -> &'a [u8] {
        &self.frame[..self.header.body]
    }

    /// The body's bytes.
    pub fn body(&self) -> &'a [u8] {
        &self.frame[self.header.body..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(key: i16, version: i16) -> Vec<u8> {
        let mut frame = [key.to_be_bytes(), version.to_be_bytes()].concat();
        frame.extend_from_slice(&[0, 0, 0, 9, 0xff, 0xff, 0]);
        frame
    }

    #[test]
    fn what_the_table_does_not_serve_is_refused() {
        assert!(check(&frame(1, 12)).is_ok());
        assert_eq!(check(&frame(10_000, 0)).unwrap_err(), Unserved::UnknownKey(10_000));
        assert!(matches!(check(&frame(1, 99)), Err(Unserved::Version { version: 99, correlation_id: 9, .. })));
        assert!(matches!(check(&frame(24, 4)), Err(Unserved::Version { .. })), "between brokers");
        assert!(matches!(check(&frame(55, 0)), Err(Unserved::Denied { .. })));
        assert!(matches!(check(&[0, 1]), Err(Unserved::Malformed(_))));
    }
}
