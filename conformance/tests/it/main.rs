//! Real clients through two sandboxes at once on one broker.
//!
//! A test whose broker or client is not on this machine prints `SKIPPED <name>: <why>` and passes; with REQUIRE_E2E=1,
//! as in CI, it fails instead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test says what went wrong by failing

mod acls;
mod admin_api;
mod applications;
mod audit;
mod broker;
mod cli;
mod clients;
mod compression;
mod delegated;
mod equivalence;
mod failover;
mod groups;
mod isolation;
mod kafka_managed;
mod kerberos;
mod logins;
mod lying_proxy;
mod matrix;
mod members;
mod needs;
mod node;
mod node_addresses;
mod nodes;
mod oauth;
mod observe;
mod openid;
mod quotas;
mod reload;
mod restart;
mod rights;
mod scenarios;
mod secure_kafka;
mod share;
mod share_groups;
mod stand;
mod state;
mod tls;
mod tools;
mod trio;
mod upstream;
mod views;
