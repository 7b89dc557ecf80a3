//! Frames and headers: what stands around a body.
//!
//! A frame is four bytes of length and that many bytes. A request's header is key, version, correlation id, client id (never
//! compact, also in header version 2) and, in version 2, tagged fields. A response's header is the correlation id and, in
//! version 1, tagged fields.

use crate::read::{Cursor, Malformed, put_varint};
use crate::schema::ApiKey;

/// The header of a request, read as far as it can be without knowing the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// The key as it stands there; it may be unknown.
    pub key: i16,
    /// The version as it stands there; it may be unknown.
    pub version: i16,
    /// The number that the answer repeats.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<&'a str>,
    /// Where the body starts in the frame, behind the tagged fields of header version 2.
    pub body: usize,
}

/// Key, version and correlation id: what every request starts with, whatever its header's version.
///
/// # Errors
/// [`Malformed::Truncated`]
pub fn request_start(frame: &[u8]) -> Result<(i16, i16, i32), Malformed> {
    let mut cursor = Cursor::new(frame);
    Ok((cursor.i16()?, cursor.i16()?, cursor.i32()?))
}

/// Reads the header of a request of `key`; `frame` is without its length.
///
/// # Errors
/// [`Malformed`]
pub fn request_header(key: ApiKey, frame: &[u8]) -> Result<RequestHeader<'_>, Malformed> {
    let mut cursor = Cursor::new(frame);
    let (code, version, correlation_id) = (cursor.i16()?, cursor.i16()?, cursor.i32()?);
    let at = cursor.at();
    let client_id = match cursor.length(false, true, true)? {
        Some(n) => Some(std::str::from_utf8(cursor.take(n)?).map_err(|_| Malformed::Utf8 { at })?),
        None => None,
    };
    if key.request_header(version) == 2 {
        skip_tags(&mut cursor)?;
    }
    Ok(RequestHeader { key: code, version, correlation_id, client_id, body: cursor.at() })
}

/// Reads the header of a response of header version `header`: the correlation id and where the body starts.
///
/// # Errors
/// [`Malformed`]
pub fn response_header(header: i16, frame: &[u8]) -> Result<(i32, usize), Malformed> {
    let mut cursor = Cursor::new(frame);
    let correlation_id = cursor.i32()?;
    if header >= 1 {
        skip_tags(&mut cursor)?;
    }
    Ok((correlation_id, cursor.at()))
}

fn skip_tags(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    for _ in 0..cursor.varint()? {
        let _ = cursor.varint()?;
        let n = cursor.varint()? as usize;
        let _ = cursor.take(n)?;
    }
    Ok(())
}

/// A whole request frame with its length.
pub fn request(key: ApiKey, version: i16, correlation_id: i32, client_id: Option<&str>, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&key.code().to_be_bytes());
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&correlation_id.to_be_bytes());
    match client_id.and_then(|id| i16::try_from(id.len()).ok().map(|n| (id, n))) {
        Some((id, n)) => {
            out.extend_from_slice(&n.to_be_bytes());
            out.extend_from_slice(id.as_bytes());
        }
        None => out.extend_from_slice(&(-1i16).to_be_bytes()),
    }
    if key.request_header(version) == 2 {
        put_varint(&mut out, 0);
    }
    out.extend_from_slice(body);
    finish(out)
}

/// A whole response frame with its length.
pub fn response(key: ApiKey, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&correlation_id.to_be_bytes());
    if key.response_header(version) == 1 {
        put_varint(&mut out, 0);
    }
    out.extend_from_slice(body);
    finish(out)
}

fn finish(mut out: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_header_reads_back_at_both_versions() {
        for (version, tags) in [(11, 0), (12, 1)] {
            let frame = request(ApiKey::Fetch, version, 7, Some("me"), b"body");
            let header = request_header(ApiKey::Fetch, &frame[4..]).unwrap();
            assert_eq!((header.key, header.version, header.correlation_id), (1, version, 7));
            assert_eq!(header.client_id, Some("me"));
            assert_eq!(header.body, 12 + tags);
            assert_eq!(&frame[4 + header.body..], b"body");
        }
    }

    #[test]
    fn a_client_id_that_reaches_past_the_frame_is_malformed() {
        let frame = [0, 1, 0, 11, 0, 0, 0, 1, 0x7f, 0xff, b'x'];
        assert!(matches!(request_header(ApiKey::Fetch, &frame), Err(Malformed::Truncated { need: 32767, .. })));
    }
}
