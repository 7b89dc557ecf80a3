//! Share sessions over several requests: what one of them sent veiled stays so at the broker.

use crate::model::resolve;
use crate::runner::{self, Outcome};
use gateway::naming::Tenant;
use gateway::naming::request::Memory;
use serde_json::{Value, json};
use wire::schema::ApiKey;
use wire::value;

const SHARE_SESSION_NOT_FOUND: i64 = 122;
const VERSION: i16 = 2;

/// The body that the broker gets, or what the client is answered.
fn fetch(tenant: &Tenant, memory: &mut Memory, epoch: i32, topics: &[&str]) -> Result<Value, Value> {
    let topics: Vec<_> = topics.iter().map(|id| json!({ "TopicId": id })).collect();
    let request = json!({ "GroupId": "billing", "MemberId": "m", "ShareSessionEpoch": epoch, "Topics": topics });
    let request = resolve(&request, VERSION).unwrap();
    let frame = runner::request_frame(ApiKey::ShareFetch, VERSION, &request).unwrap();
    match runner::send(&frame, tenant, memory).unwrap() {
        Outcome::Forwarded(body, _) => Ok(value::decode(ApiKey::ShareFetch.request(), VERSION, &body).unwrap()),
        Outcome::Refused(answer) => Err(answer),
    }
}

#[test]
fn a_share_session_that_veiled_a_topic_too_early_begins_anew() {
    let (tenant, mut memory) = (runner::tenant_of("team-a."), Memory::default());
    tenant.topic_ids.learn([2; 16], "team-b.secret");
    let ids = resolve(&json!(["id:1", "id:2", "veiled:1", "veiled:2"]), VERSION).unwrap();
    let sent = fetch(&tenant, &mut memory, 0, &["id:1", "id:2"]).unwrap();
    assert_eq!((&sent["Topics"][0]["TopicId"], &sent["Topics"][1]["TopicId"]), (&ids[2], &ids[3]));
    assert!(fetch(&tenant, &mut memory, 1, &[]).is_ok(), "as long as nothing is known, the session goes on");

    tenant.topic_ids.learn([1; 16], "team-a.new");
    assert_eq!(fetch(&tenant, &mut memory, 2, &[]).unwrap_err()["ErrorCode"], SHARE_SESSION_NOT_FOUND);
    let sent = fetch(&tenant, &mut memory, 0, &["id:1", "id:2"]).unwrap();
    assert_eq!((&sent["Topics"][0]["TopicId"], &sent["Topics"][1]["TopicId"]), (&ids[0], &ids[3]));
    assert!(fetch(&tenant, &mut memory, 1, &[]).is_ok(), "the new one goes on");

    // What is another tenant's never becomes this one's, and the end of a session is no continuation.
    tenant.topic_ids.learn([3; 16], "team-b.new");
    assert!(fetch(&tenant, &mut memory, 2, &["id:3"]).is_ok() && fetch(&tenant, &mut memory, -1, &[]).is_ok());
}
