//! Quotas that clients set by Kafka's API: declarations like all others, one resource for each entity.

use std::sync::Arc;

use contract::resources::Quota;
use contract::resources::quota::{QuotaMetadata, QuotaSpec, SetBy};

use super::Admin;
use super::acls::not_kept;
use crate::quotas::Rate;
use crate::quotas::rules::Entity;
use crate::session::acls::Kept;
use crate::session::quotas::{QuotaKeeper, Setting};
use crate::store::{Change, Declarations};

impl QuotaKeeper for Admin {
    fn set(self: Arc<Self>, virtual_cluster: Arc<str>, settings: Vec<Setting>) -> Kept<()> {
        let change = move |declared: &mut Declarations| {
            settings.iter().for_each(|setting| apply(declared, &virtual_cluster, setting));
            Ok(())
        };
        Box::pin(async move { self.declare.change(false, change).await.map_err(|error| not_kept(&error)) })
    }
}

fn apply(declared: &mut Declarations, virtual_cluster: &str, setting: &Setting) {
    let mut quota = theirs(declared, virtual_cluster, &setting.entity);
    let spec = &mut quota.spec;
    *match setting.rate {
        Rate::Produce => &mut spec.produce_bytes_per_second,
        Rate::Fetch => &mut spec.fetch_bytes_per_second,
        Rate::Requests => &mut spec.requests_per_second,
    } = setting.limit;
    let limits = [spec.produce_bytes_per_second, spec.fetch_bytes_per_second, spec.requests_per_second];
    let resource = contract::resources::Resource::from(quota);
    let nothing_left = limits == [None; 3];
    declared.apply(if nothing_left { Change::Delete(resource.key()) } else { Change::Put(Box::new(resource)) });
}

/// The quota that clients have set for an entity, or an empty one.
fn theirs(declared: &Declarations, virtual_cluster: &str, entity: &Entity) -> Quota {
    let (user, client_id) = (entity.user.text().map(str::to_owned), entity.client_id.text().map(str::to_owned));
    let is_theirs = |quota: &&Quota| {
        quota.virtual_cluster() == virtual_cluster
            && quota.spec.set_by == Some(SetBy::Clients)
            && (&quota.spec.user, &quota.spec.client_id) == (&user, &client_id)
    };
    if let Some(found) = declared.of::<Quota>().find(is_theirs) {
        return found.clone();
    }
    let named = [("user", &user), ("client-id", &client_id)];
    let named = named.into_iter().filter_map(|(ty, name)| Some(format!("{ty}={}", name.as_deref()?)));
    let name = format!("clients:{}", named.collect::<Vec<_>>().join(","));
    Quota {
        kind: contract::resources::quota::QuotaKind::Quota,
        api_version: contract::resources::OwnApiVersion::AnabranchV1,
        metadata: QuotaMetadata { name, v_cluster: Some(virtual_cluster.to_owned()), labels: None },
        spec: QuotaSpec { user, client_id, set_by: Some(SetBy::Clients), ..QuotaSpec::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quotas::rules::Name;

    #[test]
    fn what_is_set_is_one_resource_and_goes_with_its_last_limit() {
        let mut declared = Declarations::default();
        let entity = Entity { user: Name::Is("alice".into()), client_id: Name::Default };
        let setting = |rate, limit| Setting { entity: entity.clone(), rate, limit };
        apply(&mut declared, "dev", &setting(Rate::Produce, Some(5)));
        apply(&mut declared, "dev", &setting(Rate::Fetch, Some(6)));
        let quotas: Vec<&Quota> = declared.of::<Quota>().collect();
        assert_eq!(quotas.len(), 1);
        let spec = &quotas[0].spec;
        assert_eq!((spec.user.as_deref(), spec.client_id.as_deref()), (Some("alice"), Some("*")));
        assert_eq!((spec.produce_bytes_per_second, spec.fetch_bytes_per_second), (Some(5), Some(6)));
        apply(&mut declared, "dev", &setting(Rate::Produce, None));
        apply(&mut declared, "dev", &setting(Rate::Fetch, None));
        assert_eq!(declared.of::<Quota>().count(), 0);
    }
}
