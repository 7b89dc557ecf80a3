//! An answer as its requester may see it: where everything is listed, only what may be described; and what may be done.

use super::access::Access;
use super::acl::{Operation, ResourceType};
use crate::apis::plans;
use std::collections::HashSet;
use std::convert::Infallible;
use wire::plan::Role;
use wire::schema::ApiKey;
use wire::segments::Segments;
use wire::walk::{Action, Stop, Value, Visitor, scan, walk};

/// Rights that a client did not ask for.
const NOT_ASKED: i32 = i32::MIN;

/// What an answer shows of the things in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// Nothing depends on rights.
    All,
    /// Topics that may be described.
    Topics,
    /// Groups that may be described, or all for who may describe the cluster.
    Groups,
    /// Transactional ids that may be described.
    TransactionalIds,
    /// Groups whose topics may all be described.
    GroupsByTopics,
    /// Nothing but what may be done.
    Operations,
    /// Topics that may be read, where a right was lost meanwhile.
    Records,
}

/// Exhaustive, as the table of what requests need.
#[deny(clippy::wildcard_enum_match_arm)]
const fn sight(key: ApiKey) -> Sight {
    use ApiKey as K;
    match key {
        K::Metadata | K::DescribeTopicPartitions | K::OffsetFetch | K::DescribeShareGroupOffsets => Sight::Topics,
        // A pattern of topics is resolved by the broker, which knows no rights of the client.
        K::DescribeTransactions | K::ConsumerGroupHeartbeat => Sight::Topics,
        K::ListGroups => Sight::Groups,
        K::ListTransactions => Sight::TransactionalIds,
        K::ConsumerGroupDescribe | K::ShareGroupDescribe | K::StreamsGroupDescribe => Sight::GroupsByTopics,
        K::DescribeGroups | K::DescribeCluster => Sight::Operations,
        K::Fetch | K::ShareFetch => Sight::Records,
        K::Produce | K::ListOffsets | K::OffsetCommit | K::FindCoordinator | K::JoinGroup | K::Heartbeat => Sight::All,
        K::LeaveGroup | K::SyncGroup | K::SaslHandshake | K::ApiVersions | K::CreateTopics => Sight::All,
        K::DeleteTopics | K::DeleteRecords | K::InitProducerId | K::OffsetForLeaderEpoch => Sight::All,
        K::AddPartitionsToTxn | K::AddOffsetsToTxn | K::EndTxn | K::TxnOffsetCommit => Sight::All,
        K::DescribeConfigs | K::AlterConfigs | K::SaslAuthenticate | K::CreatePartitions => Sight::All,
        K::DeleteGroups | K::IncrementalAlterConfigs | K::OffsetDelete | K::DescribeProducers => Sight::All,
        // Who may describe the cluster is shown all of these.
        K::DescribeLogDirs | K::ListPartitionReassignments | K::ListConfigResources => Sight::All,
        K::DescribeAcls | K::CreateAcls | K::DeleteAcls | K::DescribeClientQuotas | K::AlterClientQuotas => Sight::All,
        K::DescribeUserScramCredentials | K::AlterUserScramCredentials => Sight::All,
        K::ShareGroupHeartbeat | K::ShareAcknowledge | K::AlterShareGroupOffsets => Sight::All,
        K::DeleteShareGroupOffsets | K::StreamsGroupHeartbeat => Sight::All,
        K::StreamsGroupTopologyDescriptionUpdate => Sight::All,
        // Not served.
        K::GetTelemetrySubscriptions | K::PushTelemetry | K::CreateDelegationToken => Sight::All,
        K::RenewDelegationToken | K::ExpireDelegationToken | K::DescribeDelegationToken => Sight::All,
        K::AlterReplicaLogDirs | K::ElectLeaders | K::AlterPartitionReassignments | K::UpdateFeatures => Sight::All,
        K::UnregisterBroker | K::UnregisterController | K::DescribeQuorum | K::AddRaftVoter => Sight::All,
        K::RemoveRaftVoter | K::UpdateRaftVoter | K::WriteTxnMarkers | K::Envelope | K::AlterPartition => Sight::All,
        K::AllocateProducerIds | K::Vote | K::BeginQuorumEpoch | K::EndQuorumEpoch | K::FetchSnapshot => Sight::All,
        K::BrokerRegistration | K::BrokerHeartbeat | K::ControllerRegistration => Sight::All,
        K::AssignReplicasToDirs | K::InitializeShareGroupState | K::ReadShareGroupState => Sight::All,
        K::WriteShareGroupState | K::DeleteShareGroupState | K::ReadShareGroupStateSummary => Sight::All,
    }
}

/// Whether answers of this API depend on what their requester may see; those with records only where `rights_changed` while
/// they were on their way.
pub fn depends_on_rights(key: ApiKey, rights_changed: bool) -> bool {
    match sight(key) {
        Sight::All => false,
        Sight::Records => rights_changed,
        _ => true,
    }
}

/// An answer as its requester may see it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The body.
    pub body: Vec<u8>,
    /// Groups that were left out because they have topics that may not be described.
    pub hidden: Vec<String>,
}

/// What of an answer in virtual names its requester may see; with `no_topics`, none of those in it.
///
/// # Errors
/// [`Stop::Malformed`] for a body that is not the answer.
pub fn shown(
    key: ApiKey,
    version: i16,
    body: &[u8],
    access: &Access<'_>,
    no_topics: bool,
) -> Result<Shown, Stop<Infallible>> {
    let plan = plans::response(key, version);
    let mut viewer = Viewer {
        key,
        sight: sight(key),
        access,
        no_topics: no_topics && key == ApiKey::Metadata,
        every_group: access.allows_on_cluster(Operation::Describe),
        look: false,
        name: String::new(),
        after_id: false,
        hidden: HashSet::new(),
    };
    if viewer.sight == Sight::GroupsByTopics {
        viewer.look = true;
        scan(plan, body, &mut viewer)?;
        viewer.look = false;
    }
    let mut segments = Segments::default();
    walk(plan, body, &mut viewer, &mut segments)?;
    Ok(Shown { body: segments.to_vec(body), hidden: viewer.hidden.into_iter().collect() })
}

struct Viewer<'a> {
    key: ApiKey,
    sight: Sight,
    access: &'a Access<'a>,
    /// All topics came, and none was asked for that may be shown: a request of version 0 can't say "none".
    no_topics: bool,
    /// Who may describe the cluster is shown all groups.
    every_group: bool,
    /// Nothing is left out yet: first it is seen which groups are to be hidden.
    look: bool,
    /// The topic or group around the cursor.
    name: String,
    /// The field before was a topic's id, so that a name that follows is of an assignment, and not of a subscription.
    after_id: bool,
    hidden: HashSet<String>,
}

impl Viewer<'_> {
    fn topic(&mut self, name: &str) -> Action<'static> {
        let describes = |this: &Self| this.access.allows(Operation::Describe, ResourceType::Topic, name);
        match self.sight {
            Sight::Topics => {
                name.clone_into(&mut self.name);
                if describes(self) && !self.no_topics { Action::Keep } else { Action::Drop }
            }
            Sight::Records if self.access.allows(Operation::Read, ResourceType::Topic, name) => Action::Keep,
            Sight::Records => Action::Drop,
            // Who subscribes to a topic shows nothing of it; who is assigned one does.
            Sight::GroupsByTopics if self.look => {
                let counts = self.key == ApiKey::StreamsGroupDescribe || self.after_id;
                if counts && !self.hidden.contains(&self.name) && !describes(self) {
                    let _ = self.hidden.insert(self.name.clone());
                }
                Action::Keep
            }
            _ => Action::Keep,
        }
    }

    fn group(&mut self, name: &str) -> Action<'static> {
        name.clone_into(&mut self.name);
        let shown = match self.sight {
            Sight::Groups => self.every_group || self.access.allows(Operation::Describe, ResourceType::Group, name),
            Sight::GroupsByTopics => self.look || !self.hidden.contains(name),
            _ => true,
        };
        if shown { Action::Keep } else { Action::Drop }
    }

    /// What the requester may do on the topic or group around the field.
    fn operations(&self) -> i32 {
        let ty = if self.sight == Sight::Topics { ResourceType::Topic } else { ResourceType::Group };
        self.access.operations(ty, &self.name)
    }

    fn cluster_operations(&self) -> i32 {
        if self.every_group { self.access.operations(ResourceType::Cluster, super::access::CLUSTER) } else { 0 }
    }
}

impl Visitor for Viewer<'_> {
    type Error = Infallible;

    fn element(&mut self) {
        self.after_id = false;
    }

    fn field(&mut self, role: Role, value: Value<'_>) -> Result<Action<'_>, Infallible> {
        let action = match (role, value) {
            (Role::Topic, Value::Str(Some(name))) => self.topic(name),
            (Role::TopicId, Value::Uuid(id)) if matches!(self.sight, Sight::Topics | Sight::Records) => {
                match self.access.topics.name(&id) {
                    Some(name) => self.topic(&name),
                    None => Action::Keep,
                }
            }
            (Role::Group, Value::Str(Some(name))) => self.group(name),
            (Role::TransactionalId, Value::Str(Some(id))) if self.sight == Sight::TransactionalIds => {
                let shown = self.access.allows(Operation::Describe, ResourceType::TransactionalId, id);
                if shown { Action::Keep } else { Action::Drop }
            }
            (Role::AuthorizedOperations, Value::Int(bits)) if bits != NOT_ASKED => Action::Int(self.operations()),
            (Role::ClusterOperations, Value::Int(bits)) if bits != NOT_ASKED => Action::Int(self.cluster_operations()),
            _ => Action::Keep,
        };
        self.after_id = role == Role::TopicId;
        Ok(action)
    }
}
