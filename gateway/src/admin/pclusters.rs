//! The physical clusters: which serves clients, which can be reached, and the switch from one to another.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use contract::resources::upstream_cluster::{UpstreamClusterSpec, UpstreamRole, UpstreamStatus};
use contract::resources::{AliasTopic, Declared as _, UpsertResult, Upserted, UpstreamCluster};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::answer::{ApiError, Name, PutQuery, Text, parse, query};
use super::operations::Verb::{Get, Post, Put};
use super::operations::{Operation, Parameter, ParameterKind};
use super::roles::Needs;
use super::table::{DRY_MODE, example};
use crate::audit::caller;
use crate::upstream::cluster::Cluster;
use crate::upstream::physical::Physical;
use crate::upstream::switch::{self, Switch};
use crate::world::{Problem, ProblemKind};

/// No cluster that is there takes longer to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a switch leaves where it is: said in the answer of each switch, because nobody else says it.
const NOT_REPLICATED: [&str; 5] = [
    "records: what was written to the former cluster is there only, unless something such as MirrorMaker copied it",
    "topics, their partitions and settings",
    "committed offsets of groups: consumers go on where the other cluster's offsets say, else by auto.offset.reset",
    "producer ids and transactions: open transactions of the former cluster end there by their timeout; transactional producers begin \
     anew; idempotent ones go on with a producer id that the other cluster does not know, and on the way back the former cluster finds \
     a gap in their sequence numbers: Java producers begin a new sequence, those of librdkafka stop with a fatal error and have to be \
     started anew",
    "Kafka's own ACLs, quotas, SCRAM users and delegation tokens",
];

/// `?to=`
#[derive(Debug, Deserialize)]
struct To {
    to: String,
}

/// A physical cluster as it is now.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PCluster {
    name: String,
    role: UpstreamRole,
    #[serde(flatten)]
    status: UpstreamStatus,
    bootstrap_servers: Vec<String>,
}

/// What became of a switch.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Switched {
    result: &'static str,
    from: String,
    to: String,
    epoch: u64,
    /// The clusters that do not know of it yet: they are told as soon as a gateway reaches them.
    not_told: Vec<NotTold>,
    not_replicated: &'static [&'static str],
    msg: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct NotTold {
    cluster: String,
    cause: String,
}

/// What the admin API knows of the physical clusters.
#[derive(Debug)]
pub struct PClusters {
    cluster: Arc<Cluster>,
    /// Names the gateways that switch together.
    key: String,
    /// One switch at a time.
    busy: tokio::sync::Mutex<()>,
}

impl PClusters {
    /// Those of a gateway; `key` names the gateways that switch together.
    pub fn new(cluster: Arc<Cluster>, key: String) -> Self {
        Self { cluster, key, busy: tokio::sync::Mutex::default() }
    }

    fn named(&self, name: &str) -> Result<&Arc<Physical>, ApiError> {
        self.cluster.named(name).ok_or_else(|| {
            ApiError::not_found(format!("there is no physical cluster '{name}'; there are {}", self.names()))
        })
    }

    fn names(&self) -> String {
        self.cluster.all().map(|physical| format!("'{}'", physical.name())).collect::<Vec<_>>().join(", ")
    }

    fn role(&self, physical: &Arc<Physical>) -> UpstreamRole {
        if Arc::ptr_eq(physical, self.cluster.main()) { UpstreamRole::Main } else { UpstreamRole::Failover }
    }

    fn status(&self, physical: &Arc<Physical>) -> UpstreamStatus {
        let active = self.cluster.follow().borrow().clone();
        let is_active = Arc::ptr_eq(&active.physical, physical);
        let topology = physical.topology();
        let since = active.switch.as_ref().filter(|_| is_active);
        let since = since.map(|switch| humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(switch.at)));
        UpstreamStatus {
            active: is_active,
            reachable: physical.trouble().is_none(),
            trouble: physical.trouble(),
            brokers: topology.brokers.keys().copied().collect(),
            cluster_id: Some(topology.cluster_id.clone()).filter(|id| !id.is_empty()),
            active_since: since.map(|since| since.to_string()),
            switch_epoch: active.switch.as_ref().map_or(0, |switch| switch.epoch),
        }
    }

    fn shown(&self, physical: &Arc<Physical>) -> PCluster {
        PCluster {
            name: physical.name().to_string(),
            role: self.role(physical),
            status: self.status(physical),
            bootstrap_servers: physical.bootstrap().to_vec(),
        }
    }

    /// That a resource says what is so already.
    pub(super) fn must_be(&self, resource: &UpstreamCluster) -> Result<(), Problem> {
        let UpstreamClusterSpec { bootstrap_servers, role } = &resource.spec;
        let problem = |path: &'static str, what: String| {
            let message = format!(
                "{what}; physical clusters are settings of the gateway: change upstream.clusters in gateway.yaml, the file of \
                 GATEWAY_BACKEND_KAFKA_SELECTOR or KAFKA_* variables, and start it anew; switch with POST \
                 /admin/pclusters/v1/pcluster/{{name}}/switch?to={{other}}"
            );
            let resource = resource.key().to_string();
            Err(Problem { kind: ProblemKind::Invalid, resource, path: path.into(), message })
        };
        let Ok(known) = self.named(&resource.metadata.name) else {
            return problem("metadata.name", format!("there are {}", self.names()));
        };
        if known.bootstrap() != bootstrap_servers.as_slice() {
            return problem("spec.bootstrapServers", format!("it has {}", known.bootstrap().join(", ")));
        }
        match (self.role(known), role.unwrap_or_default()) {
            (is, said) if is == said => Ok(()),
            (UpstreamRole::Main, _) => problem("spec.role", "it is the main cluster".to_owned()),
            (UpstreamRole::Failover, _) => problem("spec.role", "it is a failover cluster".to_owned()),
        }
    }

    /// That an alias is where all topics are: on the cluster that serves, whichever that is.
    pub(super) fn must_have(&self, alias: &AliasTopic) -> Result<(), Problem> {
        let Some(name) = &alias.spec.physical_cluster else { return Ok(()) };
        let (kind, message) = match self.named(name) {
            Ok(known) if self.role(known) == UpstreamRole::Main => return Ok(()),
            Ok(_) => (
                ProblemKind::Invalid,
                format!("'{name}' only stands in: leave it out, and the topic is on whichever serves"),
            ),
            Err(error) => (ProblemKind::Missing, error.body.msg.unwrap_or_default()),
        };
        Err(Problem { kind, resource: alias.key().to_string(), path: "spec.physicalCluster".into(), message })
    }

    /// All of them as resources.
    pub(super) fn resources(&self) -> Vec<UpstreamCluster> {
        let resource = |physical: &Arc<Physical>| {
            let servers = physical.bootstrap().to_vec();
            UpstreamCluster::seen(physical.name(), servers, self.role(physical), self.status(physical))
        };
        self.cluster.all().map(resource).collect()
    }

    async fn switch(&self, to: &str, by: &str) -> Result<Switched, ApiError> {
        let target = self.named(to)?;
        let _busy = self.busy.lock().await;
        let active = self.cluster.follow().borrow().clone();
        let from = active.physical.name().to_string();
        if Arc::ptr_eq(&active.physical, target) {
            let msg = format!("'{to}' serves clients already: nothing has changed");
            let epoch = active.switch.as_ref().map_or(0, |switch| switch.epoch);
            return Ok(Switched {
                result: "NOT_CHANGED",
                from,
                to: to.to_owned(),
                epoch,
                not_told: Vec::new(),
                not_replicated: &NOT_REPLICATED,
                msg,
            });
        }
        match tokio::time::timeout(PATIENCE, target.refresh()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(unreachable(to, &from, &error.to_string())),
            Err(_) => return Err(unreachable(to, &from, &format!("no answer within {} s", PATIENCE.as_secs()))),
        }
        let switch = Switch::after(active.switch.as_ref(), to, by);
        let told = switch::announce(&self.cluster, &self.key, &switch).await;
        let told = told.map_err(|cause| unreachable(to, &from, &cause))?;
        let not_told = told.into_iter().filter_map(|told| {
            let cluster = told.cluster.to_string();
            told.trouble.map(|cause| NotTold { cluster, cause })
        });
        let msg = format!(
            "clients of '{from}' are sent to '{to}', by this gateway now and by the others within a second. The gateway copies what is \
             declared, and nothing else: see notReplicated"
        );
        Ok(Switched {
            result: "SWITCHED",
            from,
            to: to.to_owned(),
            epoch: switch.epoch,
            not_told: not_told.collect(),
            not_replicated: &NOT_REPLICATED,
            msg,
        })
    }
}

fn unreachable(to: &str, from: &str, cause: &str) -> ApiError {
    ApiError::not_available(
        "The cluster is out of reach",
        format!("cannot switch to '{to}': {cause}. '{from}' serves clients as before; switch when '{to}' answers"),
    )
}

/// The switch and its clusters at the path that existing tools know, and the same clusters as resources.
pub(super) fn operations() -> Vec<Operation> {
    let (kind, path) = (UpstreamCluster::KIND.path, "/admin/pclusters/v1/pcluster");
    let to = Parameter { name: "to", kind: ParameterKind::Text, about: "The cluster that serves from then on." };
    let name = Parameter { name: "name", kind: ParameterKind::Text, about: "Only the cluster of this name." };
    let (see, change) = (Needs::SeeAll, Needs::Administer);
    let below = format!("{path}/{{name}}");
    let one = format!("{kind}/{{name}}");
    let resource_tag = "cli_upstream-cluster_anabranch_v1_5";
    vec![
        Operation::new(Get, path, "listPclusters", "Every physical cluster, and which serves", see, list)
            .answers_list::<PCluster>(),
        Operation::new(Get, &below, "getPcluster", "The physical cluster of this name", see, get)
            .answers::<PCluster>()
            .refuses(&[404]),
        Operation::new(Post, &format!("{below}/switch"), "switchPcluster", "Let another cluster serve", change, switch)
            .query(&[to])
            .answers::<Switched>()
            .refuses(&[404, 503]),
        Operation::new(Get, kind, "listUpstreamCluster", "Every UpstreamCluster", see, resources)
            .query(&[name])
            .answers_list::<UpstreamCluster>()
            .tag(resource_tag),
        Operation::new(Put, kind, "putUpstreamCluster", "Compare an UpstreamCluster with the settings", change, put)
            .query(&[DRY_MODE])
            .takes::<UpstreamCluster>(example("UpstreamCluster"))
            .answers::<Upserted<UpstreamCluster>>()
            .tag(resource_tag),
        Operation::new(Get, &one, "getUpstreamCluster", "The UpstreamCluster of this name", see, resource)
            .answers::<UpstreamCluster>()
            .refuses(&[404])
            .tag(resource_tag),
    ]
}

/// `?name=`
#[derive(Debug, Default, Deserialize)]
struct Filter {
    name: Option<String>,
}

async fn resources(State(admin): State<Arc<Admin>>, uri: Uri) -> Result<Json<Vec<UpstreamCluster>>, ApiError> {
    let Filter { name } = query(&uri)?;
    let mut all = admin.pclusters.resources();
    all.retain(|resource| name.as_ref().is_none_or(|name| *name == resource.metadata.name));
    Ok(Json(all))
}

async fn resource(State(admin): State<Arc<Admin>>, Name(name): Name) -> Result<Json<UpstreamCluster>, ApiError> {
    let _ = admin.pclusters.named(&name)?;
    let found = admin.pclusters.resources().into_iter().find(|resource| resource.metadata.name == name);
    found.map(Json).ok_or_else(|| ApiError::not_found(format!("there is no physical cluster '{name}'")))
}

/// Takes what is so already. Who connects where, and with which secrets, is a matter of the process's own settings.
async fn put(
    State(admin): State<Arc<Admin>>,
    uri: Uri,
    Text(body): Text,
) -> Result<Json<Upserted<UpstreamCluster>>, ApiError> {
    let PutQuery { dry_mode: _ } = query(&uri)?;
    let resource: UpstreamCluster = parse(&body)?;
    admin.pclusters.must_be(&resource).map_err(|problem| ApiError::problems(&[problem]))?;
    Ok(Json(Upserted { resource, upsert_result: UpsertResult::NotChanged }))
}

async fn list(State(admin): State<Arc<Admin>>) -> Json<Vec<PCluster>> {
    let pclusters = &admin.pclusters;
    Json(pclusters.cluster.all().map(|physical| pclusters.shown(physical)).collect())
}

async fn get(State(admin): State<Arc<Admin>>, Name(name): Name) -> Result<Json<PCluster>, ApiError> {
    admin.pclusters.named(&name).map(|physical| Json(admin.pclusters.shown(physical)))
}

/// `name` is the cluster that clients are configured for, whichever serves at present.
async fn switch(State(admin): State<Arc<Admin>>, Name(name): Name, uri: Uri) -> Result<Json<Switched>, ApiError> {
    let To { to } = query(&uri)?;
    let _ = admin.pclusters.named(&name)?;
    let by = caller::name().unwrap_or_default();
    // What was begun is done, also where whoever asked hangs up.
    let switching = tokio::spawn(caller::carried(async move { admin.pclusters.switch(&to, &by).await }));
    switching.await.map_err(|error| ApiError::internal(error.to_string()))?.map(Json)
}
