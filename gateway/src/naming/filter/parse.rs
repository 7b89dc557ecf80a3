//! Reads expressions: words, and what is made of them by recursive descent.
//!
//! ```text
//! any   = all *("or" all)
//! all   = not *("and" not)
//! not   = "not" not / "(" any ")" / field test
//! field = "key" / "headers" member / "value" 1*(member / "[" number "]")
//! member = "." name / "[" text "]"
//! test  = "exists" / ("==" / "!=" / "<" / "<=" / ">" / ">=") literal / "in" "[" literal *("," literal) "]"
//!       / ("startsWith" / "endsWith" / "contains") text
//! ```

use super::{Expression, Field, Literal, Step, Test};
use serde_json::Value;
use std::cmp::Ordering;

/// The longest expression in bytes.
const LONGEST: usize = 4096;
/// The most expressions in expressions.
const DEEPEST: usize = 32;

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Longer than [`LONGEST`].
    #[error("it has {0} bytes, and may have {LONGEST}")]
    TooLong(usize),
    /// Deeper than [`DEEPEST`].
    #[error("more than {DEEPEST} expressions lie in each other")]
    TooDeep,
    /// Something else should stand there.
    #[error("at character {at}: {expected} is expected, not {found}")]
    Unexpected {
        /// The first character counts as 1.
        at: usize,
        /// What could stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A key or header is compared with what is no text.
    #[error("at character {at}: keys and headers are text: compare them with a text in quotes, not with {found}")]
    NoText {
        /// The first character counts as 1.
        at: usize,
        /// What it is compared with.
        found: String,
    },
}

pub(super) fn parse(text: &str) -> Result<Expression, Fault> {
    if text.len() > LONGEST {
        return Err(Fault::TooLong(text.len()));
    }
    let mut parser = Parser { text, at: 0, depth: 0 };
    let expression = parser.any()?;
    parser.spaces();
    if parser.rest().is_empty() { Ok(expression) } else { Err(parser.unexpected("'and', 'or' or the end")) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn place(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    fn unexpected(&self, expected: &'static str) -> Fault {
        let rest = self.rest();
        let end = rest.char_indices().nth(20).map_or(rest.len(), |(at, _)| at);
        let found = if rest.is_empty() { "the end".to_owned() } else { format!("'{}'", &rest[..end]) };
        Fault::Unexpected { at: self.place(), expected, found }
    }

    /// Takes a sign if it stands here.
    fn sign(&mut self, sign: &str) -> bool {
        self.spaces();
        let stands = self.rest().starts_with(sign);
        self.at += if stands { sign.len() } else { 0 };
        stands
    }

    /// Takes a word if it stands here whole.
    fn word(&mut self, word: &str) -> bool {
        self.spaces();
        let stands = self.rest().strip_prefix(word).is_some_and(|behind| !behind.starts_with(in_names));
        self.at += if stands { word.len() } else { 0 };
        stands
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == DEEPEST {
            return Err(Fault::TooDeep);
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn any(&mut self) -> Result<Expression, Fault> {
        self.several("or", Self::all, Expression::Any)
    }

    fn all(&mut self) -> Result<Expression, Fault> {
        self.several("and", Self::not, Expression::All)
    }

    fn several(
        &mut self,
        between: &str,
        read: fn(&mut Self) -> Result<Expression, Fault>,
        of: fn(Vec<Expression>) -> Expression,
    ) -> Result<Expression, Fault> {
        let first = read(self)?;
        let mut parts = vec![first];
        while self.word(between) {
            parts.push(read(self)?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => of(parts),
        })
    }

    fn not(&mut self) -> Result<Expression, Fault> {
        if self.word("not") {
            return self.deeper(|parser| Ok(Expression::Not(Box::new(parser.not()?))));
        }
        if self.sign("(") {
            let inside = self.deeper(Self::any)?;
            return if self.sign(")") { Ok(inside) } else { Err(self.unexpected("'and', 'or' or ')'")) };
        }
        let field = self.field()?;
        let is_text = !matches!(field, Field::Value(_));
        let test = self.test(is_text)?;
        Ok(Expression::Test(field, test))
    }

    fn field(&mut self) -> Result<Field, Fault> {
        if self.word("key") {
            return Ok(Field::Key);
        }
        if self.word("headers") {
            return match self.step()? {
                Some(Step::Member(name)) => Ok(Field::Header(name)),
                _ => Err(self.unexpected("the header's name, as in headers.name or headers[\"name\"]")),
            };
        }
        if self.word("value") {
            let mut path = Vec::new();
            while let Some(step) = self.step()? {
                path.push(step);
            }
            return match path.is_empty() {
                false => Ok(Field::Value(path)),
                true => Err(self.unexpected("a field of the value, as in value.name, value[\"name\"] or value[0]")),
            };
        }
        Err(self.unexpected("'key', 'headers', 'value', 'not' or '('"))
    }

    /// `.name`, `["name"]` or `[0]`.
    fn step(&mut self) -> Result<Option<Step>, Fault> {
        if self.rest().starts_with('.') {
            self.at += 1;
            let rest = self.rest();
            let name = &rest[..rest.find(|c| !in_names(c)).unwrap_or(rest.len())];
            if name.is_empty() {
                return Err(self.unexpected("a name of letters, digits, '_' and '-'"));
            }
            self.at += name.len();
            return Ok(Some(Step::Member(name.to_owned())));
        }
        if !self.rest().starts_with('[') {
            return Ok(None);
        }
        self.at += 1;
        self.spaces();
        let expected = "a name in quotes or a number";
        let at = self.at;
        let step = match self.literal()? {
            Literal::Text(name) => Some(Step::Member(name)),
            Literal::Number(number) => number.as_u64().and_then(|at| usize::try_from(at).ok()).map(Step::Item),
            _ => None,
        };
        let Some(step) = step else {
            self.at = at;
            return Err(self.unexpected(expected));
        };
        if self.sign("]") { Ok(Some(step)) } else { Err(self.unexpected("']'")) }
    }

    fn test(&mut self, is_text: bool) -> Result<Test, Fault> {
        use Ordering::{Equal, Greater, Less};
        if self.word("exists") {
            return Ok(Test::Exists);
        }
        if self.word("in") {
            return self.list(is_text);
        }
        for (word, test) in [("startsWith", Test::Starts as fn(String) -> Test), ("endsWith", Test::Ends)] {
            if self.word(word) {
                return self.text().map(test);
            }
        }
        if self.word("contains") {
            return self.text().map(Test::Contains);
        }
        if self.sign("==") {
            return self.comparable(is_text).map(Test::Is);
        }
        if self.sign("!=") {
            return self.comparable(is_text).map(Test::IsNot);
        }
        // The longer ones first.
        let orders: [(&str, &[Ordering]); 4] =
            [("<=", &[Less, Equal]), (">=", &[Greater, Equal]), ("<", &[Less]), (">", &[Greater])];
        for (sign, order) in orders {
            if self.sign(sign) {
                let at = self.at;
                let literal = self.comparable(is_text)?;
                if matches!(literal, Literal::Text(_) | Literal::Number(_)) {
                    return Ok(Test::Order(order, literal));
                }
                self.at = at;
                self.spaces();
                return Err(self.unexpected("a number or a text in quotes"));
            }
        }
        Err(self.unexpected("'==', '!=', '<', '<=', '>', '>=', 'in', 'startsWith', 'endsWith', 'contains' or 'exists'"))
    }

    fn list(&mut self, is_text: bool) -> Result<Test, Fault> {
        if !self.sign("[") {
            return Err(self.unexpected("'['"));
        }
        let mut literals = vec![self.comparable(is_text)?];
        while self.sign(",") {
            literals.push(self.comparable(is_text)?);
        }
        if self.sign("]") { Ok(Test::In(literals)) } else { Err(self.unexpected("',' or ']'")) }
    }

    fn text(&mut self) -> Result<String, Fault> {
        self.spaces();
        let at = self.at;
        match self.literal()? {
            Literal::Text(text) => Ok(text),
            _ => {
                self.at = at;
                Err(self.unexpected("a text in quotes"))
            }
        }
    }

    fn comparable(&mut self, is_text: bool) -> Result<Literal, Fault> {
        self.spaces();
        let (start, at) = (self.at, self.place());
        let literal = self.literal()?;
        match literal {
            Literal::Text(_) => Ok(literal),
            _ if is_text => Err(Fault::NoText { at, found: self.text[start..self.at].to_owned() }),
            _ => Ok(literal),
        }
    }

    /// As JSON writes it.
    fn literal(&mut self) -> Result<Literal, Fault> {
        let rest = self.rest();
        let (value, length) = if rest.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            (values.next().and_then(Result::ok), values.byte_offset())
        } else {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
            let word = &rest[..end.unwrap_or(rest.len())];
            (serde_json::from_str(word).ok(), word.len())
        };
        let literal = match value {
            Some(Value::Null) => Literal::Null,
            Some(Value::Bool(bool)) => Literal::Bool(bool),
            Some(Value::Number(number)) => Literal::Number(number),
            Some(Value::String(text)) => Literal::Text(text),
            _ => return Err(self.unexpected("a text in quotes, a number, true, false or null")),
        };
        self.at += length;
        Ok(literal)
    }
}

fn in_names(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fault_says_where_and_what_could_stand_there() {
        for (text, told) in [
            ("", "at character 1: 'key', 'headers', 'value', 'not' or '(' is expected, not the end"),
            ("key", "at character 4: '==', '!='"),
            ("key = \"a\"", "at character 5: '==', '!='"),
            ("key == 1", "at character 8: keys and headers are text"),
            ("headers == \"a\"", "at character 8: the header's name"),
            ("headers[0] == \"a\"", "at character 11: the header's name"),
            ("value == 1", "at character 6: a field of the value"),
            ("value.a == [1]", "at character 12: a text in quotes, a number"),
            ("value.a < true", "at character 11: a number or a text"),
            ("value.a startsWith 1", "at character 20: a text in quotes"),
            ("value.a in []", "at character 13: a text in quotes, a number"),
            ("value.a in [1", "at character 14: ',' or ']'"),
            ("(value.a == 1", "at character 14: 'and', 'or' or ')'"),
            ("value.a == 1 value.b == 2", "at character 14: 'and', 'or' or the end"),
            ("value.a == 1 && value.b == 2", "at character 14: 'and', 'or' or the end"),
            ("keys == \"a\"", "at character 1: 'key'"),
            ("value[-1] == 1", "at character 7: a name in quotes"),
            ("value. == 1", "at character 7: a name of"),
        ] {
            let fault = parse(text).unwrap_err().to_string();
            assert!(fault.starts_with(told), "{text}: {fault}");
        }
        assert_eq!(parse(&"(".repeat(40)), Err(Fault::TooDeep));
        assert_eq!(parse(&format!("{}key exists", "not ".repeat(40))), Err(Fault::TooDeep));
        assert_eq!(parse(&" ".repeat(5000)), Err(Fault::TooLong(5000)));
    }

    #[test]
    fn and_binds_closer_than_or() {
        let text = "key exists or key exists and not key exists";
        let Expression::Any(parts) = parse(text).unwrap() else { panic!("{text}") };
        assert!(matches!(&parts[..], [Expression::Test(..), Expression::All(both)] if both.len() == 2));
    }

    proptest! {
        #[test]
        fn no_text_is_read_beyond_its_end(text in "[a-z\"\\[\\]().=<>!, 0-9äö-]{0,60}|\\PC{0,60}") {
            let _ = parse(&text);
        }
    }
}
