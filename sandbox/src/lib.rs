//! Virtual Kafka clusters per team or branch, on demand.
//!
//! `commands` holds one file per command. A sandbox is a virtual cluster with an account on a gateway (`server`); the
//! local stack is a broker (`providers`) and a gateway in the background (`stack`); `state` remembers both.

pub mod commands;
pub mod connection;
pub mod context;
pub mod envfile;
pub mod error;
pub mod home;
pub mod identity;
pub mod kafka;
pub mod naming;
pub mod output;
pub mod providers;
pub mod server;
pub mod stack;
pub mod state;
