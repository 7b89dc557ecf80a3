//! What nodes tell each other of their clients, as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::ledger::Usage;
use super::shares::Demand;

/// No more connections are told, by user: what goes round with every beat stays small.
const MOST_USERS: usize = 2_000;

impl Usage {
    /// As it goes round.
    pub fn to_json(&self) -> Value {
        let demands: BTreeMap<_, _> =
            self.demands.iter().map(|(name, demand)| (name, [demand.used, demand.backlog])).collect();
        let connections = self.connections.iter().take(MOST_USERS);
        let connections: Vec<_> = connections.map(|(of, user, count)| json!([&**of, &**user, count])).collect();
        json!({ "demands": demands, "connections": connections })
    }

    /// Of what another node told, as much as can be read: a newer one may tell more.
    pub fn from_json(told: &Value) -> Self {
        let number = |value: &Value| value.as_f64().filter(|number| number.is_finite() && *number >= 0.0);
        let demand = |value: &Value| Some(Demand { used: number(&value[0])?, backlog: number(&value[1])? });
        let demands = told["demands"].as_object().into_iter().flatten();
        let connection =
            |value: &Value| Some((value[0].as_str()?.into(), value[1].as_str()?.into(), value[2].as_u64()?));
        Self {
            demands: demands.filter_map(|(name, value)| Some((name.clone(), demand(value)?))).collect(),
            connections: told["connections"].as_array().into_iter().flatten().filter_map(connection).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let usage = Usage {
            demands: BTreeMap::from([("dev 0 - - produce".to_owned(), Demand { used: 1.5, backlog: 7.0 })]),
            connections: vec![("dev".into(), "alice".into(), 3)],
        };
        assert_eq!(Usage::from_json(&usage.to_json()), usage);
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        let told =
            json!({ "demands": { "a": [-1, 2], "b": "x", "c": [1, 2], "d": [null] }, "connections": [["x"], 3] });
        let usage = Usage::from_json(&told);
        assert_eq!((usage.demands.len(), usage.connections.len()), (1, 0));
        assert_eq!(Usage::from_json(&Value::Null), Usage::default());
    }
}
