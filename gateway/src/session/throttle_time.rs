//! `throttle_time_ms` in an answer: the longer of what the broker and what the gateway asks its client to wait (KIP-219).

use super::SessionError;
use crate::apis::{plans, row};
use wire::schema::{ApiKey, Field, Type};
use wire::segments::Segments;
use wire::walk::untagged_end;

/// Where it stands in the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind this many bytes.
    Front(usize),
    /// The last field that is not a tagged one.
    Last,
}

/// `None` where the version of the API has none.
fn place(key: ApiKey, version: i16) -> Option<Place> {
    let message = key.response();
    let untagged = |f: &&Field| f.versions.contains(version) && !f.tagged.contains(version);
    let mut before = Some(0);
    for field in message.fields.iter().filter(untagged) {
        if field.name == "ThrottleTimeMs" {
            return Some(before.map_or(Place::Last, Place::Front));
        }
        before = before.and_then(|before| Some(before + fixed(field.ty)?));
    }
    None
}

const fn fixed(ty: Type) -> Option<usize> {
    match ty {
        Type::Bool | Type::Int8 => Some(1),
        Type::Int16 | Type::Uint16 => Some(2),
        Type::Int32 => Some(4),
        Type::Int64 | Type::Float64 => Some(8),
        Type::Uuid => Some(16),
        Type::String | Type::Bytes | Type::Records | Type::Struct(_) | Type::Array(_) => None,
    }
}

/// Raises the time in the four bytes at `at` to `milliseconds`.
fn raise(body: &mut [u8], at: usize, milliseconds: i32) {
    if let Some([a, b, c, d]) = body.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        let longer = i32::from_be_bytes([*a, *b, *c, *d]).max(milliseconds);
        [*a, *b, *c, *d] = longer.to_be_bytes();
    }
}

/// Tells it in a whole body.
fn tell(key: ApiKey, version: i16, body: &mut [u8], milliseconds: i32) {
    let at = match place(key, version) {
        Some(Place::Front(at)) => at,
        Some(Place::Last) => match untagged_end(plans::response(key, version), body) {
            Ok(end) => end.saturating_sub(4),
            Err(_) => return,
        },
        None => return,
    };
    raise(body, at, milliseconds);
}

/// Tells it in an answer that was made here: a whole frame.
pub(super) fn tell_in_frame(key: ApiKey, version: i16, frame: &mut [u8], milliseconds: i32) {
    if milliseconds == 0 || !row(key).versions.contains(version) || !key.versions().contains(version) {
        return;
    }
    let Some(behind) = frame.get_mut(4..) else { return };
    if let Ok((_, start)) = wire::frame::response_header(key.response_header(version), behind) {
        tell(key, version, &mut behind[start..], milliseconds);
    }
}

/// Tells it in an answer of the broker that was mapped: either `whole` or, before the segments over `body`, `front`.
///
/// # Errors
/// [`SessionError::Answer`]
pub(super) fn tell_in_segments(
    (key, version): (ApiKey, i16),
    milliseconds: i32,
    whole: &mut Option<Vec<u8>>,
    front: &mut Vec<u8>,
    segments: &mut Segments,
    body: &[u8],
) -> Result<(), SessionError> {
    match (place(key, version), &mut *whole) {
        (None, _) => {}
        (_, Some(whole)) => tell(key, version, whole, milliseconds),
        (Some(Place::Front(at)), None) => {
            if front.is_empty() {
                *front = segments.front(body, at + 4);
                if front.len() < at + 4 {
                    return Err(SessionError::Answer(format!("{key:?} {version}: it ends too soon")));
                }
                segments.cut(at + 4);
            }
            raise(front, at, milliseconds);
        }
        (Some(Place::Last), None) => {
            let mut bytes = segments.to_vec(body);
            tell(key, version, &mut bytes, milliseconds);
            *whole = Some(bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apis::served;
    use serde_json::json;
    use wire::{frame, value};

    /// What clients and brokers say is longer of the two.
    #[test]
    fn every_version_that_has_the_field_is_told() {
        let mut told = 0;
        for (key, versions) in served() {
            for version in versions.min..=versions.max {
                let has = |f: &Field| f.name == "ThrottleTimeMs" && f.versions.contains(version);
                if !key.response().fields.iter().any(has) {
                    assert_eq!(place(key, version), None, "{key:?} {version}");
                    continue;
                }
                told += 1;
                for (brokers, ours, expected) in [(0, 70, 70), (90, 70, 90)] {
                    let body = value::encode(key.response(), version, &json!({ "ThrottleTimeMs": brokers })).unwrap();
                    let mut made_here = frame::response(key, version, 5, &body);
                    tell_in_frame(key, version, &mut made_here, ours);
                    let (_, start) =
                        wire::frame::response_header(key.response_header(version), &made_here[4..]).unwrap();
                    let said = value::decode(key.response(), version, &made_here[4 + start..]).unwrap();
                    assert_eq!(said["ThrottleTimeMs"], expected, "{key:?} {version}");
                    let expected = value::encode(key.response(), version, &said).unwrap();
                    assert_eq!(in_segments(key, version, &body, ours), expected, "{key:?} {version}");
                }
            }
        }
        assert!(told > 150, "{told}");
    }

    fn in_segments(key: ApiKey, version: i16, body: &[u8], ours: i32) -> Vec<u8> {
        let (mut whole, mut front, mut segments) = (None, Vec::new(), Segments::default());
        let plan = plans::response(key, version);
        wire::walk::walk(plan, body, &mut wire::walk::KeepAll, &mut segments).unwrap();
        tell_in_segments((key, version), ours, &mut whole, &mut front, &mut segments, body).unwrap();
        whole.unwrap_or_else(|| [front, segments.to_vec(body)].concat())
    }

    #[test]
    fn an_answer_without_the_field_stays_as_it_is() {
        let before = frame::response(ApiKey::SaslHandshake, 1, 5, &[0; 6]);
        let mut after = before.clone();
        tell_in_frame(ApiKey::SaslHandshake, 1, &mut after, 70);
        assert_eq!(before, after);
    }
}
