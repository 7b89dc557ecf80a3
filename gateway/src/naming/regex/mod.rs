//! Regular expressions that the broker matches against physical names.
//!
//! A tenant's pattern becomes one that matches only names with the tenant's prefix: the prefix, escaped, and the pattern in a
//! group behind it. That holds whatever the pattern is, because a pattern is taken only if its own groups, classes and quotes
//! end inside of it ([`tokens`]). The broker wants the whole name to match, so that `$` stays what it is; but a start of the
//! text (`^`, `\A`) would fail behind the prefix. Where it can only stand at the start of the name it is replaced with a
//! group that is always empty, where it never can it stays, and a pattern in which it could be both is refused; but for
//! `.*(?:…).*`, as clients write that a name shall be searched ([`searched`]).
//!
//! The rewriting can be taken back: what the broker shows of a pattern is shown as the tenant wrote it.

mod tokens;

use self::tokens::{Token, Tokens};
use super::prefix::Namespace;

/// The longest pattern in bytes.
pub const LONGEST: usize = 4096;
/// The most groups in groups: the broker reads them by recursion.
const DEEPEST: usize = 100;
/// The most steps that a pattern may be compiled to: `(a{1000}){1000}` takes the broker's memory.
const LARGEST: usize = 10_000;

/// Stands for `^`.
const LINE_START: &str = "(?s-s:)";
/// Stands for `\A`.
const TEXT_START: &str = "(?m-m:)";
/// Stands for either where it is not the start of the name: matches nothing.
const NEVER: &str = "[^\\x00-\\x{10FFFF}]";
/// Begins each half of a pattern that was taken apart.
const HALF: &str = "(?U-U:)";
/// Begins patterns that match whatever the prefix is.
const ANYTHING: &str = ".*";
/// Closes a quote that the tenant left open.
const QUOTE_END: &str = "\\E(?U-U:)";

/// Why a pattern is not taken. The words are those of RE2 where it has some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Longer than [`LONGEST`].
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// Deeper than [`DEEPEST`].
    #[error("more than {DEEPEST} groups lie in each other")]
    TooDeep,
    /// Larger than [`LARGEST`].
    #[error("its repetitions make it larger than {LARGEST} steps")]
    TooLarge,
    /// A group that does not end, or one that ends and did not begin.
    #[error("missing closing )")]
    MissingParen,
    /// `)` without `(`.
    #[error("unexpected )")]
    UnexpectedParen,
    /// A class that does not end.
    #[error("missing closing ]")]
    MissingBracket,
    /// A range or named class that is none.
    #[error("invalid character class range")]
    ClassRange,
    /// An escape that is none.
    #[error("invalid escape sequence")]
    Escape,
    /// Nothing to escape.
    #[error("trailing backslash at end of expression")]
    TrailingBackslash,
    /// A named group without a name.
    #[error("invalid named capture")]
    GroupName,
    /// Two named groups of one name.
    #[error("duplicate capture group name")]
    GroupNamedTwice,
    /// `(?` and what follows.
    #[error("invalid or unsupported Perl syntax")]
    Syntax,
    /// `{9999}`
    #[error("invalid repeat count")]
    RepeatCount,
    /// `*` behind nothing.
    #[error("missing argument to repetition operator")]
    RepeatNothing,
    /// `**`
    #[error("invalid nested repetition operator")]
    RepeatRepeat,
    /// `a*^b`
    #[error("^ and \\A are taken where they can only be the start of the name, or never: write the alternatives apart")]
    Anchor,
    /// `\b` beside a prefix that ends in a letter.
    #[error("\\b and \\B are not taken at the start of a name")]
    Boundary,
    /// An enforced prefix that it does not begin with.
    #[error("the names of this virtual cluster begin with its prefix, and so must the pattern (or with .*)")]
    Outside,
    /// It looks as if it were rewritten already.
    #[error("(?s-s:), (?m-m:) and (?U-U:) have no effect and are not taken")]
    Reserved,
}

/// The pattern that matches the physical names of those that `pattern` matches, and no others. An empty pattern is none, and
/// stays so.
///
/// # Errors
/// [`Fault`]
pub fn rewrite(namespace: &Namespace, pattern: &str) -> Result<String, Fault> {
    if namespace.is_transparent() || pattern.is_empty() {
        return Ok(pattern.to_owned());
    }
    if pattern.len() > LONGEST {
        return Err(Fault::TooLong);
    }
    if [LINE_START, TEXT_START, HALF].iter().any(|reserved| pattern.contains(reserved)) {
        return Err(Fault::Reserved);
    }
    let pattern = if namespace.is_enforced() { behind_prefix(namespace, pattern)? } else { pattern };
    let (start, end) = around(namespace);
    let word = namespace.prefix().ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let inside = match inside(pattern, word, [LINE_START, TEXT_START]) {
        Err(Fault::Anchor) => searched(pattern, word)?,
        done => done?,
    };
    Ok(start + &inside + end)
}

/// The rest of a pattern that begins with an enforced prefix: what it matches behind the prefix is what the whole matches. One
/// that begins with `.*` is taken as it is, since that can stand for the prefix.
fn behind_prefix<'p>(namespace: &Namespace, pattern: &'p str) -> Result<&'p str, Fault> {
    if pattern.starts_with(ANYTHING) {
        return Ok(pattern);
    }
    let mut rest = pattern.strip_prefix('^').unwrap_or(pattern);
    for c in namespace.prefix().chars() {
        let escaped = rest.strip_prefix('\\').filter(|_| c.is_ascii_punctuation()).unwrap_or(rest);
        rest = escaped.strip_prefix(c).ok_or(Fault::Outside)?;
    }
    // What repeats the prefix's end, or stands for something else than what begins with it, begins with something else.
    let repeats = rest.starts_with(['*', '+', '?', '{']);
    if repeats || has_alternatives(rest) { Err(Fault::Outside) } else { Ok(rest) }
}

/// Whether a pattern has alternatives that no group holds.
fn has_alternatives(pattern: &str) -> bool {
    let (mut depth, mut tokens) = (0_usize, Tokens::new(pattern));
    while let Ok(Some((_, token))) = tokens.next() {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            Token::Or if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// The pattern with something else for each start of the text at its own start.
fn inside(pattern: &str, word: bool, [line_start, text_start]: [&str; 2]) -> Result<String, Fault> {
    let mut out = String::with_capacity(pattern.len());
    let mut reader = Reader { group: Group::new(Place::Start), outer: Vec::new(), word };
    let mut tokens = Tokens::new(pattern);
    while let Some((range, token)) = tokens.next()? {
        let at_start = reader.token(token)?;
        match token {
            Token::LineStart if at_start => out.push_str(line_start),
            Token::TextStart if at_start => out.push_str(text_start),
            _ => out.push_str(&pattern[range]),
        }
        if matches!(token, Token::Quote { closed: false, .. }) {
            out.push_str(QUOTE_END);
        }
    }
    if !reader.outer.is_empty() {
        return Err(Fault::MissingParen);
    }
    Ok(out)
}

/// `.*(?:…).*` in two halves: what the group finds at the start of the name, or anywhere with no start of the text in it.
/// franz-go sends every pattern in this form, and most people begin theirs with `^`.
fn searched(pattern: &str, word: bool) -> Result<String, Fault> {
    let group = searched_group(pattern).ok_or(Fault::Anchor)?;
    let first = inside(group, word, [LINE_START, TEXT_START])?;
    let anywhere = inside(group, word, [NEVER, NEVER])?;
    Ok(format!("{HALF}{first}.*|{HALF}.*{anywhere}.*"))
}

/// The group of `.*(?:…).*`. One with names would have them twice in the halves.
fn searched_group(pattern: &str) -> Option<&str> {
    let group = pattern.strip_prefix(".*")?.strip_suffix(".*")?;
    if !group.starts_with("(?:") || ["(?P<", "(?<"].iter().any(|name| group.contains(name)) {
        return None;
    }
    let mut depth = 0_usize;
    let mut tokens = Tokens::new(group);
    while let Ok(Some((range, token))) = tokens.next() {
        match token {
            Token::Open => depth += 1,
            Token::Close if depth == 1 => return (range.end == group.len()).then_some(group),
            Token::Close => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The pattern of which [`rewrite`] made `physical`; `None` if it did not.
///
/// An enforced prefix is shown escaped, however it was written.
pub fn restore(namespace: &Namespace, physical: &str) -> Option<String> {
    let inside = restored(namespace, physical)?;
    if namespace.is_enforced() && !inside.is_empty() && !inside.starts_with(ANYTHING) {
        return Some(escaped(namespace.prefix()) + &inside);
    }
    Some(inside)
}

fn restored(namespace: &Namespace, physical: &str) -> Option<String> {
    if namespace.is_transparent() || physical.is_empty() {
        return Some(physical.to_owned());
    }
    let (start, end) = around(namespace);
    let inside = physical.strip_prefix(start.as_str())?.strip_suffix(end)?;
    if let Some(halves) = inside.strip_prefix(HALF) {
        let (first, _) = halves.split_once(&format!("|{HALF}"))?;
        return Some(format!(".*{}", starts_restored(first)));
    }
    let inside = inside.strip_suffix(QUOTE_END).unwrap_or(inside);
    Some(starts_restored(inside))
}

fn starts_restored(inside: &str) -> String {
    inside.replace(LINE_START, "^").replace(TEXT_START, "\\A")
}

/// What stands before and behind the tenant's pattern.
fn around(namespace: &Namespace) -> (String, &'static str) {
    (escaped(namespace.prefix()) + "(?:", ")")
}

fn escaped(prefix: &str) -> String {
    let mut out = String::with_capacity(prefix.len() * 2 + 3);
    for c in prefix.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Where in a name a token can be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only before the first character.
    Start,
    /// Only behind some character.
    Inside,
    /// Both.
    Either,
}

impl Place {
    fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Either }
    }
}

/// What a repetition repeats.
#[derive(Debug, Clone, Copy)]
struct Item {
    before: Place,
    behind: Place,
    /// It holds a start of the text that is replaced.
    anchored: bool,
    size: usize,
}

/// A group that is not closed yet.
#[derive(Debug)]
struct Group {
    start: Place,
    here: Place,
    /// Behind the alternatives that are read.
    ends: Option<Place>,
    last: Last,
    anchored: bool,
    size: usize,
}

/// What was read last.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// Nothing that can be repeated.
    Nothing,
    /// A repetition.
    Repeat,
    Item(Item),
}

impl Group {
    const fn new(start: Place) -> Self {
        Self { start, here: start, ends: None, last: Last::Nothing, anchored: false, size: 1 }
    }

    fn add(&mut self, item: Item) -> Result<(), Fault> {
        self.size = self.size.saturating_add(item.size);
        self.anchored |= item.anchored;
        self.here = item.behind;
        self.last = Last::Item(item);
        if self.size > LARGEST { Err(Fault::TooLarge) } else { Ok(()) }
    }

    fn end(&self) -> Place {
        self.ends.map_or(self.here, |ends| ends.or(self.here))
    }
}

struct Reader {
    group: Group,
    outer: Vec<Group>,
    /// The prefix ends in a character of words.
    word: bool,
}

impl Reader {
    /// Takes a token; whether it can be met only at the start of the name.
    fn token(&mut self, token: Token) -> Result<bool, Fault> {
        let before = self.group.here;
        let item = |behind, anchored, size| Item { before, behind, anchored, size };
        match token {
            Token::One => self.group.add(item(Place::Inside, false, 1))?,
            Token::Quote { chars: 0, .. } | Token::Flags => self.group.last = Last::Nothing,
            Token::Quote { chars, .. } => {
                self.group.add(item(Place::Inside, false, chars))?;
                // Only the last character of a quote is repeated.
                let before = if chars > 1 { Place::Inside } else { before };
                self.group.last = Last::Item(Item { before, behind: Place::Inside, anchored: false, size: 1 });
            }
            Token::LineStart | Token::TextStart if before == Place::Either => return Err(Fault::Anchor),
            Token::LineStart | Token::TextStart => self.group.add(item(before, before == Place::Start, 1))?,
            Token::Boundary if self.word && before != Place::Inside => return Err(Fault::Boundary),
            Token::End | Token::Boundary => self.group.add(item(before, false, 1))?,
            Token::Open if self.outer.len() >= DEEPEST => return Err(Fault::TooDeep),
            Token::Open => self.outer.push(std::mem::replace(&mut self.group, Group::new(before))),
            Token::Or => {
                let group = &mut self.group;
                group.ends = Some(group.end());
                (group.here, group.last) = (group.start, Last::Nothing);
            }
            Token::Close => {
                let outer = self.outer.pop().ok_or(Fault::UnexpectedParen)?;
                let inner = std::mem::replace(&mut self.group, outer);
                let (behind, anchored, size) = (inner.end(), inner.anchored, inner.size);
                self.group.add(Item { before: inner.start, behind, anchored, size })?;
            }
            Token::Repeat { min, max } => self.repeat(min, max)?,
        }
        Ok(before == Place::Start)
    }

    fn repeat(&mut self, min: u32, max: Option<u32>) -> Result<(), Fault> {
        let item = match self.group.last {
            Last::Item(item) => item,
            Last::Repeat => return Err(Fault::RepeatRepeat),
            Last::Nothing => return Err(Fault::RepeatNothing),
        };
        let again = max.is_none_or(|max| max > 1);
        if item.anchored && again && item.behind != Place::Start {
            return Err(Fault::Anchor);
        }
        let times = max.unwrap_or(min + 1).max(1) as usize - 1;
        let more = item.size.saturating_mul(times);
        let behind = if min == 0 { item.before.or(item.behind) } else { item.behind };
        self.group.add(Item { size: more, behind, ..item })?;
        self.group.last = Last::Repeat;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
