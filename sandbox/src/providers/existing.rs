//! A Kafka that runs already. It is only used, never started or stopped.

use std::time::{Duration, Instant};

use crate::context::Context;
use crate::error::{Failure, Kind, Result};
use crate::kafka::{Target, probe};
use crate::output;
use crate::state::Broker;

const PATIENCE: Duration = Duration::from_secs(10);

/// Checks that every broker of it answers from here.
pub fn check(context: &Context, bootstrap: Option<&str>) -> Result<Broker> {
    let bootstrap = bootstrap.filter(|bootstrap| !bootstrap.is_empty()).ok_or_else(|| {
        Failure::new(Kind::Usage, "the provider 'existing' needs the address of a Kafka")
            .hint("give --bootstrap HOST:PORT or set SANDBOX_KAFKA_BOOTSTRAP")
    })?;
    let since = Instant::now();
    let brokers = probe::every_broker(&Target::open(bootstrap), since + PATIENCE).map_err(|error| {
        Failure::new(Kind::Unreachable, format!("the Kafka at {bootstrap} cannot be used: {error}"))
            .hint("every broker must be reachable from here at the address it advertises, without a login")
    })?;
    let detail = format!("existing, {} at {bootstrap}", output::count(brokers.len(), "broker"));
    context.console.step("kafka", since, &detail);
    Ok(Broker::Existing { bootstrap: bootstrap.to_owned() })
}
