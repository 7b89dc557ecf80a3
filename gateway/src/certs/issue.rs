//! The authority and what it signs: ECDSA on P-256, which every TLS client knows.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};

use super::CertsError;

const DAY: u64 = 24 * 60 * 60;
/// The authority outlives what it signs, so that the latter can be renewed.
const AUTHORITY_DAYS: u32 = 3650;

/// A certificate authority.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    days: u32,
}

/// A certificate and its key.
pub(super) struct Issued {
    pub(super) pem: String,
    pub(super) der: Vec<u8>,
    pub(super) key_pem: String,
    /// PKCS#8.
    pub(super) key: Vec<u8>,
}

impl Authority {
    /// One whose certificates live for some days.
    pub(super) fn new(days: u32) -> Result<Self, CertsError> {
        let mut parameters = parameters("Anabranch development CA", AUTHORITY_DAYS.max(days));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        Ok(Self { issuer, days })
    }

    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(super) fn der(&self) -> &[u8] {
        self.issuer.der()
    }

    pub(super) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// For a server of these host names and addresses.
    pub(super) fn server(&self, names: &[String]) -> Result<Issued, CertsError> {
        let mut parameters = parameters("gateway", self.days);
        for name in names {
            let one = CertificateParams::new([name.clone()]);
            let one = one.map_err(|error| CertsError::BadHost { name: name.clone(), reason: error.to_string() })?;
            parameters.subject_alt_names.extend(one.subject_alt_names);
        }
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(parameters)
    }

    /// For a client of this name.
    pub(super) fn client(&self, name: &str) -> Result<Issued, CertsError> {
        let mut parameters = parameters(name, self.days);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(parameters)
    }

    fn sign(&self, mut parameters: CertificateParams) -> Result<Issued, CertsError> {
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate: Certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
            key: key.serialize_der(),
        })
    }
}

fn parameters(name: &str, days: u32) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // An hour back: clocks differ.
    parameters.not_before = epoch + now.saturating_sub(Duration::from_secs(3600));
    parameters.not_after = epoch + now + Duration::from_secs(u64::from(days) * DAY);
    parameters
}
