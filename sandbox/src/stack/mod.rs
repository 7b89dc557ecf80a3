//! The local stack: a broker and a gateway that run in the background.

pub mod gateway;
pub mod ports;
pub mod process;

use std::time::Instant;

use crate::context::Context;
use crate::error::Result;
use crate::output;
use crate::providers::{self, Wish};
use crate::server;
use crate::state::{Broker, Locked, Server, Stack};

/// Makes sure that broker and gateway run as wished; what runs already is kept.
pub fn ensure(context: &Context, locked: &mut Locked, wish: &Wish, gateway_port: Option<u16>) -> Result<()> {
    let before = locked.state.stack.clone();
    match &before {
        Some(stack) if providers::is_running(&stack.broker) => providers::suits(&stack.broker, wish)?,
        _ => {
            let gateway = before.as_ref().and_then(|stack| stack.gateway.clone());
            let mut remember = |broker: Broker| {
                locked.state.stack = Some(Stack { broker, gateway: gateway.clone() });
                locked.save()
            };
            providers::start(context, wish, before.as_ref().map(|stack| &stack.broker), &mut remember)?;
        }
    }
    let Some(stack) = locked.state.stack.clone() else { return Err(server::not_running()) };
    let upstream = stack.broker.bootstrap();
    if let Some(gateway) = &stack.gateway
        && gateway.process.is_alive()
    {
        if gateway.upstream == upstream {
            return gateway::suits(gateway, gateway_port);
        }
        gateway::stop(gateway)?;
    }
    let started = gateway::start(context, &upstream, stack.gateway.as_ref(), gateway_port, &mut |gateway| {
        locked.state.stack = Some(Stack { broker: stack.broker.clone(), gateway: Some(gateway) });
        locked.save()
    });
    started?;
    declare_again(context, locked)
}

/// A gateway that has just started knows nothing of the sandboxes made before.
fn declare_again(context: &Context, locked: &mut Locked) -> Result<()> {
    let since = Instant::now();
    let admin = server::admin(&locked.state, &Server::Local)?;
    let bootstrap = locked.state.stack.as_ref().and_then(|stack| stack.gateway.as_ref()).map(gateway::bootstrap);
    let mut declared = 0;
    for sandbox in locked.state.sandboxes.values_mut().filter(|sandbox| sandbox.server == Server::Local) {
        if let Some(bootstrap) = &bootstrap {
            sandbox.connection.bootstrap.clone_from(bootstrap);
        }
        server::declare(&admin, sandbox)?;
        declared += 1;
    }
    if declared > 0 {
        context.console.step("restored", since, &output::count(declared, "sandbox"));
    }
    locked.save()
}
