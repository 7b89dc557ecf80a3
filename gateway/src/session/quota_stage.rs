//! Where quotas stand in the order of the stages: a request is written down when it comes, and needs room before it is served.

use super::SessionError;
use super::enforce::Apart;
use super::measure::{Begun, Made};
use super::pipeline::Session;
use super::queue::Queue;
use super::quotas;
use super::rights::Rights;
use super::room::{self, Room};
use super::throttle::{Charges, Meter, Owed};
use crate::apis::check::Checked;
use crate::audit::caller;
use crate::audit::event::Action;
use crate::authn::Identity;
use std::sync::Arc;
use wire::schema::ApiKey;

impl Session<'_> {
    /// Whether a request has room within the quotas; what has none is told.
    async fn room(&self, request: &Checked<'_>, rights: &mut Rights) -> Result<Room, SessionError> {
        let cluster = &self.identity.virtual_cluster;
        let lent = || rights.tenant().namespace.lends_topics().is_some() && !self.shared.quotas.stored.is_empty();
        if rights.quotas().is_none() && !(request.key() == ApiKey::Produce && lent()) {
            return Ok(Room::Fits);
        }
        let tenant = Arc::clone(rights.tenant());
        let room = Box::pin(room::judge(request, rights, &tenant, cluster, self.shared)).await?;
        if let Room::Refused(_, why) | Room::Less(_, _, why) = &room {
            self.metrics.quota_refused();
            self.record(Action::RequestRefused { api: request.key().name().into(), reason: why.as_str().into() });
        }
        Ok(room)
    }

    pub(super) fn meter(&self) -> Meter<'_> {
        Meter { quotas: &self.shared.quotas, muted: &self.muted, metrics: self.metrics }
    }

    /// Writes a request down where a quota holds.
    pub(super) async fn admit(
        &self,
        frame: &mut [u8],
        charges: &mut Charges,
        rights: &mut Rights,
    ) -> Option<Box<Owed>> {
        let Identity { virtual_cluster, username, .. } = self.identity;
        charges.admit(frame, rights, virtual_cluster, username, self.meter()).await
    }

    /// DescribeClientQuotas and AlterClientQuotas, by what holds at this moment.
    pub(super) async fn quotas(&self, request: &Checked<'_>) -> Result<Vec<u8>, SessionError> {
        let cluster = &self.identity.virtual_cluster;
        let rules = self.shared.world.borrow().virtual_cluster(cluster).and_then(|cluster| cluster.quotas.clone());
        let (namespace, rules) = (&self.tenant.namespace, rules.as_deref());
        if request.key() == ApiKey::DescribeClientQuotas {
            return quotas::describe(request, namespace, rules);
        }
        let altered = Box::pin(quotas::alter(request, namespace, cluster, rules, &self.shared.quota_keeper));
        caller::on_behalf(self.origin(), altered).await
    }

    /// What is left of a request within the quotas: the frame without what has no room, if that is not all of it, and the answer to
    /// the rest. `None` where nothing is left and the request is answered.
    pub(super) async fn within_room(
        &self,
        request: &Checked<'_>,
        begun: Begun,
        rights: &mut Rights,
        queue: &Queue,
    ) -> Result<Option<(Option<Vec<u8>>, Option<Apart>)>, SessionError> {
        match self.room(request, rights).await? {
            Room::Fits => Ok(Some((None, None))),
            Room::Less(frame, apart, _) => Ok(Some((Some(frame), Some(apart)))),
            Room::Refused(Some(answer), _) => queue.put(Made::exchange(answer, begun)).await.map(|()| None),
            Room::Refused(None, _) => Err(SessionError::Ended(room::SILENT)),
        }
    }
}
