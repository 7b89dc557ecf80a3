//! Which limits are declared in a virtual cluster, and which of them hold for a client.

use std::collections::BTreeMap;

use super::Rate;

/// As many quotas a virtual cluster may have that its clients set.
pub const MOST_OF_CLIENTS: usize = 1_000;

/// Whom a limit is for, as far as one of the two says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// Whoever it is, all of them together.
    Any,
    /// Each one that has no limit of its own.
    Default,
    /// This one.
    Is(Box<str>),
}

impl Name {
    /// As resources write it: `*` is each one that has none of its own.
    pub fn declared(name: Option<&str>) -> Self {
        match name {
            None => Self::Any,
            Some("*") => Self::Default,
            Some(name) => Self::Is(name.into()),
        }
    }

    /// What [`Self::declared`] reads.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Any => None,
            Self::Default => Some("*"),
            Self::Is(name) => Some(name),
        }
    }
}

/// Some clients of a virtual cluster, as Kafka's quotas name them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entity {
    /// The service account.
    pub user: Name,
    /// What the client calls itself.
    pub client_id: Name,
}

/// Units a second, by [`Rate`].
pub type Rates = [Option<u64>; 3];

/// The limits of one party: the operator's, or those that clients set by Kafka's API.
pub type Layer = BTreeMap<Entity, Rates>;

/// All limits of a virtual cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Of the virtual cluster as a whole.
    pub whole: Rates,
    /// Connections at the same time.
    pub connections: Option<u64>,
    /// Connections of a user at the same time.
    pub user_connections: BTreeMap<Name, u64>,
    /// Topics.
    pub topics: Option<u64>,
    /// Partitions of all topics together.
    pub partitions: Option<u64>,
    /// Bytes of all topics together.
    pub storage: Option<u64>,
    /// What the operator declared for some clients.
    pub operator: Layer,
    /// What clients set for some clients.
    pub clients: Layer,
}

/// A limit that holds for a client, and with whom it shares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holds<'a> {
    /// Units a second.
    pub limit: u64,
    /// Shared with all connections of this user, or with all users.
    pub user: Option<&'a str>,
    /// Shared with all clients of this name, or whatever they are called.
    pub client_id: Option<&'a str>,
}

impl Rules {
    /// The limits that hold at the same time for a client: the whole's, the operator's most specific and the clients' own most
    /// specific, so that none of them lifts another.
    pub fn holding<'a>(&self, rate: Rate, user: &'a str, client_id: &'a str) -> [Option<Holds<'a>>; 3] {
        let whole = self.whole[rate as usize].map(|limit| Holds { limit, user: None, client_id: None });
        [
            whole,
            most_specific(&self.operator, rate, user, client_id),
            most_specific(&self.clients, rate, user, client_id),
        ]
    }

    /// The connections that a user may have at the same time.
    pub fn connections_of(&self, user: &str) -> Option<u64> {
        let own = self.user_connections.get(&Name::Is(user.into()));
        own.or_else(|| self.user_connections.get(&Name::Default)).copied()
    }

    /// Whether a request has to be looked at for these.
    pub const fn counts_topics(&self) -> bool {
        self.topics.is_some() || self.partitions.is_some()
    }

    /// The least that the operator allows the clients of an entity.
    pub fn ceiling(&self, rate: Rate, entity: &Entity) -> Option<u64> {
        let own = self.operator.get(entity).and_then(|rates| rates[rate as usize]);
        own.into_iter().chain(self.whole[rate as usize]).min()
    }
}

/// In the order of Kafka's quotas: user and client id, user, client id; and in each a name before "each".
fn most_specific<'a>(layer: &Layer, rate: Rate, user: &'a str, client_id: &'a str) -> Option<Holds<'a>> {
    if layer.is_empty() {
        return None;
    }
    let (is_user, is_client) = (Name::Is(user.into()), Name::Is(client_id.into()));
    let order = [
        (&is_user, &is_client),
        (&is_user, &Name::Default),
        (&is_user, &Name::Any),
        (&Name::Default, &is_client),
        (&Name::Default, &Name::Default),
        (&Name::Default, &Name::Any),
        (&Name::Any, &is_client),
        (&Name::Any, &Name::Default),
    ];
    order.into_iter().find_map(|(by_user, by_client)| {
        let entity = Entity { user: by_user.clone(), client_id: by_client.clone() };
        let limit = layer.get(&entity).and_then(|rates| rates[rate as usize])?;
        let shared = |name: &Name, value: &'a str| (*name != Name::Any).then_some(value);
        Some(Holds { limit, user: shared(by_user, user), client_id: shared(by_client, client_id) })
    })
}
