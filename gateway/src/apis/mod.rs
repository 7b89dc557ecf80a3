//! What the gateway does with each Kafka API: THE TABLE.
//!
//! One exhaustive match over [`ApiKey`], without a wildcard: a key of a new Kafka does not compile until somebody decides
//! about it. No I/O and no policy here; [`roles`] says what the fields of the messages carry.

pub mod check;
pub mod listing;
pub mod plans;
pub mod roles;
pub mod settings;

use wire::schema::{ApiKey, Versions};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Forwarded with its entities renamed on the way in and back on the way out.
    Map,
    /// Answered by the gateway from its own state.
    Own,
    /// Not advertised; refused with the API's own error shape when it is sent all the same.
    Deny,
}

impl Verdict {
    /// The word in tables and documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::Own => "own",
            Self::Deny => "deny",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What becomes of it.
    pub verdict: Verdict,
    /// The versions that were reviewed: empty where it is denied.
    pub versions: Versions,
    /// What had to be got right, or why it is denied.
    pub reason: &'static str,
}

const fn map(min: i16, max: i16, reason: &'static str) -> Row {
    Row { verdict: Verdict::Map, versions: Versions { min, max }, reason }
}

const fn own(min: i16, max: i16, reason: &'static str) -> Row {
    Row { verdict: Verdict::Own, versions: Versions { min, max }, reason }
}

const fn deny(reason: &'static str) -> Row {
    Row { verdict: Verdict::Deny, versions: Versions::NONE, reason }
}

/// The row of an API.
#[deny(clippy::wildcard_enum_match_arm)]
#[allow(clippy::too_many_lines, reason = "one line per API is the point of the table")]
pub const fn row(key: ApiKey) -> Row {
    use ApiKey as K;
    const BETWEEN: &str = "between brokers and controllers";
    const OPERATORS: &str = "the business of the physical cluster's operators";
    match key {
        K::Produce => map(3, 13, "topic name or id, transactional id, node endpoints; acks=0 has no answer"),
        K::Fetch => map(4, 18, "topic name or id, forgotten topics, node endpoints, fetch sessions of the tenant only"),
        K::ListOffsets => map(1, 11, "topic names"),
        K::Metadata => map(0, 13, "all topics means the tenant's; ids that are the tenant's; addresses; cluster id"),
        K::OffsetCommit => map(2, 10, "group, topic name or id"),
        K::OffsetFetch => map(1, 10, "group, topic name or id; all topics means the tenant's"),
        K::FindCoordinator => {
            map(0, 6, "keys of groups, transactions and share partitions, whose topic id is inside; addresses")
        }
        K::JoinGroup => map(0, 9, "group; topics inside the consumer protocol's subscription"),
        K::Heartbeat => map(0, 4, "group"),
        K::LeaveGroup => map(0, 5, "group"),
        K::SyncGroup => map(0, 5, "group; topics inside the consumer protocol's assignment"),
        K::DescribeGroups => map(0, 6, "group; topics inside subscriptions and assignments"),
        K::ListGroups => map(0, 5, "only the tenant's groups"),
        K::SaslHandshake => own(0, 1, "authentication ends here"),
        K::ApiVersions => own(0, 4, "what broker, schema table and this table have in common; 5 reveals the cluster"),
        K::CreateTopics => map(2, 7, "topic names; ids in the answer"),
        K::DeleteTopics => map(1, 6, "topic names and ids"),
        K::DeleteRecords => map(0, 2, "topic names"),
        K::InitProducerId => map(0, 5, "transactional id; 6 is unstable"),
        K::OffsetForLeaderEpoch => map(2, 4, "topic names"),
        K::AddPartitionsToTxn => map(0, 3, "transactional id, topic names; 4 and up are between brokers"),
        K::AddOffsetsToTxn => map(0, 4, "transactional id, group"),
        K::EndTxn => map(0, 5, "transactional id"),
        K::TxnOffsetCommit => map(0, 6, "transactional id, group, topic name or id"),
        K::DescribeConfigs => {
            map(1, 4, "topics and groups; of brokers some settings, read-only; the others are refused one by one")
        }
        K::AlterConfigs => map(0, 2, "resources of type topic and group; the others are refused one by one"),
        K::SaslAuthenticate => own(0, 2, "authentication ends here"),
        K::CreatePartitions => map(0, 3, "topic names"),
        K::DeleteGroups => map(0, 3, "groups; error texts from 3 on"),
        K::IncrementalAlterConfigs => map(0, 1, "resources of type topic and group; the others are refused one by one"),
        K::DescribeCluster => map(0, 2, "addresses, cluster id"),
        K::DescribeLogDirs => map(1, 5, "only the tenant's topics; paths and the volumes' sizes are hidden"),
        K::ListPartitionReassignments => map(0, 0, "topic names; everything means the tenant's"),
        K::OffsetDelete => map(0, 0, "group, topic names"),
        K::DescribeProducers => map(0, 0, "topic names"),
        K::DescribeTransactions => map(0, 0, "transactional ids, topic names"),
        K::ListTransactions => map(0, 2, "only the tenant's transactional ids; pattern"),
        K::ListConfigResources => {
            map(1, 1, "only the tenant's topics and groups, and brokers; 0 lists nothing but client metrics")
        }
        K::DescribeTopicPartitions => map(0, 0, "topic names, also of cursors; all topics means the tenant's"),
        K::DescribeAcls => own(1, 3, "the rules of the virtual cluster, where aclEnabled"),
        K::CreateAcls | K::DeleteAcls => own(1, 3, "the rules of the virtual cluster, where clients keep them"),
        K::DescribeClientQuotas => {
            own(0, 1, "those of the virtual cluster's users and client ids; the physical cluster's are not shown")
        }
        K::AlterClientQuotas => own(0, 1, "bytes a second of users and client ids, within what the operator allows"),
        K::DescribeUserScramCredentials => {
            own(0, 0, "the service accounts of the virtual cluster that have a password")
        }
        K::AlterUserScramCredentials => deny("service accounts are declared at the admin API; a session changes none"),
        K::ConsumerGroupHeartbeat => map(0, 1, "group, topic names, pattern of topics; topic ids in the assignment"),
        K::ConsumerGroupDescribe => map(0, 1, "groups; topic names, ids and patterns of their members"),
        K::ShareGroupHeartbeat => map(1, 1, "group, topic names; topic ids in the assignment"),
        K::ShareGroupDescribe => map(1, 1, "groups; topic names and ids of their members"),
        K::ShareFetch => map(1, 2, "group, which keys the share session; topic ids, forgotten topics, node endpoints"),
        K::ShareAcknowledge => map(1, 2, "group, which keys the share session; topic ids, node endpoints"),
        K::DescribeShareGroupOffsets => {
            map(0, 1, "groups, topic names; ids in the answer; all topics means the group's")
        }
        K::AlterShareGroupOffsets => map(0, 0, "group, topic names; ids in the answer"),
        K::DeleteShareGroupOffsets => map(0, 0, "group, topic names; ids in the answer"),
        K::StreamsGroupHeartbeat => {
            map(0, 1, "group, topics and patterns of the topology; user endpoints are the client's")
        }
        K::StreamsGroupDescribe => map(0, 1, "groups; topics of the topology and of its description"),
        K::StreamsGroupTopologyDescriptionUpdate => map(0, 0, "group, topics of the topology's description"),
        K::GetTelemetrySubscriptions | K::PushTelemetry => deny("client telemetry is never forwarded"),
        K::CreateDelegationToken | K::RenewDelegationToken => {
            deny("a token of the physical cluster outlives the tenant")
        }
        K::ExpireDelegationToken | K::DescribeDelegationToken => {
            deny("a token of the physical cluster outlives the tenant")
        }
        K::AlterReplicaLogDirs | K::ElectLeaders => deny(OPERATORS),
        K::AlterPartitionReassignments | K::UpdateFeatures => deny(OPERATORS),
        K::UnregisterBroker | K::UnregisterController | K::DescribeQuorum => deny(OPERATORS),
        K::AddRaftVoter | K::RemoveRaftVoter | K::UpdateRaftVoter => deny(OPERATORS),
        K::WriteTxnMarkers | K::Envelope | K::AlterPartition | K::AllocateProducerIds => deny(BETWEEN),
        K::Vote | K::BeginQuorumEpoch | K::EndQuorumEpoch | K::FetchSnapshot => deny(BETWEEN),
        K::BrokerRegistration | K::BrokerHeartbeat | K::ControllerRegistration | K::AssignReplicasToDirs => {
            deny(BETWEEN)
        }
        K::InitializeShareGroupState | K::ReadShareGroupState | K::WriteShareGroupState => deny(BETWEEN),
        K::DeleteShareGroupState | K::ReadShareGroupStateSummary => deny(BETWEEN),
    }
}

/// The APIs that a virtual cluster is served, with the reviewed versions that the schema table describes.
pub fn served() -> impl Iterator<Item = (ApiKey, Versions)> {
    ApiKey::ALL.iter().map(|key| (*key, row(*key).versions.intersect(key.versions()))).filter(|(_, v)| !v.is_empty())
}

/// The features that virtual clusters are shown, each where the API that it stands for is: early Kafkas have features whose
/// APIs are not served in their versions. The version of the metadata is what tools read.
pub const SHOWN_FEATURES: [(&str, Option<ApiKey>); 5] = [
    ("group.version", Some(ApiKey::ConsumerGroupHeartbeat)),
    ("metadata.version", None),
    ("share.version", Some(ApiKey::ShareGroupHeartbeat)),
    ("streams.version", Some(ApiKey::StreamsGroupHeartbeat)),
    ("transaction.version", None),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviewed_versions_lie_in_the_schema_table() {
        for key in ApiKey::ALL {
            let versions = row(*key).versions;
            assert_eq!(versions.is_empty(), row(*key).verdict == Verdict::Deny, "{key:?}");
            if !versions.is_empty() {
                assert_eq!(versions.intersect(key.versions()).max, versions.max, "{key:?}");
            }
        }
    }
}
