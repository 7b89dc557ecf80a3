//! Kafka's `sasl.jaas.config`: one login module and its options, in the grammar of JAAS login configuration files.
//!
//! What is wrong is told by its position and never by its text: that may be a password.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::CharIndices;

/// `module flag name=value …;`
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Jaas {
    /// The class name.
    pub(super) module: String,
    pub(super) options: BTreeMap<String, String>,
    /// Whether quotes were typographic ones, as word processors make them.
    pub(super) typographic: bool,
}

enum Token {
    Word(String),
    Equals,
    End,
}

/// Reads the text of the property.
pub(super) fn parse(text: &str) -> Result<Jaas, String> {
    let mut lexer = Lexer { text, characters: text.char_indices().peekable(), typographic: false };
    let Some(Token::Word(module)) = lexer.next()? else {
        return Err("begins with no login module".to_owned());
    };
    let flag = match lexer.next()? {
        Some(Token::Word(flag)) => flag.to_lowercase(),
        _ => String::new(),
    };
    if !["required", "requisite", "sufficient", "optional"].contains(&flag.as_str()) {
        return Err("needs the word 'required' behind the login module".to_owned());
    }
    let mut options = BTreeMap::new();
    loop {
        let at = lexer.position();
        match lexer.next()? {
            Some(Token::End) => break,
            Some(Token::Word(name)) => match (lexer.next()?, lexer.next()?) {
                (Some(Token::Equals), Some(Token::Word(value))) => {
                    if options.insert(name, value).is_some() {
                        return Err(format!("names the option at character {at} twice"));
                    }
                }
                _ => return Err(format!("has no value for the option at character {at}: write name=\"value\"")),
            },
            Some(Token::Equals) => return Err(format!("has an '=' without a name at character {at}")),
            None => return Err("must end with ';'".to_owned()),
        }
    }
    match lexer.next()? {
        None => Ok(Jaas { module, options, typographic: lexer.typographic }),
        Some(_) => Err("holds more than one login module; one is used".to_owned()),
    }
}

struct Lexer<'a> {
    text: &'a str,
    characters: Peekable<CharIndices<'a>>,
    typographic: bool,
}

impl Lexer<'_> {
    /// Counted in characters from 1, as editors do.
    fn position(&mut self) -> usize {
        self.skip_blanks();
        let at = self.characters.peek().map_or(self.text.len(), |(at, _)| *at);
        self.text[..at].chars().count() + 1
    }

    fn skip_blanks(&mut self) {
        while let Some(&(at, character)) = self.characters.peek() {
            let rest = &self.text[at..];
            if rest.starts_with("//") {
                while self.characters.next_if(|(_, c)| *c != '\n').is_some() {}
            } else if rest.starts_with("/*") {
                let end = rest.find("*/").map_or(self.text.len(), |end| at + end + 2);
                while self.characters.next_if(|(here, _)| *here < end).is_some() {}
            } else if character <= ' ' {
                let _ = self.characters.next();
            } else {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Option<Token>, String> {
        let position = self.position();
        let Some((_, character)) = self.characters.next() else { return Ok(None) };
        Ok(Some(match character {
            ';' => Token::End,
            '=' => Token::Equals,
            '"' | '\'' => Token::Word(self.quoted(&[character], position)?),
            '“' | '”' | '„' => {
                self.typographic = true;
                Token::Word(self.quoted(&['”', '“', '"'], position)?)
            }
            '‘' | '’' => {
                self.typographic = true;
                Token::Word(self.quoted(&['’', '‘', '\''], position)?)
            }
            first => {
                let mut word = String::from(first);
                let inside = |c: char| c > ' ' && !matches!(c, ';' | '=' | '"' | '\'');
                while let Some((_, c)) = self.characters.next_if(|(_, c)| inside(*c)) {
                    word.push(c);
                }
                Token::Word(word)
            }
        }))
    }

    /// Up to one of these quotes; a backslash stands before what counts as itself.
    fn quoted(&mut self, ends: &[char], position: usize) -> Result<String, String> {
        let mut word = String::new();
        while let Some((_, character)) = self.characters.next() {
            match character {
                '\\' => match self.characters.next() {
                    Some((_, 'n')) => word.push('\n'),
                    Some((_, 'r')) => word.push('\r'),
                    Some((_, 't')) => word.push('\t'),
                    Some((_, other)) => word.push(other),
                    None => break,
                },
                end if ends.contains(&end) => return Ok(word),
                other => word.push(other),
            }
        }
        Err(format!("has a quote at character {position} that does not end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_and_options_are_read() {
        let jaas = parse(
            "org.apache.kafka.common.security.plain.PlainLoginModule required // who\n \
             username=\"a b\" password='x;y=\\'z\\\\' /* both */ flag=true;",
        )
        .unwrap();
        assert_eq!(jaas.module, "org.apache.kafka.common.security.plain.PlainLoginModule");
        let options = [("flag", "true"), ("password", "x;y='z\\"), ("username", "a b")];
        assert_eq!(jaas.options, options.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert!(!jaas.typographic);
        assert_eq!(parse("M REQUIRED;").unwrap().options, BTreeMap::new());
    }

    #[test]
    fn typographic_quotes_count_as_quotes() {
        let jaas = parse("M required clientId=“a” clientSecret=‘b c’;").unwrap();
        assert_eq!(jaas.options["clientId"], "a");
        assert_eq!(jaas.options["clientSecret"], "b c");
        assert!(jaas.typographic);
    }

    #[test]
    fn an_unquoted_value_may_hold_slashes() {
        assert_eq!(parse("M required keyTab=/etc/x//y.keytab a=1;").unwrap().options["keyTab"], "/etc/x//y.keytab");
    }

    #[test]
    fn mistakes_are_told_by_position_and_not_by_text() {
        for (text, message) in [
            ("", "begins with no login module"),
            (";", "begins with no login module"),
            ("M", "needs the word 'required' behind the login module"),
            ("M hunter2 username=a;", "needs the word 'required' behind the login module"),
            ("M required username=\"a\"", "must end with ';'"),
            ("M required password=\"hunter2;", "has a quote at character 21 that does not end"),
            ("M required password=\"hunter2\\", "has a quote at character 21 that does not end"),
            ("M required password=a hunter2;", "has no value for the option at character 23: write name=\"value\""),
            ("M required =hunter2;", "has an '=' without a name at character 12"),
            ("M required a=1 a=hunter2;", "names the option at character 16 twice"),
            ("M required a=1; N required b=hunter2;", "holds more than one login module; one is used"),
            ("M required é=1 a;", "has no value for the option at character 16: write name=\"value\""),
        ] {
            assert_eq!(parse(text).err().as_deref(), Some(message), "{text}");
        }
    }
}
