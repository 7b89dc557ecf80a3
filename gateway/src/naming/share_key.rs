//! Keys of share partitions, `group:topicId:partition`, by which FindCoordinator finds the one that keeps their state
//! (KIP-932).

use wire::value;

/// Behind a key that is none it makes one that no broker takes for one, whatever stands before it: no partition is called so.
pub(super) const NO_PARTITION: &str = ":?";

/// A key that is written as Kafka writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareKey<'k> {
    /// The group.
    pub group: &'k str,
    /// The topic's id.
    pub topic_id: [u8; 16],
    partition: &'k str,
}

impl<'k> ShareKey<'k> {
    /// Reads a key. A spelling that only Java's decoders accept (padding, signs, what stands behind) is none: no program
    /// writes it, and an id in it would pass unseen.
    pub fn parse(key: &'k str) -> Option<Self> {
        let (rest, partition) = key.rsplit_once(':')?;
        let (group, id) = rest.rsplit_once(':')?;
        let number = partition.bytes().all(|b| b.is_ascii_digit()) && partition.parse::<i32>().is_ok();
        // As Java trims: a broker takes no group of blanks, and with a prefix it would be a good one.
        let named = group.contains(|c| c > ' ');
        let topic_id = value::uuid_from_text(id)?;
        (number && named).then_some(Self { group, topic_id, partition })
    }

    /// The key with another group and another id, written to `out`.
    pub fn put<'o>(&self, group: &str, topic_id: &[u8; 16], out: &'o mut String) -> &'o str {
        out.clear();
        for piece in [group, ":", &value::uuid_text(topic_id), ":", self.partition] {
            out.push_str(piece);
        }
        out
    }
}

/// What stands at the broker for a key that is none, so that the broker refuses it: `prefix` and more, written to `out`.
pub fn put_invalid<'o>(prefix: &str, key: &str, out: &'o mut String) -> &'o str {
    out.clear();
    for piece in [prefix, key, NO_PARTITION] {
        out.push_str(piece);
    }
    out
}

/// The key that [`put_invalid`] was given, from what it made, without the prefix.
pub fn invalid(key: &str) -> Option<&str> {
    key.strip_suffix(NO_PARTITION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AQEBAQEBAQEBAQEBAQEBAQ";

    #[test]
    fn a_key_is_read_from_its_end_since_groups_may_hold_colons() {
        let text = format!("a:b:{ID}:7");
        let key = ShareKey::parse(&text).unwrap();
        assert_eq!((key.group, key.topic_id), ("a:b", [1; 16]));
        assert_eq!(key.put("team-a.a:b", &[2; 16], &mut String::new()), "team-a.a:b:AgICAgICAgICAgICAgICAg:7");
    }

    #[test]
    fn what_java_would_read_and_nobody_writes_is_no_key() {
        for text in [
            String::new(),
            "group".to_owned(),
            format!("{ID}:0"),
            format!(":{ID}:0"),
            format!(" \u{1}:{ID}:0"),
            format!("g:{ID}=="),
            format!("g:{ID}==:0"),
            format!("g:{}R:0", &ID[..21]),
            format!("g:{ID}:+1"),
            format!("g:{ID}:-1"),
            format!("g:{ID}:"),
            format!("g:{ID}:0:"),
            format!("g:{ID}:99999999999"),
            format!("g:{ID}:٣"),
        ] {
            assert_eq!(ShareKey::parse(&text), None, "{text:?}");
            let mut out = String::new();
            let sent = put_invalid("team-a.", &text, &mut out);
            assert_eq!(ShareKey::parse(sent), None, "{sent:?}");
            assert_eq!(invalid(sent.strip_prefix("team-a.").unwrap()), Some(text.as_str()));
        }
    }
}
