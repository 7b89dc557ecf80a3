//! Which names and prefixes a declaration may use.

use crate::naming::prefix::TOPIC_NAME_MAX;

/// Kafka's limit for a topic is 249: this leaves the tenants at least 149.
const LONGEST_PREFIX: usize = 100;
const LONGEST_NAME: usize = 64;

/// What is wrong with a virtual cluster's name, if anything.
pub(super) fn check_cluster_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(format!("'{name}' must have 1 to {LONGEST_NAME} characters"));
    }
    if !name.bytes().all(is_topic_byte) {
        return Err(format!("'{name}' may hold only letters, digits, '.', '_' and '-'"));
    }
    Ok(())
}

/// What is wrong with a prefix, if anything.
pub(super) fn check_prefix(prefix: &str) -> Result<(), String> {
    if prefix.is_empty() || prefix.len() > LONGEST_PREFIX {
        return Err(format!("'{prefix}' must have 1 to {LONGEST_PREFIX} characters"));
    }
    if !prefix.bytes().all(is_topic_byte) {
        return Err(format!("'{prefix}' may hold only letters, digits, '.', '_' and '-'"));
    }
    // Kafka's internal topics begin with an underscore: a tenant with the prefix "__" would own them.
    if !prefix.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err(format!("'{prefix}' must begin with a letter or digit"));
    }
    Ok(())
}

/// What is wrong with a topic's name on the physical cluster, or in a virtual one, if anything.
pub(super) fn check_topic(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > TOPIC_NAME_MAX {
        return Err(format!("'{name}' must have 1 to {TOPIC_NAME_MAX} characters"));
    }
    if !name.bytes().all(is_topic_byte) {
        return Err(format!("'{name}' may hold only letters, digits, '.', '_' and '-'"));
    }
    if matches!(name, "." | "..") {
        return Err(format!("'{name}' is no name that Kafka takes"));
    }
    Ok(())
}

/// What is wrong with an account's name, if anything.
pub(super) fn check_username(name: &str) -> Result<(), String> {
    let bytes_fit = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if (3..=64).contains(&name.len()) && bytes_fit {
        Ok(())
    } else {
        Err(format!("'{name}' must have 3 to 64 letters, digits, '_' or '-'"))
    }
}

/// The prefix as Kafka compares topic names: two that differ in '.' and '_' only collide, and the broker would tell one
/// tenant about the other's topic.
pub(super) fn comparable(prefix: &str) -> String {
    prefix.replace('.', "_")
}

fn is_topic_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for name in ["a", "vc-alice", "sb_0123456789", "Team.B", "_x"] {
            assert_eq!(check_cluster_name(name), Ok(()));
        }
        for name in ["", "a b", "ä", "a/b", "x".repeat(65).as_str()] {
            assert!(check_cluster_name(name).is_err(), "{name}");
        }
        assert_eq!(check_username("sb_0123456789_app"), Ok(()));
        for name in ["ab", "a.b.c", "a b c", "x".repeat(65).as_str()] {
            assert!(check_username(name).is_err(), "{name}");
        }
    }

    #[test]
    fn no_prefix_reaches_internal_topics() {
        for internal in ["__consumer_offsets", "__transaction_state", "_anabranch.state"] {
            for length in 1..=internal.len() {
                assert!(check_prefix(&internal[..length]).is_err(), "{}", &internal[..length]);
            }
        }
        assert_eq!(check_prefix("vc-alice."), Ok(()));
    }
}
