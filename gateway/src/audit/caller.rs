//! Whose doing a change is, known from where the request came in to where the change is made, however many hands it goes through.

use std::future::Future;

use super::event::{Event, Origin};

tokio::task_local! {
    static CALLER: Origin;
}

/// Does something on behalf of somebody.
pub async fn on_behalf<T>(caller: Origin, work: impl Future<Output = T>) -> T {
    CALLER.scope(caller, work).await
}

/// Work that goes on in a task of its own, still on behalf of the present caller.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let caller = CALLER.try_with(Origin::clone).unwrap_or_default();
    on_behalf(caller, work)
}

/// An event that is the caller's doing, where there is one.
pub fn of_caller(event: Event) -> Event {
    match CALLER.try_with(Origin::clone) {
        Ok(caller) => event.from_where(caller),
        Err(_) => event,
    }
}

/// How the present caller is called, where there is one.
pub fn name() -> Option<String> {
    let name = |caller: &Origin| caller.principal.as_ref().or(caller.user.as_ref()).map(ToString::to_string);
    CALLER.try_with(name).ok().flatten()
}
