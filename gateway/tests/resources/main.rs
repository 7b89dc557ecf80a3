//! The files of resources and requests below `fixtures/configs`: a test for each block that people copy, against a gateway
//! process, by curl, and by the gateway's own command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test says what went wrong by failing

mod commands;
mod invalid;
mod requests;
mod stand;
mod valid;
