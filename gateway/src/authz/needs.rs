//! What each request needs: one exhaustive match over [`ApiKey`], without a wildcard, as Kafka's brokers and controllers ask it.
//!
//! A key of a new Kafka does not compile until somebody decides what it needs. What depends on more than the names in a request
//! (a producer id, the topics that a request would make) stands in [`super::judge`].

use super::acl::Operation;
use wire::schema::ApiKey;

/// What becomes of a request that names something which it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It is refused as a whole.
    Whole,
    /// What is refused is taken out, the rest is served.
    Each,
}

/// The operation that is needed on every resource of a type which a request names.
pub type Need = Option<(Operation, Reach)>;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// On the cluster, for the request as a whole.
    pub cluster: Option<Operation>,
    /// On the cluster, in place of what is needed on topics.
    pub instead: Option<Operation>,
    /// On each topic.
    pub topics: Need,
    /// On each group.
    pub groups: Need,
    /// On each transactional id.
    pub transactional_ids: Need,
    /// On each config resource, by its type.
    pub configs: Option<Operation>,
    /// Of each key of a coordinator its type says what it needs.
    pub coordinators: bool,
    /// Whether a request of which nothing is left goes to the broker all the same.
    pub even_empty: bool,
}

const NOTHING: Needs = Needs {
    cluster: None,
    instead: None,
    topics: None,
    groups: None,
    transactional_ids: None,
    configs: None,
    coordinators: false,
    even_empty: false,
};

impl Needs {
    const fn cluster(operation: Operation) -> Self {
        Self { cluster: Some(operation), ..NOTHING }
    }

    const fn topics(operation: Operation) -> Self {
        Self { topics: Some((operation, Reach::Each)), ..NOTHING }
    }

    const fn groups(operation: Operation) -> Self {
        Self { groups: Some((operation, Reach::Each)), ..NOTHING }
    }

    const fn group(operation: Operation) -> Self {
        Self { groups: Some((operation, Reach::Whole)), ..NOTHING }
    }

    const fn transaction() -> Self {
        Self { transactional_ids: Some((Operation::Write, Reach::Whole)), ..NOTHING }
    }

    const fn configs(operation: Operation) -> Self {
        Self { configs: Some(operation), ..NOTHING }
    }

    const fn and_topics(self, operation: Operation, reach: Reach) -> Self {
        Self { topics: Some((operation, reach)), ..self }
    }

    const fn and_group(self, operation: Operation) -> Self {
        Self { groups: Some((operation, Reach::Whole)), ..self }
    }

    const fn or_on_cluster(self, operation: Operation) -> Self {
        Self { instead: Some(operation), ..self }
    }

    const fn even_empty(self) -> Self {
        Self { even_empty: true, ..self }
    }

    /// Whether something that is not there may be taken out of a request one by one.
    pub const fn is_about_elements(&self) -> bool {
        matches!(self.topics, Some((_, Reach::Each)))
            || matches!(self.groups, Some((_, Reach::Each)))
            || matches!(self.transactional_ids, Some((_, Reach::Each)))
            || self.configs.is_some()
            || self.coordinators
    }
}

/// What a request of this API and version needs.
#[deny(clippy::wildcard_enum_match_arm)]
#[allow(clippy::too_many_lines, reason = "one line per API is the point of the table")]
pub const fn needs(key: ApiKey, version: i16) -> Needs {
    use ApiKey as K;
    use Operation as O;
    use Reach::{Each, Whole};
    match key {
        // Records of a transaction need its id: the judge looks into the batches.
        K::Produce => Needs::topics(O::Write),
        K::Fetch => Needs::topics(O::Read),
        K::ListOffsets => Needs::topics(O::Describe),
        // A request for no topic still asks for the brokers.
        K::Metadata => Needs::topics(O::Describe).even_empty(),
        K::OffsetCommit => Needs::group(O::Read).and_topics(O::Read, Each),
        // Before version 8 there is one group, and no list to take it out of.
        K::OffsetFetch if version < 8 => Needs::group(O::Describe).and_topics(O::Describe, Each).even_empty(),
        K::OffsetFetch => Needs::groups(O::Describe).and_topics(O::Describe, Each).even_empty(),
        K::FindCoordinator => Needs { coordinators: true, ..NOTHING },
        K::JoinGroup | K::SyncGroup | K::Heartbeat | K::LeaveGroup => Needs::group(O::Read),
        K::DescribeGroups => Needs::groups(O::Describe),
        // Groups that may not be described are left out of the answer.
        K::ListGroups => NOTHING,
        K::SaslHandshake | K::ApiVersions | K::SaslAuthenticate => NOTHING,
        K::CreateTopics => Needs::topics(O::Create).or_on_cluster(O::Create),
        K::DeleteTopics => Needs::topics(O::Delete).or_on_cluster(O::Delete),
        K::DeleteRecords => Needs::topics(O::Delete),
        // Without a transactional id the judge asks for IDEMPOTENT_WRITE, or WRITE on some topic (KIP-679).
        K::InitProducerId => Needs::transaction(),
        K::OffsetForLeaderEpoch => Needs::topics(O::Describe).or_on_cluster(O::ClusterAction),
        K::AddPartitionsToTxn => Needs::transaction().and_topics(O::Write, Each),
        K::AddOffsetsToTxn => Needs::transaction().and_group(O::Read),
        K::EndTxn => Needs::transaction(),
        K::TxnOffsetCommit => Needs::transaction().and_group(O::Read).and_topics(O::Read, Each),
        K::DescribeConfigs => Needs::configs(O::DescribeConfigs),
        K::AlterConfigs | K::IncrementalAlterConfigs => Needs::configs(O::AlterConfigs),
        K::CreatePartitions => Needs::topics(O::Alter),
        K::DeleteGroups => Needs::groups(O::Delete),
        // Everybody may see the brokers; what one may do on the cluster is in the answer.
        K::DescribeCluster => NOTHING,
        K::DescribeLogDirs => Needs::cluster(O::Describe),
        K::ListPartitionReassignments => Needs::cluster(O::Describe),
        K::OffsetDelete => Needs::group(O::Delete).and_topics(O::Read, Each).even_empty(),
        K::DescribeProducers => Needs::topics(O::Read),
        K::DescribeTransactions => Needs { transactional_ids: Some((O::Describe, Each)), ..NOTHING },
        // Transactional ids that may not be described are left out of the answer.
        K::ListTransactions => NOTHING,
        K::ListConfigResources => Needs::cluster(O::DescribeConfigs),
        K::DescribeTopicPartitions => Needs::topics(O::Describe),
        K::DescribeAcls => Needs::cluster(O::Describe),
        K::CreateAcls | K::DeleteAcls => Needs::cluster(O::Alter),
        K::DescribeClientQuotas => Needs::cluster(O::DescribeConfigs),
        K::AlterClientQuotas => Needs::cluster(O::AlterConfigs),
        K::DescribeUserScramCredentials => Needs::cluster(O::Describe),
        K::AlterUserScramCredentials => Needs::cluster(O::Alter),
        K::ConsumerGroupHeartbeat | K::ShareGroupHeartbeat | K::StreamsGroupHeartbeat => {
            Needs::group(O::Read).and_topics(O::Describe, Whole)
        }
        // A group with a topic that may not be described is hidden in the answer.
        K::ConsumerGroupDescribe | K::ShareGroupDescribe | K::StreamsGroupDescribe => Needs::groups(O::Describe),
        K::StreamsGroupTopologyDescriptionUpdate => Needs::group(O::Read).and_topics(O::Describe, Whole),
        K::ShareFetch | K::ShareAcknowledge => Needs::group(O::Read).and_topics(O::Read, Each).even_empty(),
        K::DescribeShareGroupOffsets => Needs::groups(O::Describe).and_topics(O::Describe, Each).even_empty(),
        K::AlterShareGroupOffsets => Needs::group(O::Read).and_topics(O::Read, Each).even_empty(),
        K::DeleteShareGroupOffsets => Needs::group(O::Delete).and_topics(O::Read, Each).even_empty(),
        // What follows is not served. Should it be one day, it needs at least what a broker asks for.
        K::GetTelemetrySubscriptions | K::PushTelemetry => Needs::cluster(O::ClusterAction),
        K::CreateDelegationToken | K::RenewDelegationToken => Needs::cluster(O::ClusterAction),
        K::ExpireDelegationToken | K::DescribeDelegationToken => Needs::cluster(O::ClusterAction),
        K::AlterReplicaLogDirs | K::ElectLeaders | K::AlterPartitionReassignments => Needs::cluster(O::Alter),
        K::UpdateFeatures | K::UnregisterBroker | K::UnregisterController => Needs::cluster(O::Alter),
        K::DescribeQuorum => Needs::cluster(O::Describe),
        K::AddRaftVoter | K::RemoveRaftVoter => Needs::cluster(O::Alter),
        K::UpdateRaftVoter | K::WriteTxnMarkers | K::Envelope => Needs::cluster(O::ClusterAction),
        K::AlterPartition | K::AllocateProducerIds | K::Vote => Needs::cluster(O::ClusterAction),
        K::BeginQuorumEpoch | K::EndQuorumEpoch | K::FetchSnapshot => Needs::cluster(O::ClusterAction),
        K::BrokerRegistration | K::BrokerHeartbeat => Needs::cluster(O::ClusterAction),
        K::ControllerRegistration | K::AssignReplicasToDirs => Needs::cluster(O::ClusterAction),
        K::InitializeShareGroupState | K::ReadShareGroupState => Needs::cluster(O::ClusterAction),
        K::WriteShareGroupState | K::DeleteShareGroupState => Needs::cluster(O::ClusterAction),
        K::ReadShareGroupStateSummary => Needs::cluster(O::ClusterAction),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apis::{plans, served};
    use wire::plan::Role;

    /// The answer to these shows only what may be described, or what everybody may see.
    const ASKS_FOR_NOTHING: [ApiKey; 6] = [
        ApiKey::ListGroups,
        ApiKey::ListTransactions,
        ApiKey::DescribeCluster,
        ApiKey::ApiVersions,
        ApiKey::SaslHandshake,
        ApiKey::SaslAuthenticate,
    ];

    #[test]
    fn every_api_that_is_served_needs_something() {
        for (key, versions) in served() {
            for version in versions.min..=versions.max {
                let nothing = needs(key, version) == Needs::default();
                assert_eq!(nothing, ASKS_FOR_NOTHING.contains(&key), "{key:?} {version}");
            }
        }
    }

    #[test]
    fn whatever_a_request_can_name_is_asked_about() {
        for (key, versions) in served() {
            for version in versions.min..=versions.max {
                let (plan, needs) = (plans::request(key, version), needs(key, version));
                if needs.cluster.is_some() {
                    continue;
                }
                let asked = |role, asked: bool| assert!(!plan.has(role) || asked, "{key:?} {version}: {role:?}");
                asked(Role::Topic, needs.topics.is_some());
                asked(Role::TopicId, needs.topics.is_some());
                asked(Role::Group, needs.groups.is_some());
                asked(Role::TransactionalId, needs.transactional_ids.is_some() || key == ApiKey::Produce);
                asked(Role::ResourceName, needs.configs.is_some());
                asked(Role::CoordinatorKey, needs.coordinators);
            }
        }
    }
}
