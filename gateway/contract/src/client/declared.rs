//! Resources of any kind, as JSON: what the gateway adds to them is kept.

use serde_json::Value;

use super::{AdminClient, ClientError, encode_segment};
use crate::resources::apply::{APPLY, Applied, EXPORT};
use crate::resources::{Kind, ResourceKey};

impl AdminClient {
    /// The resources of a kind; of one virtual cluster, or with one name, where that is given.
    pub fn list(
        &self,
        kind: Kind,
        virtual_cluster: Option<&str>,
        name: Option<&str>,
    ) -> Result<Vec<Value>, ClientError> {
        let mut request = self.authorized(self.agent.get(self.url(kind.path)?));
        if kind.in_virtual_cluster {
            request = request.query("showDefaults", "true");
            if let Some(virtual_cluster) = virtual_cluster {
                request = request.query("vcluster", virtual_cluster);
            }
            if let Some(name) = name {
                request = request.query("name", name);
            }
        }
        let (status, text) = self.exchange(request.call())?;
        let mut found: Vec<Value> = self.parse(&self.accepted(status, text)?)?;
        // Where names need no virtual cluster, the list is asked for as a whole.
        found.retain(|found| name.is_none_or(|name| found["metadata"]["name"] == name));
        Ok(found)
    }

    /// One resource, if it is there.
    pub fn one(&self, key: &ResourceKey) -> Result<Option<Value>, ClientError> {
        let Some(kind) = Kind::named(key.kind) else { return Ok(None) };
        if kind.in_virtual_cluster {
            return Ok(self.list(kind, key.virtual_cluster.as_deref(), Some(&key.name))?.into_iter().next());
        }
        let url = self.url(&format!("{}/{}", kind.path, encode_segment(&key.name)))?;
        let (status, text) = self.exchange(self.authorized(self.agent.get(url)).call())?;
        if status == 404 { Ok(None) } else { self.parse(&self.accepted(status, text)?).map(Some) }
    }

    /// Deletes a resource; `false` if there was none.
    pub fn delete(&self, key: &ResourceKey) -> Result<bool, ClientError> {
        let Some(kind) = Kind::named(key.kind) else { return Ok(false) };
        let answer = if kind.in_virtual_cluster {
            let id = serde_json::json!({ "name": key.name, "vCluster": key.virtual_cluster });
            self.authorized(self.agent.delete(self.url(kind.path)?)).force_send_body().send_json(&id)
        } else {
            let url = self.url(&format!("{}/{}", kind.path, encode_segment(&key.name)))?;
            self.authorized(self.agent.delete(url)).call()
        };
        let (status, text) = self.exchange(answer)?;
        self.deleted(status, text)
    }

    /// Declares many resources, all or nothing; with `prune`, a label or a label and its value, deletes those that have it and are not
    /// among them; with `dry_run` only says what would happen.
    pub fn apply(&self, resources: &[Value], prune: Option<&str>, dry_run: bool) -> Result<Vec<Applied>, ClientError> {
        let mut request = self.authorized(self.agent.post(self.url(APPLY)?));
        if dry_run {
            request = request.query("dryMode", "true");
        }
        if let Some(label) = prune {
            request = request.query("prune", label);
        }
        let (status, text) = self.exchange(request.send_json(resources))?;
        self.parse(&self.accepted(status, text)?)
    }

    /// Everything that is declared, without secrets.
    pub fn export(&self) -> Result<Vec<Value>, ClientError> {
        let (status, text) = self.exchange(self.authorized(self.agent.get(self.url(EXPORT)?)).call())?;
        self.parse(&self.accepted(status, text)?)
    }
}
