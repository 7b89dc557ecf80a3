//! Which virtual cluster and broker an address stands for.

pub mod port;
