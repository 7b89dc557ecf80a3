//! Kafka's `ssl.*` client properties: whom to trust, what to show, which TLS.

use contract::secret::Secret;

use super::properties::Properties;
use super::tls::{Material, Store, StoreKind};
use super::upstream::{Tls, TlsVersion};

pub(super) fn read(properties: &mut Properties) -> Tls {
    let trust = trust(properties);
    let identity = identity(properties);
    Tls {
        trust,
        identity,
        verify_host_name: verify_host_name(properties),
        versions: versions(properties),
        cipher_suites: list(properties.text("ssl.cipher.suites")),
    }
}

fn trust(properties: &mut Properties) -> Option<Store> {
    let inline = properties.text("ssl.truststore.certificates").map(|pem| Material::Text(Secret::new(pem)));
    let file = properties.path("ssl.truststore.location").map(Material::File);
    if inline.is_some() && file.is_some() {
        let message = "is given beside ssl.truststore.location; one of them says whom to trust";
        properties.problem("ssl.truststore.certificates", message);
    }
    let kind = kind(properties, "ssl.truststore.type");
    let password = properties.text("ssl.truststore.password").map(Secret::new);
    let Some(content) = inline.or(file) else {
        if kind.is_some() || password.is_some() {
            let message = "is required where type or password of a truststore are given";
            properties.problem(properties.place("ssl.truststore.location"), message);
        }
        return None;
    };
    Some(Store { kind, password, ..Store::of(content) })
}

fn identity(properties: &mut Properties) -> Option<Store> {
    let chain = properties.text("ssl.keystore.certificate.chain").map(|pem| Material::Text(Secret::new(pem)));
    let inline_key = properties.text("ssl.keystore.key").map(|pem| Material::Text(Secret::new(pem)));
    let file = properties.path("ssl.keystore.location").map(Material::File);
    let kind = kind(properties, "ssl.keystore.type");
    let password = properties.text("ssl.keystore.password").map(Secret::new);
    let key_password = properties.text("ssl.key.password").map(Secret::new);
    let alias = properties.text("ssl.keystore.alias");
    let (content, key) = match (chain, inline_key, file) {
        (Some(chain), Some(key), None) => (chain, Some(key)),
        (None, None, Some(file)) => (file, None),
        (None, None, None) => {
            if kind.is_some() || password.is_some() || key_password.is_some() {
                let message = "is required where type or password of a keystore are given";
                properties.problem(properties.place("ssl.keystore.location"), message);
            }
            return None;
        }
        (_, _, Some(_)) => {
            let message = "is given beside a certificate or key in the settings; one of them says who the gateway is";
            properties.problem("ssl.keystore.location", message);
            return None;
        }
        _ => {
            let message = "ssl.keystore.certificate.chain and ssl.keystore.key belong together";
            properties.problem("ssl.keystore.key", message);
            return None;
        }
    };
    Some(Store { content, key, kind, password, key_password, alias })
}

fn kind(properties: &mut Properties, name: &str) -> Option<StoreKind> {
    let (place, word) = properties.placed(name)?;
    let found = StoreKind::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&word));
    if found.is_none() {
        properties.problem(place, format!("'{word}' is none of PEM, PKCS12, JKS"));
    }
    found.map(|(_, kind)| *kind)
}

fn verify_host_name(properties: &mut Properties) -> bool {
    let name = "ssl.endpoint.identification.algorithm";
    let place = properties.place(name);
    match properties.raw(name).as_deref().map(str::trim) {
        None => true,
        Some(word) if word.eq_ignore_ascii_case("https") => true,
        Some("") => {
            properties.warning(format!(
                "{place} is empty: whoever has a certificate of a trusted authority can pose as a broker, because host \
                 names are not compared. Leave it out, and give the brokers certificates with their host names"
            ));
            false
        }
        Some(word) => {
            let message = format!("'{word}' is neither 'https' nor empty");
            properties.problem(place, message);
            true
        }
    }
}

fn versions(properties: &mut Properties) -> Vec<TlsVersion> {
    let mut versions = vec![TlsVersion::Tls12, TlsVersion::Tls13];
    if let Some((place, text)) = properties.placed("ssl.enabled.protocols") {
        versions = list(Some(text)).iter().filter_map(|word| version(properties, &place, word)).collect();
        if versions.is_empty() {
            properties.problem(place, "leaves neither TLSv1.2 nor TLSv1.3");
        }
    }
    if let Some((place, text)) = properties.placed("ssl.protocol")
        // As in Java: the highest version; `TLS` means any.
        && !text.eq_ignore_ascii_case("TLS")
        && let Some(TlsVersion::Tls12) = version(properties, &place, &text)
    {
        versions.retain(|version| *version == TlsVersion::Tls12);
    }
    versions
}

fn version(properties: &mut Properties, place: &str, word: &str) -> Option<TlsVersion> {
    match word {
        "TLSv1.2" => Some(TlsVersion::Tls12),
        "TLSv1.3" => Some(TlsVersion::Tls13),
        "TLSv1" | "TLSv1.1" | "SSLv3" => {
            properties.warning(format!("{place}: {word} is broken and is never offered"));
            None
        }
        _ => {
            properties.problem(place, format!("'{word}' is neither TLSv1.2 nor TLSv1.3"));
            None
        }
    }
}

fn list(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
