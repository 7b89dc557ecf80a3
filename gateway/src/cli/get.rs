//! `gateway get` and `gateway export`

use std::process::ExitCode;

use contract::resources::{KINDS, Kind, ResourceKey};
use contract::strict::nearest;
use serde_json::Value;

use super::connection::Connection;
use super::output::{Form, text};
use super::{CliError, print};

/// Shows what is declared.
#[derive(Debug, clap::Args)]
pub struct Get {
    #[command(flatten)]
    connection: Connection,
    /// A kind, such as VirtualCluster or virtual-cluster; every kind if not given
    #[arg(value_parser = kind)]
    kind: Option<Kind>,
    /// The name of one resource
    #[arg(requires = "kind")]
    name: Option<String>,
    /// Only what belongs to this virtual cluster
    #[arg(long, value_name = "NAME")]
    vcluster: Option<String>,
    /// The form of what is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

/// Writes everything that is declared.
#[derive(Debug, clap::Args)]
pub struct Export {
    #[command(flatten)]
    connection: Connection,
    /// The form of what is printed
    #[arg(short, long, value_enum, default_value_t = Form::Yaml)]
    output: Form,
}

/// A kind by its name, however it is spelled.
pub(super) fn kind(text: &str) -> Result<Kind, String> {
    let plain = |name: &str| name.replace('-', "").to_lowercase();
    let wanted = plain(text);
    let meant = |kind: &&Kind| {
        let collection = kind.path.rsplit('/').next().unwrap_or_default();
        [plain(kind.name), plain(collection)].iter().any(|name| *name == wanted || format!("{name}s") == wanted)
    };
    let names = || KINDS.iter().map(|kind| kind.name);
    KINDS.iter().find(meant).copied().ok_or_else(|| match nearest(text, names()) {
        Some(name) => format!("no kind is called so; did you mean {name}?"),
        None => format!("no kind is called so; there are {}", names().collect::<Vec<_>>().join(", ")),
    })
}

impl Get {
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        let client = self.connection.client()?;
        let vcluster = self.vcluster.as_deref();
        let mut found = Vec::new();
        for kind in KINDS.iter().filter(|kind| self.kind.is_none_or(|wanted| wanted == **kind)) {
            if vcluster.is_some() && !kind.in_virtual_cluster && self.kind.is_none() {
                continue;
            }
            match &self.name {
                Some(name) if !kind.in_virtual_cluster => {
                    found.extend(client.one(&ResourceKey::new(*kind, None, name))?);
                }
                name => found.append(&mut client.list(*kind, vcluster, name.as_deref())?),
            }
        }
        if let (Some(name), Some(kind), true) = (&self.name, self.kind, found.is_empty()) {
            return Err(CliError::No(format!("there is no {} '{name}'{}", kind.name, of(vcluster))));
        }
        print(&shown(self.output, &found)?);
        Ok(ExitCode::SUCCESS)
    }
}

impl Export {
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        print(&shown(self.output, &self.connection.client()?.export()?)?);
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn of(virtual_cluster: Option<&str>) -> String {
    virtual_cluster.map(|name| format!(" in virtual cluster '{name}'")).unwrap_or_default()
}

fn shown(form: Form, resources: &[Value]) -> Result<String, CliError> {
    form.of(resources, ["KIND", "VIRTUAL CLUSTER", "NAME", "WHAT IT SAYS"], |one| {
        let virtual_cluster = text(one, "/metadata/vCluster");
        [text(one, "/kind"), virtual_cluster, text(one, "/metadata/name"), summary(one)]
    })
}

/// What somebody would look for first, in a few words.
fn summary(resource: &Value) -> String {
    let spec = |name: &str| text(resource, &format!("/spec/{name}"));
    let said = |name: &str| match spec(name) {
        value if value.is_empty() => String::new(),
        value => format!("{name} {value}"),
    };
    let words = match text(resource, "/kind").as_str() {
        "VirtualCluster" => vec![said("aclEnabled"), said("aclMode"), said("bootstrapServers")],
        "GatewayServiceAccount" => vec![spec("type"), spec("externalNames")],
        "AliasTopic" => vec![spec("physicalName"), spec("access")],
        "UpstreamCluster" => vec![spec("role"), spec("bootstrapServers")],
        "IdentityProvider" => vec![spec("issuer")],
        "GatewayGroup" => {
            let members = resource.pointer("/spec/members").and_then(Value::as_array);
            vec![format!("{} members", members.map_or(0, Vec::len))]
        }
        _ => {
            let limits = resource.pointer("/spec").and_then(Value::as_object);
            limits.into_iter().flatten().map(|(name, _)| said(name)).collect()
        }
    };
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_many_spellings() {
        for text in ["VirtualCluster", "virtual-cluster", "virtualclusters", "virtual-clusters", "VIRTUALCLUSTER"] {
            assert_eq!(kind(text).unwrap().name, "VirtualCluster");
        }
        // As its path ends.
        assert_eq!(kind("service-account").unwrap().name, "GatewayServiceAccount");
        assert_eq!(kind("group").unwrap().name, "GatewayGroup");
        assert_eq!(kind("virtual-clutser").unwrap_err(), "no kind is called so; did you mean VirtualCluster?");
        assert!(kind("xyz").unwrap_err().starts_with("no kind is called so; there are UpstreamCluster, "));
        for kind_of in KINDS {
            assert_eq!(kind(kind_of.path.rsplit('/').next().unwrap()).unwrap(), *kind_of);
        }
    }
}
