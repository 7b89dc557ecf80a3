//! What the gateway tells about itself: counters and health. Everyone reports here; nothing here reports to anyone.

pub mod audit;
pub mod health;
pub mod identity_keys;
pub mod metrics;
pub mod shown;
pub mod state;
pub mod upstreams;
