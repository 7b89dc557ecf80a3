//! The bytes of ASN.1: tag, length, content (X.690, DER).
//!
//! Reading takes nothing for granted and copies nothing; every length is checked against what is left.

/// Bytes that are not DER, or not the structure that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

pub const INTEGER: u8 = 0x02;
pub const OCTET_STRING: u8 = 0x04;
pub const OBJECT_ID: u8 = 0x06;
pub const BMP_STRING: u8 = 0x1e;
pub const UTC_TIME: u8 = 0x17;
pub const GENERALIZED_TIME: u8 = 0x18;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;
/// `[0]` around another element.
pub const CONTEXT_0: u8 = 0xa0;
/// `[0]` in place of a primitive element's own tag.
pub const IMPLICIT_0: u8 = 0x80;

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    /// Tag and length too.
    pub whole: &'a [u8],
}

/// Elements one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn next_is(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// The next element, whatever it is.
    pub fn any(&mut self) -> Result<Element<'a>, Malformed> {
        let (&tag, rest) = self.rest.split_first().ok_or(Malformed)?;
        // Tags of several bytes appear in none of the structures read here.
        if tag & 0x1f == 0x1f {
            return Err(Malformed);
        }
        let (&first, mut rest) = rest.split_first().ok_or(Malformed)?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            // 0x80 alone is BER's open end.
            let (digits, behind) = match usize::from(first & 0x7f) {
                count @ 1..=4 => rest.split_at_checked(count).ok_or(Malformed)?,
                _ => return Err(Malformed),
            };
            length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            rest = behind;
        }
        let (content, behind) = rest.split_at_checked(length).ok_or(Malformed)?;
        let whole = &self.rest[..self.rest.len() - behind.len()];
        self.rest = behind;
        Ok(Element { tag, content, whole })
    }

    /// The next element, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<Element<'a>, Malformed> {
        let element = self.any()?;
        if element.tag == tag { Ok(element) } else { Err(Malformed) }
    }

    /// The inside of the next element, which must have this tag.
    pub fn inside(&mut self, tag: u8) -> Result<Self, Malformed> {
        Ok(Self::new(self.expect(tag)?.content))
    }

    /// The next element's content if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.next_is(tag) { self.expect(tag).map(|element| Some(element.content)) } else { Ok(None) }
    }

    /// A whole number from 0 on.
    pub fn number(&mut self) -> Result<u32, Malformed> {
        number(self.expect(INTEGER)?.content)
    }

    pub fn object_id(&mut self) -> Result<&'a [u8], Malformed> {
        Ok(self.expect(OBJECT_ID)?.content)
    }

    pub fn octets(&mut self) -> Result<&'a [u8], Malformed> {
        Ok(self.expect(OCTET_STRING)?.content)
    }
}

/// The content of an INTEGER from 0 on.
pub fn number(content: &[u8]) -> Result<u32, Malformed> {
    let digits = if content.first() == Some(&0) { &content[1..] } else { content };
    if content.is_empty() || content[0] >= 0x80 || digits.len() > 4 {
        return Err(Malformed);
    }
    Ok(digits.iter().fold(0, |number, digit| number << 8 | u32::from(*digit)))
}

/// An object identifier as people write it, `2.5.4.3`.
pub fn dotted(content: &[u8]) -> Option<String> {
    let mut arcs: Vec<u128> = Vec::new();
    let mut arc: u128 = 0;
    for byte in content {
        arc = arc.checked_mul(128)?.checked_add(u128::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.push(first);
                arc -= first * 40;
            }
            arcs.push(arc);
            arc = 0;
        }
    }
    let ended = content.last().is_some_and(|last| last & 0x80 == 0);
    ended.then(|| arcs.iter().map(u128::to_string).collect::<Vec<_>>().join("."))
}

/// An element of these parts.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(length + 6);
    bytes.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let digits = length.to_be_bytes();
            let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
            bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(0));
            bytes.extend_from_slice(digits);
        }
    }
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// An INTEGER.
pub fn integer(number: u32) -> Vec<u8> {
    let mut digits = vec![0];
    digits.extend_from_slice(&number.to_be_bytes());
    let spare = digits.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    element(INTEGER, &[&digits[spare..]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let bytes = element(OCTET_STRING, &[&vec![7; length]]);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.octets().map(<[u8]>::len), Ok(length));
            assert!(reader.is_empty());
        }
        for number in [0, 1, 127, 128, 255, 256, 65_535, u32::MAX] {
            assert_eq!(Reader::new(&integer(number)).number(), Ok(number));
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for bytes in
            [&[][..], &[4], &[4, 1], &[4, 0x80, 0, 0], &[4, 0x82, 1], &[4, 0x84, 255, 255, 255, 255], &[0x1f, 1, 0]]
        {
            assert_eq!(Reader::new(bytes).any(), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[2, 1, 0xff]).number(), Err(Malformed), "a negative number");
        assert_eq!(Reader::new(&[2, 5, 1, 0, 0, 0, 0]).number(), Err(Malformed), "a number beyond 32 bits");
    }

    #[test]
    fn object_ids_are_written_as_people_do() {
        assert_eq!(dotted(&[0x55, 4, 3]).as_deref(), Some("2.5.4.3"));
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]).as_deref(), Some("1.2.840.113549.1.9.1"));
        assert_eq!(dotted(&[0x88, 0x37, 3]).as_deref(), Some("2.999.3"));
        assert_eq!(dotted(&[0x55, 0x84]), None, "the last arc does not end");
        assert_eq!(dotted(&[0xff; 40]), None);
    }
}
