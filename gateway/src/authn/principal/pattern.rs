//! A pattern of Java's regular expressions, for another engine.
//!
//! Token by token: what means the same goes through, what has an equal is translated (Java's `\d`, `\w`, `\s` and `.` know
//! ASCII or other ends of lines), and everything else is refused, what would compile and mean something else above all.

use regex::Regex;

/// What Java's `.` is.
const ANY: &str = r"[^\n\r\x{85}\x{2028}\x{2029}]";

/// A pattern in both its uses.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Somewhere in the text.
    pub(super) somewhere: Regex,
    whole: Regex,
}

impl Pattern {
    /// # Errors
    /// What cannot be said here.
    pub(super) fn compile(java: &str) -> Result<Self, String> {
        let translated = translate(java)?;
        let compile = |expression: &str| {
            Regex::new(expression).map_err(|error| {
                let error = error.to_string();
                format!("holds a pattern that cannot be used: {}", error.lines().last().unwrap_or_default())
            })
        };
        Ok(Self { somewhere: compile(&translated)?, whole: compile(&format!(r"\A(?:{translated})\z"))? })
    }

    /// Whether it fits the whole text.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }

    /// How many groups are captured.
    pub(super) fn groups(&self) -> usize {
        self.somewhere.captures_len() - 1
    }
}

fn translate(java: &str) -> Result<String, String> {
    let mut out = String::with_capacity(java.len());
    let mut rest = java.chars().peekable();
    let mut depth = 0usize;
    // Whether the last token can be repeated, and whether it is a repetition itself.
    let mut repeated = false;
    while let Some(character) = rest.next() {
        let was_repeated = std::mem::take(&mut repeated);
        match character {
            '\\' => out.push_str(&escape(&mut rest, depth > 0)?),
            '[' => {
                depth += 1;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if rest.peek() == Some(&']') {
                    return Err("holds an empty class '[]'; write '\\]' for the bracket".to_owned());
                }
            }
            ']' if depth > 0 => {
                depth -= 1;
                out.push(']');
            }
            '-' | '~' if depth > 0 && rest.peek() == Some(&character) => {
                return Err(format!(
                    "holds '{character}{character}' in a class; write '\\{character}' for the character"
                ));
            }
            _ if depth > 0 => out.push(character),
            '.' => out.push_str(ANY),
            '(' => out.push_str(&group(&mut rest)?),
            '*' | '+' | '?' | '{' => {
                if was_repeated {
                    return Err(format!("holds '{character}' behind a repetition, which only Java knows"));
                }
                out.push(character);
                if character == '{' {
                    out.extend(rest.by_ref().take_while(|character| *character != '}'));
                    out.push('}');
                }
                if rest.next_if_eq(&'?').is_some() {
                    out.push('?');
                }
                repeated = true;
            }
            other => out.push(other),
        }
    }
    if depth > 0 { Err("holds a class that is not closed".to_owned()) } else { Ok(out) }
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn escape(rest: &mut Characters<'_>, in_class: bool) -> Result<String, String> {
    let character = rest.next().ok_or("ends with a backslash")?;
    let class = |inside: &str| Ok(format!("[{inside}]"));
    match character {
        'd' => class("0-9"),
        'D' => class("^0-9"),
        'w' => class("a-zA-Z_0-9"),
        'W' => class("^a-zA-Z_0-9"),
        's' => class(r" \t\n\x0B\f\r"),
        'S' => class(r"^ \t\n\x0B\f\r"),
        'b' if !in_class => Ok(r"(?-u:\b)".to_owned()),
        'B' if !in_class => Ok(r"(?-u:\B)".to_owned()),
        'A' | 'z' if !in_class => Ok(format!("\\{character}")),
        't' | 'n' | 'r' | 'f' | 'x' | 'u' => Ok(format!("\\{character}")),
        '0'..='9' => Err(format!("holds '\\{character}', a reference back, which is not supported")),
        'a'..='z' | 'A'..='Z' => Err(format!("holds '\\{character}', which is not supported")),
        other => Ok(format!(r"\x{{{:x}}}", u32::from(other))),
    }
}

/// Behind the opening parenthesis.
fn group(rest: &mut Characters<'_>) -> Result<String, String> {
    if rest.next_if_eq(&'?').is_none() {
        return Ok("(".to_owned());
    }
    match rest.next() {
        Some(':') => Ok("(?:".to_owned()),
        Some('<') if rest.peek().is_some_and(char::is_ascii_alphabetic) => Ok("(?<".to_owned()),
        Some(other) => Err(format!(
            "holds '(?{other}', which is not supported: neither flags nor looking ahead or behind; write [Cc] for both cases"
        )),
        None => Err("ends with '(?'".to_owned()),
    }
}
