//! Looks for secrets in whatever came out, in the forms in which they could have got there.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Shorter pieces are found by chance.
const SHORTEST: usize = 12;

/// Where and how a secret was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    pub(crate) secret: &'static str,
    pub(crate) output: String,
    pub(crate) form: String,
    /// What stands around it.
    pub(crate) around: String,
}

/// The first place of each form of a secret in an output.
pub(crate) fn leaks(secret: &'static str, text: &[u8], output: &str, says: &str) -> Vec<Leak> {
    let lower = text.to_ascii_lowercase();
    let mut found = Vec::new();
    for (form, needle) in forms(says.as_bytes()) {
        assert!(needle.len() >= SHORTEST, "{secret} as {form} is too short to be looked for");
        // Hexadecimal digits come in both cases; base64 does not.
        let hay = if form == "hex" || form == "url" { &lower } else { text };
        if let Some(at) = hay.windows(needle.len()).position(|window| window == needle.as_bytes()) {
            let around = &text[at.saturating_sub(120)..(at + needle.len() + 60).min(text.len())];
            let around = String::from_utf8_lossy(around).into_owned();
            found.push(Leak { secret, output: output.to_owned(), form: form.to_owned(), around });
        }
    }
    found
}

fn forms(secret: &[u8]) -> Vec<(&'static str, String)> {
    let hex: Vec<String> = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut forms = vec![
        ("plain", String::from_utf8_lossy(secret).into_owned()),
        ("hex", hex.concat()),
        ("hex list", hex.join(", ")),
        ("hex list 0x", hex.iter().map(|byte| format!("0x{byte}")).collect::<Vec<_>>().join(", ")),
        ("debug of bytes", decimal.join(", ")),
        ("url", hex.iter().map(|byte| format!("%{byte}")).collect()),
        ("url of what must be", url(secret)),
    ];
    // Base64 of a text that holds it, wherever in the text it begins: what the neighbours change is cut off.
    for before in 0..3 {
        let text = [&vec![b'_'; before], secret].concat();
        for (form, engine) in [("base64", &STANDARD), ("base64 for URLs", &URL_SAFE)] {
            let encoded = engine.encode(&text);
            let (start, end) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
            forms.push((form, encoded[start..end].to_owned()));
        }
    }
    forms
}

/// Percent signs only where a URL needs them.
fn url(secret: &[u8]) -> String {
    let escaped = secret.iter().map(|byte| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    escaped.collect()
}

#[test]
fn every_form_is_found() {
    let secret = "canary/sécret+9f";
    let embedded = format!("ab{secret}yz");
    for (form, text) in [
        ("plain", secret.to_owned()),
        ("base64", STANDARD.encode(secret)),
        ("base64", STANDARD.encode(&embedded)),
        ("base64", STANDARD.encode(format!("a{secret}"))),
        ("base64 for URLs", URL_SAFE.encode(&embedded)),
        ("hex", secret.bytes().map(|byte| format!("{byte:02X}")).collect()),
        ("debug of bytes", format!("{:?}", embedded.as_bytes())),
        ("hex list", format!("{:02x?}", embedded.as_bytes())),
        ("url of what must be", "canary%2Fs%C3%A9cret%2B9f".to_owned()),
    ] {
        let found = leaks("it", format!("before {text} behind").as_bytes(), "the log", secret);
        assert!(found.iter().any(|leak| leak.form == form), "{form}: {text} in {found:?}");
    }
    assert_eq!(leaks("it", b"canary/secret+9f and nothing else", "the log", secret), []);
}
