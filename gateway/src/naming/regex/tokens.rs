//! The tokens of an RE2 pattern, as RE2/J reads them.
//!
//! Where a group, a class or a quote ends decides what a pattern can reach, so this reads exactly what RE2/J takes, or less:
//! what it does not know, or what the two could read differently, is a [`Fault`].

use super::Fault;
use std::ops::Range;

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Whatever stands for one character: a literal, an escape, a class, the dot.
    One,
    /// `\Q…\E` with so many characters in it.
    Quote {
        /// The characters.
        chars: usize,
        /// Whether the `\E` is there; at the end of a pattern it may be left out.
        closed: bool,
    },
    /// `^`
    LineStart,
    /// `\A`
    TextStart,
    /// `$` or `\z`
    End,
    /// `\b` or `\B`
    Boundary,
    /// `(`, `(?:`, `(?i:`, `(?P<name>`
    Open,
    /// `(?i)`
    Flags,
    /// `|`
    Or,
    /// `)`
    Close,
    /// `*`, `+`, `?`, `{2,3}`, each with a lazy `?` behind it or without.
    Repeat {
        /// The least times.
        min: u32,
        /// The most times.
        max: Option<u32>,
    },
}

/// RE2 repeats no more often than this.
const MOST_TIMES: u32 = 1000;

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Reads a pattern token by token.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
    /// The groups that have a name.
    names: Vec<&'a str>,
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, names: Vec::new() }
    }

    /// The next token and where it stands.
    pub(super) fn next(&mut self) -> Result<Option<(Range<usize>, Token)>, Fault> {
        let start = self.at;
        let Some(first) = self.pop() else { return Ok(None) };
        let token = match first {
            '(' => self.open()?,
            ')' => Token::Close,
            '|' => Token::Or,
            '^' => Token::LineStart,
            '$' => Token::End,
            '[' => self.class()?,
            '*' => self.repeat(0, None),
            '+' => self.repeat(1, None),
            '?' => self.repeat(0, Some(1)),
            '{' => match self.times()? {
                Some((min, max)) => self.repeat(min, max),
                None => Token::One,
            },
            '\\' => self.escape()?,
            _ => Token::One,
        };
        Ok(Some((start..self.at, token)))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn pop(&mut self) -> Option<char> {
        let first = self.peek()?;
        self.at += first.len_utf8();
        Some(first)
    }

    fn take(&mut self, expected: &str) -> bool {
        let found = self.rest().starts_with(expected);
        self.at += if found { expected.len() } else { 0 };
        found
    }

    fn repeat(&mut self, min: u32, max: Option<u32>) -> Token {
        let _ = self.take("?");
        Token::Repeat { min, max }
    }

    /// Behind `{`: how often; `None` where the brace is a literal, and nothing is consumed.
    fn times(&mut self) -> Result<Option<(u32, Option<u32>)>, Fault> {
        let Some((inside, _)) = self.rest().split_once('}') else { return Ok(None) };
        let (min, max) = inside.split_once(',').map_or((inside, Some(inside)), |(min, max)| (min, Some(max)));
        let number = |text: &str| {
            let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            (fits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().unwrap_or(u32::MAX))
        };
        let (min, max) = match (number(min), max) {
            (Some(min), Some("")) => (min, None),
            (Some(min), Some(max)) => match number(max) {
                Some(max) => (min, Some(max)),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        if min > MOST_TIMES || max.is_some_and(|max| max > MOST_TIMES || max < min) {
            return Err(Fault::RepeatCount);
        }
        self.at += inside.len() + 1;
        Ok(Some((min, max)))
    }

    /// Behind `(`.
    fn open(&mut self) -> Result<Token, Fault> {
        if !self.take("?") {
            return Ok(Token::Open);
        }
        if self.take("P<") || self.take("<") {
            let (name, _) = self.rest().split_once('>').ok_or(Fault::GroupName)?;
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(Fault::GroupName);
            }
            if self.names.contains(&name) {
                return Err(Fault::GroupNamedTwice);
            }
            self.names.push(name);
            self.at += name.len() + 1;
            return Ok(Token::Open);
        }
        let (mut minus, mut flags) = (false, 0);
        loop {
            match self.pop() {
                Some('i' | 'm' | 's' | 'U') => flags += 1,
                Some('-') if !minus => (minus, flags) = (true, 0),
                Some(':') if flags > 0 || !minus => return Ok(Token::Open),
                Some(')') if flags > 0 => return Ok(Token::Flags),
                _ => return Err(Fault::Syntax),
            }
        }
    }

    /// Behind `\`, outside of a class.
    fn escape(&mut self) -> Result<Token, Fault> {
        match self.peek() {
            Some('A') => self.single(Token::TextStart),
            Some('z') => self.single(Token::End),
            Some('b' | 'B') => self.single(Token::Boundary),
            Some('Q') => {
                self.at += 1;
                let (quoted, closed) = self.rest().split_once("\\E").map_or((self.rest(), false), |(q, _)| (q, true));
                self.at += quoted.len() + if closed { 2 } else { 0 };
                Ok(Token::Quote { chars: quoted.chars().count(), closed })
            }
            _ => self.character().map(|_| Token::One),
        }
    }

    fn single(&mut self, token: Token) -> Result<Token, Fault> {
        self.at += 1;
        Ok(token)
    }

    /// Behind `\`: an escape that stands for characters. Returns the one it stands for, or none for a class of them.
    fn character(&mut self) -> Result<Option<u32>, Fault> {
        let first = self.pop().ok_or(Fault::TrailingBackslash)?;
        Ok(Some(match first {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => return Ok(None),
            'p' | 'P' => return self.unicode().map(|()| None),
            'a' => 7,
            't' => 9,
            'n' => 10,
            'v' => 11,
            'f' => 12,
            'r' => 13,
            'x' => self.hexadecimal()?,
            '0' => self.octal(0),
            '1'..='7' if matches!(self.peek(), Some('0'..='7')) => self.octal(first as u32 - '0' as u32),
            _ if first.is_ascii_punctuation() || first == ' ' => first.into(),
            _ => return Err(Fault::Escape),
        }))
    }

    /// Behind the first octal digit: up to two more.
    fn octal(&mut self, first: u32) -> u32 {
        let mut value = first;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
            value = value * 8 + digit;
            self.at += 1;
        }
        value
    }

    fn hexadecimal(&mut self) -> Result<u32, Fault> {
        let digits = if self.take("{") {
            let (digits, _) = self.rest().split_once('}').ok_or(Fault::Escape)?;
            self.at += digits.len() + 1;
            digits
        } else {
            let digits = self.rest().get(..2).ok_or(Fault::Escape)?;
            self.at += 2;
            digits
        };
        if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Fault::Escape);
        }
        u32::from_str_radix(digits, 16).ok().filter(|value| *value <= char::MAX.into()).ok_or(Fault::Escape)
    }

    /// Behind `\p` or `\P`.
    fn unicode(&mut self) -> Result<(), Fault> {
        let name = if self.take("{") {
            let (name, _) = self.rest().split_once('}').ok_or(Fault::ClassRange)?;
            self.at += name.len() + 1;
            name.strip_prefix('^').unwrap_or(name)
        } else {
            let name = self.rest().get(..1).ok_or(Fault::ClassRange)?;
            self.at += 1;
            name
        };
        let known = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        if known { Ok(()) } else { Err(Fault::ClassRange) }
    }

    /// Behind `[`.
    fn class(&mut self) -> Result<Token, Fault> {
        let _ = self.take("^");
        let mut first = true;
        loop {
            match self.peek() {
                None => return Err(Fault::MissingBracket),
                Some(']') if !first => {
                    self.at += 1;
                    return Ok(Token::One);
                }
                Some(_) => {}
            }
            first = false;
            if self.take("[:") {
                self.posix()?;
                continue;
            }
            let Some(low) = self.class_character()? else { continue };
            if self.rest().starts_with('-') && !self.rest().starts_with("-]") {
                self.at += 1;
                // `[` and a class of characters are no end of a range.
                let high = if self.peek() == Some('[') { None } else { self.class_character()? };
                if high.is_none_or(|high| high < low) {
                    return Err(Fault::ClassRange);
                }
            }
        }
    }

    /// Behind `[:` in a class.
    fn posix(&mut self) -> Result<(), Fault> {
        let (name, _) = self.rest().split_once(":]").ok_or(Fault::ClassRange)?;
        if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(Fault::ClassRange);
        }
        self.at += name.len() + 2;
        Ok(())
    }

    fn class_character(&mut self) -> Result<Option<u32>, Fault> {
        match self.pop() {
            None => Err(Fault::MissingBracket),
            Some('\\') => self.character(),
            Some(other) => Ok(Some(other.into())),
        }
    }
}
