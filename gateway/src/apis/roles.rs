//! What the fields of every message carry: Kafka's own entity types, and the reviewed supplement for what they leave
//! unmarked.
//!
//! Every string, bytes, uuid and records field of every message has a decision here: a role, or a reason for none. A field of
//! a new Kafka that nobody thought of fails the test below, by name.

use wire::plan::{Place, Role};
use wire::schema::{Entity, Kind, Type};

/// The decision about a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It carries this.
    Role(Role),
    /// It carries nothing that a virtual cluster has to look at, because of the reason.
    None(&'static str),
}

/// The role of a field, for [`wire::plan::Plan::compile`].
pub fn role_of(place: Place<'_>) -> Option<Role> {
    match decide(place) {
        Some(Decision::Role(role)) => Some(role),
        Some(Decision::None(_)) | None => None,
    }
}

/// The decision about a field; `None` where there is none yet (and for numbers of no interest).
pub fn decide(place: Place<'_>) -> Option<Decision> {
    let ty = element(&place.field.ty);
    match place.field.entity {
        Some(Entity::TopicName) if matches!(place.path, "Cursor.TopicName" | "NextCursor.TopicName") => {
            return Some(Decision::Role(Role::TopicCursor));
        }
        Some(Entity::TopicName) => return Some(Decision::Role(Role::Topic)),
        Some(Entity::GroupId) => return Some(Decision::Role(Role::Group)),
        Some(Entity::TransactionalId) => return Some(Decision::Role(Role::TransactionalId)),
        Some(Entity::BrokerId) if is_endpoint(place) => return Some(Decision::Role(Role::BrokerId)),
        Some(Entity::BrokerId) if is_follower(place) => return Some(Decision::Role(Role::ReplicaId)),
        Some(Entity::BrokerId | Entity::ProducerId) => return Some(Decision::None("a number of the physical cluster")),
        None => {}
    }
    match ty {
        Type::String => string(place),
        Type::Bytes | Type::Records => bytes(place),
        Type::Uuid => uuid(place),
        Type::Int64 | Type::Int32 | Type::Int16 | Type::Int8 | Type::Bool => number(place),
        _ => None,
    }
}

fn element(ty: &'static Type) -> Type {
    match ty {
        Type::Array(inner) => element(inner),
        other => *other,
    }
}

/// Whether host and port of the broker follow.
fn is_endpoint(place: Place<'_>) -> bool {
    matches!(
        (place.message.name, place.path),
        ("MetadataResponse" | "DescribeClusterResponse", "Brokers.NodeId" | "Brokers.BrokerId")
            | ("FindCoordinatorResponse", "NodeId" | "Coordinators.NodeId")
            | (
                "ProduceResponse" | "FetchResponse" | "ShareFetchResponse" | "ShareAcknowledgeResponse",
                "NodeEndpoints.NodeId"
            )
    )
}

/// Whether an address is a broker's, and not one that a client named.
fn is_brokers(place: Place<'_>) -> bool {
    place.message.kind == Kind::Response
        && !matches!(place.message.name, "DescribeAclsResponse" | "DeleteAclsResponse")
        && !matches!(place.message.name, "StreamsGroupHeartbeatResponse" | "StreamsGroupDescribeResponse")
}

/// Whether a broker says here who it is; a client that does so would be served as a follower.
fn is_follower(place: Place<'_>) -> bool {
    place.field.name == "ReplicaId"
        && matches!(place.message.name, "FetchRequest" | "ListOffsetsRequest" | "OffsetForLeaderEpochRequest")
}

/// Whether it is of a setting of a resource, or of one that it inherits.
fn is_setting(place: Place<'_>) -> bool {
    place.path.contains(".Configs.")
}

fn string(place: Place<'_>) -> Option<Decision> {
    use Decision::{None, Role as Is};
    let message = place.message.name;
    Some(match place.field.name {
        "ErrorMessage" | "AcknowledgeErrorMessage" | "BatchIndexErrorMessage" | "StatusDetail" => Is(Role::ErrorText),
        "ClusterId" => Is(Role::ClusterId),
        "Host" if is_brokers(place) => Is(Role::Host),
        "Rack" if message == "MetadataResponse" => Is(Role::Rack),
        "Key" if matches!(message, "FindCoordinatorRequest" | "FindCoordinatorResponse") => Is(Role::CoordinatorKey),
        "CoordinatorKeys" => Is(Role::CoordinatorKey),
        "GroupId" => Is(Role::Group),
        "Topics" if message == "ConsumerProtocolSubscription" => Is(Role::Topic),
        // Kafka 3.9 does not mark it.
        "SubscribedTopicNames" => Is(Role::Topic),
        "ResourceName" | "ResourceNameFilter" => Is(Role::ResourceName),
        "SubscribedTopicRegex" | "SourceTopicRegex" => Is(Role::TopicRegex),
        "TransactionalIdPattern" => Is(Role::TransactionalIdRegex),
        "ProtocolType" => Is(Role::ProtocolType),
        "Principal" | "PrincipalFilter" | "PrincipalName" | "OwnerPrincipalName" | "TokenRequesterPrincipalName" => {
            Is(Role::Principal)
        }
        "User" | "EntityName" | "Match" => Is(Role::Principal),
        "Name" if matches!(message, "DescribeUserScramCredentialsRequest" | "AlterUserScramCredentialsRequest") => {
            Is(Role::Principal)
        }
        "Mechanism" | "Mechanisms" => Is(Role::Mechanism),
        "LogDir" if message == "DescribeLogDirsResponse" => Is(Role::LogDir),
        "Name" if is_setting(place) => Is(Role::SettingName),
        "Value" if is_setting(place) => Is(Role::SettingValue),
        _ => None(opaque(place)?),
    })
}

/// Why a string carries nothing that has to be looked at.
fn opaque(place: Place<'_>) -> Option<&'static str> {
    Some(match place.field.name {
        "Host" | "HostFilter" => "an address that the client names, or a listener between brokers",
        "MemberId" | "GroupInstanceId" | "InstanceId" | "Leader" | "ProcessId" | "ClientId" | "Reason" => {
            "chosen by the client, meaningful inside its group only"
        }
        "ClientHost" => "the address that the broker sees: the gateway's",
        "Rack" | "RackId" => "a rack is a place, no entity of a tenant",
        "AssignorName" | "ServerAssignor" | "ProtocolName" | "ProtocolData" => "the name of an assignment strategy",
        "GroupState"
        | "GroupType"
        | "TransactionState"
        | "StateFilters"
        | "StatesFilter"
        | "TypesFilter"
        | "UnknownStateFilters" => "one of the protocol's own words",
        "CommittedMetadata" | "Metadata" => "the client's note on its offset",
        "ConfigurationKeys" | "Documentation" | "Key" | "Value" | "Feature" => {
            "a setting or a feature, its value or text"
        }
        "ClientSoftwareName" | "ClientSoftwareVersion" | "RequestedMetrics" => "what the client says of itself",
        "EntityType" | "OwnerPrincipalType" | "PrincipalType" | "TokenRequesterPrincipalType" => {
            "the type beside a name"
        }
        "TokenId" => "delegation tokens are denied",
        "LogDir" | "Path" => "a path on a broker, in what is denied",
        "SubtopologyId" | "Stores" | "Successors" => "a node of a topology, meaningful inside its group only",
        "Name" => "the name of a setting, a protocol, a feature or a listener",
        _ => return None,
    })
}

fn bytes(place: Place<'_>) -> Option<Decision> {
    use Decision::{None, Role as Is};
    Some(match place.field.name {
        "Records" => Is(Role::Records),
        "UnalignedRecords" => None("a snapshot between controllers"),
        "Metadata" | "MemberMetadata" => Is(Role::Subscription),
        "Assignment" | "MemberAssignment" => Is(Role::Assignment),
        "AuthBytes" => Is(Role::AuthBytes),
        "UserData" => None("the assignor's own bytes, which no broker reads"),
        "Hmac" | "Salt" | "SaltedPassword" => None("a secret; these APIs are never forwarded"),
        "Metrics" => None("telemetry is never forwarded"),
        "ClientHostAddress" | "RequestData" | "RequestPrincipal" | "ResponseData" => {
            None("between brokers and controllers")
        }
        _ => return Option::None,
    })
}

fn uuid(place: Place<'_>) -> Option<Decision> {
    use Decision::{None, Role as Is};
    Some(match place.field.name {
        "TopicId" => Is(Role::TopicId),
        "ClientInstanceId" => None("chosen by the client"),
        "CandidateDirectoryId"
        | "CordonedLogDirs"
        | "Id"
        | "IncarnationId"
        | "LogDirs"
        | "OfflineLogDirs"
        | "ReplicaDirectoryId"
        | "VoterDirectoryId" => None("a directory or process of a broker, between brokers"),
        _ => return Option::None,
    })
}

fn number(place: Place<'_>) -> Option<Decision> {
    let message = place.message.name;
    let role = match place.field.name {
        "Port" if is_brokers(place) => Role::Port,
        "ResourceType" => Role::ResourceType,
        "KeyType" => Role::CoordinatorType,
        "SessionId" if matches!(message, "FetchRequest" | "FetchResponse") => Role::FetchSessionId,
        "SessionEpoch" if message == "FetchRequest" => Role::FetchSessionEpoch,
        "ShareSessionEpoch" if message == "ShareFetchRequest" => Role::ShareSessionEpoch,
        "Acks" if message == "ProduceRequest" => Role::Acks,
        "ErrorCode" if message == "FindCoordinatorResponse" => Role::ErrorCode,
        "TotalBytes" | "UsableBytes" => Role::VolumeBytes,
        "ReadOnly" if message == "DescribeConfigsResponse" => Role::ReadOnly,
        "AllowAutoTopicCreation" => Role::AutoCreation,
        "TopicAuthorizedOperations" | "AuthorizedOperations" => Role::AuthorizedOperations,
        "ClusterAuthorizedOperations" => Role::ClusterOperations,
        _ => return None,
    };
    Some(Decision::Role(role))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use wire::plan::Plan;
    use wire::schema::MESSAGES;

    #[test]
    fn every_field_that_can_carry_a_name_has_a_decision() {
        let (missing, decided) = (RefCell::new(Vec::new()), RefCell::new(0));
        for message in MESSAGES {
            for version in message.versions.min..=message.versions.max {
                let _ = Plan::compile(message, version, &|place| {
                    let names =
                        matches!(element(&place.field.ty), Type::String | Type::Bytes | Type::Records | Type::Uuid);
                    match (decide(place), names) {
                        (None, true) => missing.borrow_mut().push(format!("{}.{}", message.name, place.path)),
                        (_, true) => *decided.borrow_mut() += 1,
                        _ => {}
                    }
                    None
                });
            }
        }
        let missing = missing.into_inner();
        assert!(missing.is_empty(), "no decision about {missing:#?}");
        assert!(decided.into_inner() > 1000);
    }
}
