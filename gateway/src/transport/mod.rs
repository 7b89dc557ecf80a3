//! Bytes between sockets: connections in the clear or by TLS, frames out of them, vectored writes into them.

pub mod connection;
pub mod frames;
pub mod tls;
pub mod vectored;
