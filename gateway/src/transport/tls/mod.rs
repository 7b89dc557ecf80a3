//! Keys, certificates and TLS.
//!
//! `stores` reads them from PEM, PKCS12 and JKS, each in a file of its own here; `server` makes of them what a listener
//! offers, and `reload` keeps that fresh. Nothing here opens a connection.

pub mod certificate;
pub mod der;
pub mod export;
mod jks;
pub mod names;
mod pem;
mod pkcs12;
mod protection;
pub mod reload;
pub mod server;
pub mod stores;
