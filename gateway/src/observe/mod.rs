//! What the gateway tells about itself: counters, health, traces, logs and live events. Everyone reports here; nothing here
//! reports to anyone.

pub mod audit;
pub mod brokers;
pub mod errors;
pub mod health;
mod histogram;
pub mod identity_keys;
pub mod logs;
pub mod metrics;
pub mod nodes;
mod process;
pub mod shown;
pub mod state;
pub mod stream;
pub mod tenants;
mod text;
pub mod traces;
pub mod upstreams;
