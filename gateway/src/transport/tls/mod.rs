//! Keys, certificates and TLS.
//!
//! `stores` reads them from PEM, PKCS12 and JKS, each in a file of its own here; nothing here opens a connection.

pub mod certificate;
pub(crate) mod der;
mod jks;
mod pem;
mod pkcs12;
mod protection;
pub mod stores;
