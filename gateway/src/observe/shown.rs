//! Text of strangers, made fit to be shown: in a log, an audit event, an error or a label.
//!
//! Invariant: a [`Shown`] is short, of one line, and holds nothing that a terminal or an editor obeys.

use std::fmt;

use serde::{Serialize, Serializer};

/// As long as Kafka's own longest names.
const LONGEST: usize = 249;
const CUT: char = '…';

/// A text that may be shown: cut after 249 characters, `\u{FFFD}` in place of control characters and of those that change the
/// direction of writing or are invisible.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shown(Box<str>);

impl Shown {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        let mut shown = String::with_capacity(text.len().min(LONGEST));
        for (at, character) in text.chars().enumerate() {
            if at == LONGEST {
                shown.push(CUT);
                break;
            }
            shown.push(if misleads(character) { char::REPLACEMENT_CHARACTER } else { character });
        }
        Self(shown.into_boxed_str())
    }
}

impl From<String> for Shown {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Shown {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

/// Control characters, line and paragraph separators, joiners, directional marks, and the byte order mark.
fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{00AD}' | '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}')
        || matches!(character, '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_names_stay_as_they_are() {
        for name in ["orders", "CN=alice,OU=payments", "zoë", "日本"] {
            assert_eq!(Shown::from(name).as_str(), name);
        }
    }

    #[test]
    fn nothing_forges_a_line_or_turns_the_writing_round() {
        let shown = Shown::from("a\nINFO forged\r\u{1b}[31m\u{202e}gpj\u{200b}\u{2028}");
        assert_eq!(
            shown.as_str(),
            "a\u{FFFD}INFO forged\u{FFFD}\u{FFFD}[31m\u{FFFD}gpj\u{FFFD}\u{FFFD}",
            "each is replaced, none is left out"
        );
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let shown = Shown::from("é".repeat(100_000));
        assert_eq!(shown.as_str().chars().count(), LONGEST + 1);
        assert!(shown.as_str().ends_with(CUT));
        assert_eq!(Shown::from("é".repeat(LONGEST)).as_str().chars().count(), LONGEST);
    }
}
