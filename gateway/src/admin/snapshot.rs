//! `/anabranch/v1/snapshot`: how the gateway is at one moment, as far as who asks may know.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::{Extension, Json};
use contract::events::{Snapshot, Traffic};

use super::Admin;
use super::roles::Asker;

pub(super) async fn now(State(admin): State<Arc<Admin>>, Extension(asker): Extension<Asker>) -> Json<Snapshot> {
    let mut traffic = admin.metrics.traffic();
    let declared = admin.declare.now();
    // One that nobody uses has no counters yet, and is there all the same.
    for name in declared.virtual_clusters.keys() {
        let quiet = || Traffic { virtual_cluster: name.clone(), ..Traffic::default() };
        let _ = traffic.entry(name.as_str().into()).or_insert_with(quiet);
    }
    let sees = |name: &str| asker.only().is_none_or(|own| own == name);
    Json(Snapshot {
        time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: admin.health.is_ready(),
        virtual_clusters: traffic.into_values().filter(|traffic| sees(&traffic.virtual_cluster)).collect(),
        gateway: asker.only().is_none().then(|| admin.metrics.totals()),
    })
}
