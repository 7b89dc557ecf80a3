//! The subject of a certificate as text, as Java's `X500Principal.getName()` prints it (RFC 2253).
//!
//! Kafka's tools, ACLs and principal-mapping rules are written against that text, so it is the same to the letter, but for
//! one thing: a name whose bytes are not text of its kind is refused, where Java shows replacement characters, under which
//! two names could look like one.

use std::fmt::Write as _;

use super::der::{self, Malformed, Reader};

/// The attributes with a short name in RFC 2253, by the bytes of their object identifiers.
const KEYWORDS: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
];

const ESCAPED: &str = ",=+<>#;\"\\";

/// Prints a name, given as its DER.
///
/// # Errors
/// [`Malformed`] for bytes that are no name, or hold text that is none.
pub fn rfc2253(name: &[u8]) -> Result<String, Malformed> {
    let mut sets = Reader::new(name).inside(der::SEQUENCE)?;
    let mut parts = Vec::new();
    while !sets.is_empty() {
        let mut set = sets.inside(der::SET)?;
        let mut values = Vec::new();
        while !set.is_empty() {
            values.push(value(set.inside(der::SEQUENCE)?)?);
        }
        if values.is_empty() {
            return Err(Malformed);
        }
        parts.push(values.join("+"));
    }
    // The most specific comes first.
    parts.reverse();
    Ok(parts.join(","))
}

/// `attribute=value`
fn value(mut pair: Reader<'_>) -> Result<String, Malformed> {
    let kind = pair.object_id()?;
    let value = pair.any()?;
    if !pair.is_empty() {
        return Err(Malformed);
    }
    let keyword = KEYWORDS.iter().find(|(known, _)| *known == kind).map(|(_, keyword)| *keyword);
    match (keyword, text(value)?) {
        (Some(keyword), Some(text)) => Ok(format!("{keyword}={}", escaped(&text))),
        (keyword, _) => {
            let kind = keyword.map(str::to_owned).or_else(|| der::dotted(kind)).ok_or(Malformed)?;
            let mut shown = format!("{kind}=#");
            for byte in der::element(value.tag, &[value.content]) {
                // Writing to a String cannot fail.
                let _ = write!(shown, "{byte:02x}");
            }
            Ok(shown)
        }
    }
}

/// The text of the kinds of text that have one; other kinds are shown as bytes.
fn text(value: der::Element<'_>) -> Result<Option<String>, Malformed> {
    match value.tag {
        // UTF8String
        0x0c => std::str::from_utf8(value.content).map(|text| Some(text.to_owned())).map_err(|_| Malformed),
        // PrintableString, T61String, IA5String, GeneralString: Latin 1, whatever they are meant to be.
        0x13 | 0x14 | 0x16 | 0x1b => Ok(Some(value.content.iter().map(|byte| char::from(*byte)).collect())),
        // BMPString: two bytes a character, and none beyond.
        der::BMP_STRING => {
            let units = value.content.chunks(2).map(|unit| match unit {
                [high, low] => char::from_u32(u32::from(*high) << 8 | u32::from(*low)).ok_or(Malformed),
                _ => Err(Malformed),
            });
            units.collect::<Result<String, _>>().map(Some)
        }
        _ => Ok(None),
    }
}

fn escaped(text: &str) -> String {
    let is_space = |character: char| matches!(character, ' ' | '\r');
    let mut characters = Vec::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\0' => characters.extend(['\\', '0', '0']),
            special if ESCAPED.contains(special) => characters.extend(['\\', special]),
            plain => characters.push(plain),
        }
    }
    let lead = characters.iter().take_while(|character| is_space(**character)).count();
    let trail = characters.len() - characters.iter().rev().take_while(|character| is_space(**character)).count();
    let mut shown = String::with_capacity(text.len());
    for (at, character) in characters.into_iter().enumerate() {
        if at < lead || at >= trail {
            shown.push('\\');
        }
        shown.push(character);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(parts: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let sets = parts.iter().map(|(kind, tag, text)| {
            let pair = [der::element(der::OBJECT_ID, &[kind]), der::element(*tag, &[text])].concat();
            der::element(der::SET, &[&der::element(der::SEQUENCE, &[&pair])])
        });
        der::element(der::SEQUENCE, &[&sets.collect::<Vec<_>>().concat()])
    }

    #[test]
    fn known_attributes_have_names_and_others_bytes() {
        let email: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
        let bytes = name(&[
            (&[0x55, 4, 6], 0x13, b"DE"),
            (&[0x55, 4, 10], 0x0c, "Käse, GmbH ".as_bytes()),
            (email, 0x16, b"a@b"),
            (&[0x55, 4, 3], 0x1e, &[0, b'#', 1, 0x42]),
        ]);
        let shown = "CN=\\#ł,1.2.840.113549.1.9.1=#1603614062,O=Käse\\, GmbH\\ ,C=DE";
        assert_eq!(rfc2253(&bytes).as_deref(), Ok(shown));
        assert_eq!(rfc2253(&[0x30, 0]).as_deref(), Ok(""));
    }

    #[test]
    fn what_is_not_text_is_refused() {
        let cn: &[u8] = &[0x55, 4, 3];
        for (tag, text) in [(0x0c, &[0xff][..]), (0x1e, &[0]), (0x1e, &[0xd8, 0])] {
            assert_eq!(rfc2253(&name(&[(cn, tag, text)])), Err(Malformed));
        }
        assert_eq!(rfc2253(&[0x30, 2, 0x31, 0]), Err(Malformed), "a set of nothing");
        assert_eq!(rfc2253(b"CN=x"), Err(Malformed));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let valid = name(&[(&[0x55, 4, 3], 0x0c, b"somebody"), (&[0x55, 4, 10], 0x13, b" x ")]);
        for at in 0..valid.len() {
            for byte in 0..=255 {
                let mut bytes = valid.clone();
                bytes[at] = byte;
                let _ = rfc2253(&bytes);
            }
            assert!(rfc2253(&valid[..at]).is_err());
        }
    }
}
