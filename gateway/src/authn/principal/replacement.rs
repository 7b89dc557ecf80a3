//! The replacement of a rule: Java's `Matcher.appendReplacement` behind Kafka's treatment of groups that do not exist.

use regex::Captures;

use super::pattern::Pattern;

/// A replacement, read for one pattern.
#[derive(Debug)]
pub(super) struct Replacement(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// # Errors
    /// What Java would refuse when the rule is applied.
    pub(super) fn compile(text: &str, pattern: &Pattern) -> Result<Self, String> {
        let groups = pattern.groups();
        let text = if groups == 0 { text.chars().collect() } else { literal_references(text, groups)? };
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut at = 0;
        while let Some(character) = text.get(at) {
            at += 1;
            match character {
                '\\' => {
                    plain.push(*text.get(at).ok_or("holds a replacement that ends with a backslash")?);
                    at += 1;
                }
                '$' => {
                    let group = match text.get(at) {
                        Some('{') => named(&text, &mut at, pattern)?,
                        Some(digit) if digit.is_ascii_digit() => numbered(&text, &mut at, groups)?,
                        _ => return Err("holds a replacement with '$' and no group behind it; write '\\$'".to_owned()),
                    };
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Group(group));
                }
                other => plain.push(*other),
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    /// Java's `String.replaceAll`: an empty match behind another match counts, as in `.*`, which matches twice.
    pub(super) fn replace_all(&self, pattern: &Pattern, text: &str) -> String {
        let (mut out, mut copied, mut from) = (String::new(), 0, 0);
        while from <= text.len() {
            let Some(found) = pattern.somewhere.captures_at(text, from) else { break };
            let Some(whole) = found.get(0) else { break };
            out.push_str(&text[copied..whole.start()]);
            self.append(&found, &mut out);
            copied = whole.end();
            from = match whole.is_empty() {
                true => whole.end() + text[whole.end()..].chars().next().map_or(1, char::len_utf8),
                false => whole.end(),
            };
        }
        out.push_str(&text[copied..]);
        out
    }

    fn append(&self, found: &Captures<'_>, out: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Group(group) => out.push_str(found.get(*group).map_or("", |group| group.as_str())),
            }
        }
    }
}

/// As many digits as make a group that exists; the first counts in any case.
fn numbered(text: &[char], at: &mut usize, groups: usize) -> Result<usize, String> {
    let mut group: Option<usize> = None;
    while let Some(digit) = text.get(*at).and_then(|digit| digit.to_digit(10)) {
        let longer = group.unwrap_or(0).saturating_mul(10).saturating_add(digit as usize);
        if longer > groups {
            if group.is_none() {
                return Err(format!("holds a replacement with ${longer}, but its pattern has {groups} groups"));
            }
            break;
        }
        group = Some(longer);
        *at += 1;
    }
    group.ok_or_else(|| "holds a replacement with '$' and no group".to_owned())
}

fn named(text: &[char], at: &mut usize, pattern: &Pattern) -> Result<usize, String> {
    let name = text[*at + 1..].iter().take_while(|character| **character != '}').collect::<String>();
    let found = pattern.somewhere.capture_names().position(|known| known == Some(name.as_str()));
    *at += name.chars().count() + 2;
    found
        .filter(|_| *at <= text.len())
        .ok_or_else(|| format!("holds a replacement with '${{{name}}}', which is no group"))
}

/// Kafka writes a backslash before a reference to a group that does not exist. It looks for them in the text as it was,
/// and puts the backslash where they were, which is too early by one for each that came before.
fn literal_references(text: &str, groups: usize) -> Result<Vec<char>, String> {
    let original = text.chars().collect::<Vec<_>>();
    let mut value = original.clone();
    let mut at = 0;
    while at < original.len() {
        let digits = original[at + 1..].iter().take_while(|digit| digit.is_ascii_digit()).collect::<String>();
        if original[at] != '$' || digits.is_empty() {
            at += 1;
            continue;
        }
        let start = at;
        at += 1 + digits.len();
        if digits.starts_with('0') {
            continue;
        }
        let number =
            digits.parse::<i32>().map_err(|_| format!("holds a replacement with ${digits}, which is too large"))?;
        let mut number = usize::try_from(number).unwrap_or(usize::MAX);
        while number > groups && number >= 10 {
            number /= 10;
        }
        if number > groups {
            value.insert(start.min(value.len()), '\\');
        }
    }
    Ok(value)
}
