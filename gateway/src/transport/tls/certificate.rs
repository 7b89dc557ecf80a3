//! The few fields of an X.509 certificate that the gateway looks at itself (RFC 5280, 4.1).
//!
//! Whether a certificate is to be trusted is rustls' business alone.

use super::der::{self, Malformed, Reader};

/// What a certificate says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// 1 to 3.
    pub version: u32,
    /// The issuer's name, a DER SEQUENCE.
    pub issuer: &'a [u8],
    /// The subject's name, a DER SEQUENCE.
    pub subject: &'a [u8],
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl<'a> Certificate<'a> {
    /// Reads a certificate; `None` if it is none.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        Self::fields(bytes).ok()
    }

    fn fields(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut body = Reader::new(bytes).inside(der::SEQUENCE)?.inside(der::SEQUENCE)?;
        let version = match body.optional(der::CONTEXT_0)? {
            Some(version) => Reader::new(version).number()?.saturating_add(1),
            None => 1,
        };
        body.expect(der::INTEGER)?;
        body.expect(der::SEQUENCE)?;
        let issuer = body.expect(der::SEQUENCE)?.whole;
        let mut validity = body.inside(der::SEQUENCE)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let subject = body.expect(der::SEQUENCE)?.whole;
        Ok(Self { version, issuer, subject, not_before, not_after })
    }

    /// Whether it names itself as its issuer.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

/// UTCTime is `YYMMDDHHMMSSZ` with years from 1950 to 2049, GeneralizedTime has four digits of a year.
fn time(reader: &mut Reader<'_>) -> Result<i64, Malformed> {
    let element = reader.any()?;
    let text = element.content;
    let (year, rest) = match element.tag {
        der::UTC_TIME => {
            let year = digits(text.get(..2))?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..))
        }
        der::GENERALIZED_TIME => (digits(text.get(..4))?, text.get(4..)),
        _ => return Err(Malformed),
    };
    let rest = rest.ok_or(Malformed)?;
    if rest.last() != Some(&b'Z') {
        return Err(Malformed);
    }
    let part = |at: usize| digits(rest.get(at..at + 2));
    let (month, day) = (part(0)?, part(2)?);
    let (hour, minute, second) = (part(4)?, part(6)?, if rest.len() >= 11 { part(8)? } else { 0 });
    let right = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if !right {
        return Err(Malformed);
    }
    Ok(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn digits(text: Option<&[u8]>) -> Result<i64, Malformed> {
    let text = text.ok_or(Malformed)?;
    if !text.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    Ok(text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// Days from 1970-01-01, in years that begin in March so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day
        - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Result<i64, Malformed> {
        time(&mut Reader::new(&der::element(tag, &[text.as_bytes()])))
    }

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(read(der::UTC_TIME, "700101000000Z"), Ok(0));
        assert_eq!(read(der::UTC_TIME, "491231235959Z"), Ok(2_524_607_999));
        assert_eq!(read(der::UTC_TIME, "500101000000Z"), Ok(-631_152_000));
        assert_eq!(read(der::GENERALIZED_TIME, "20240229120000Z"), Ok(1_709_208_000));
        assert_eq!(read(der::GENERALIZED_TIME, "99991231235959Z"), Ok(253_402_300_799));
        for wrong in ["", "7001", "700101000000", "701301000000Z", "70010100000xZ"] {
            assert_eq!(read(der::UTC_TIME, wrong), Err(Malformed), "{wrong}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_are_none() {
        assert_eq!(Certificate::read(b"-----BEGIN"), None);
        assert_eq!(Certificate::read(&der::element(der::SEQUENCE, &[&der::element(der::SEQUENCE, &[])])), None);
    }
}
