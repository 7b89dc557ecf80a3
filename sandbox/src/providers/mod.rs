//! Where the Kafka of the local stack comes from.

pub mod docker;
pub mod existing;
pub mod jars;
pub mod jdk;
pub mod local;

use clap::ValueEnum;

use crate::context::Context;
use crate::error::{Failure, Kind, Result};
use crate::state::Broker;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Provider {
    /// an existing Kafka if one is configured, else a JDK, else Docker
    #[default]
    Auto,
    /// a Kafka that runs already (--bootstrap)
    Existing,
    /// Apache Kafka as a process of this machine's JDK
    Local,
    /// Apache Kafka in a container
    Docker,
}

/// What was asked of the broker.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    pub provider: Provider,
    /// The bootstrap servers of an existing Kafka.
    pub bootstrap: Option<String>,
    /// The port on which the broker shall listen.
    pub port: Option<u16>,
}

/// Told of a broker as soon as there is one, before it is ready: a command that is interrupted must not leave behind
/// what nobody remembers.
pub type Remember<'a> = &'a mut dyn FnMut(Broker) -> Result<()>;

/// Starts a broker and waits until it answers. `before` is the one of last time, whose data and ports are kept.
pub fn start(context: &Context, wish: &Wish, before: Option<&Broker>, remember: Remember<'_>) -> Result<()> {
    match choose(context, wish, before)? {
        Provider::Existing | Provider::Auto => remember(existing::check(context, wish.bootstrap.as_deref())?),
        Provider::Local => local::start(context, wish.port, before, remember),
        Provider::Docker => docker::start(context, wish.port, remember),
    }
}

/// Whether a broker runs; one of somebody else is taken to run until it does not answer.
pub fn is_running(broker: &Broker) -> bool {
    match broker {
        Broker::Existing { .. } => true,
        Broker::Local { process, .. } => process.is_alive(),
        Broker::Docker { container, .. } => docker::is_running(container),
    }
}

/// Whether a running broker is what is asked for now.
pub fn suits(broker: &Broker, wish: &Wish) -> Result<()> {
    let (is, suits) = match broker {
        Broker::Existing { bootstrap } => {
            let same = wish.bootstrap.as_ref().is_none_or(|wanted| wanted == bootstrap);
            (format!("an existing Kafka at {bootstrap}"), same && provider_suits(wish, Provider::Existing))
        }
        Broker::Local { port, .. } => {
            let same = wish.port.is_none_or(|wanted| wanted == *port);
            (format!("a local Kafka on port {port}"), same && provider_suits(wish, Provider::Local))
        }
        Broker::Docker { port, .. } => {
            let same = wish.port.is_none_or(|wanted| wanted == *port);
            (format!("a Kafka container on port {port}"), same && provider_suits(wish, Provider::Docker))
        }
    };
    if suits {
        return Ok(());
    }
    Err(Failure::new(Kind::Conflict, format!("the local stack already runs, with {is}"))
        .hint("`sandbox local stop` ends it; then start it the other way"))
}

fn provider_suits(wish: &Wish, provider: Provider) -> bool {
    let asked = match (wish.provider, &wish.bootstrap) {
        (Provider::Auto, Some(_)) => Provider::Existing,
        (asked, _) => asked,
    };
    asked == Provider::Auto || asked == provider
}

/// Takes what is there, and says which and why.
fn choose(context: &Context, wish: &Wish, before: Option<&Broker>) -> Result<Provider> {
    if wish.provider != Provider::Auto {
        return Ok(wish.provider);
    }
    let (provider, why) = if let Some(bootstrap) = &wish.bootstrap {
        (Provider::Existing, format!("an existing Kafka is configured ({bootstrap})"))
    } else if let Ok(jdk) = jdk::find() {
        let data = if matches!(before, Some(Broker::Local { .. })) { " and its data of last time" } else { "" };
        (Provider::Local, format!("no existing Kafka is configured, and there is {jdk}{data}"))
    } else if docker::answers() {
        (Provider::Docker, "no existing Kafka is configured and there is no JDK 17, but Docker answers".to_owned())
    } else {
        return Err(nothing());
    };
    let name = provider.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    context.console.note(&format!("provider {name}: {why}"));
    Ok(provider)
}

fn nothing() -> Failure {
    Failure::new(Kind::Unreachable, "nothing to run Kafka with: no JDK 17 or newer, no Docker, no existing Kafka").hint(
        "install a JDK (Debian: `apt install openjdk-17-jre-headless`, macOS: `brew install openjdk`) or start Docker, \
         or name a Kafka with --bootstrap HOST:PORT",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_must_suit_the_wish() {
        let running = Broker::Existing { bootstrap: "kafka:9092".to_owned() };
        let wish =
            |provider, bootstrap: Option<&str>| Wish { provider, bootstrap: bootstrap.map(str::to_owned), port: None };
        assert!(suits(&running, &wish(Provider::Auto, None)).is_ok());
        assert!(suits(&running, &wish(Provider::Existing, Some("kafka:9092"))).is_ok());
        assert!(suits(&running, &wish(Provider::Auto, Some("other:9092"))).is_err());
        assert_eq!(suits(&running, &wish(Provider::Local, None)).unwrap_err().kind, Kind::Conflict);
    }
}
