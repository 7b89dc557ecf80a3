//! What the gateway tells about itself: counters and health. Everyone reports here; nothing here reports to anyone.

pub mod health;
pub mod metrics;
