//! The identity providers that are declared as resources: their keys are fetched for as long as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::OAuth;
use super::provider::{self, Provider};
use crate::authn::sasl::Authenticator;
use crate::config;
use crate::observe::metrics::Metrics;

/// Those that are followed, by their names.
#[derive(Debug, Default)]
pub struct DeclaredProviders(BTreeMap<String, Followed>);

#[derive(Debug)]
struct Followed {
    oauth: Arc<OAuth>,
    fetching: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.fetching.abort();
    }
}

impl DeclaredProviders {
    /// Follows these from now on and no others. One that is as it was keeps its keys.
    pub fn follow(
        &mut self,
        declared: &BTreeMap<String, config::OAuth>,
        authenticator: &Authenticator,
        metrics: &Arc<Metrics>,
    ) {
        self.0.retain(|name, followed| declared.get(name) == Some(followed.oauth.rules()));
        for (name, rules) in declared {
            if self.0.contains_key(name) {
                continue;
            }
            match Provider::new(rules) {
                Ok(provider) => {
                    let oauth = Arc::new(OAuth::new(rules.clone(), Arc::default()).declared());
                    let keys = Arc::clone(oauth.keys());
                    let fetching = tokio::spawn(provider::follow(keys, provider, Arc::clone(metrics)));
                    self.0.insert(name.clone(), Followed { oauth, fetching });
                }
                Err(error) => tracing::error!(name, "the identity provider cannot be used: {error}"),
            }
        }
        authenticator.set_declared_providers(self.0.values().map(|followed| Arc::clone(&followed.oauth)).collect());
    }
}
