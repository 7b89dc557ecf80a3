//! kafka-protocol's opinion about every message that it knows: what it makes of ours is the same to the last byte.

use super::message::{filled, with_nulls, words};
use crate::independent::OTHERS;
use gateway::apis::roles;
use serde_json::json;
use wire::plan::Plan;
use wire::schema::{ApiKey, Message};
use wire::segments::Segments;
use wire::value;
use wire::walk::{KeepAll, walk};

/// The messages that are compared at a version: everything set, everything null that can be, nothing set.
fn bodies(message: &'static Message, version: i16) -> Vec<Vec<u8>> {
    let mut full = filled(message, version, &|place| words(place, version));
    if message.flexible.contains(version) {
        full["_tags"] = json!({ "10007": "AAEC", "70000": "" });
    }
    let all = [with_nulls(message.fields, version, &full), full, json!({})];
    all.iter().map(|given| value::encode(message, version, given).unwrap()).collect()
}

#[test]
fn every_message_that_the_other_codec_knows_is_the_same_to_it() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for (key, (request, response)) in &*OTHERS {
        for (message, other) in [(key.request(), request), (key.response(), response)] {
            let (min, max) =
                (message.versions.min.max(other.versions.min), message.versions.max.min(other.versions.max));
            for version in min..=max {
                let plan = Plan::compile(message, version, &roles::role_of);
                for body in bodies(message, version) {
                    compared += 1;
                    let again = (other.again)(&body, version);
                    let mut out = Segments::default();
                    let walked = again.as_ref().is_ok_and(|again| {
                        walk(&plan, again, &mut KeepAll, &mut out).is_ok() && out.to_vec(again) == *again
                    });
                    if again.as_ref() != Ok(&body) || !walked {
                        wrong.push(format!("{} {version}:\n  {again:02x?}\n  {body:02x?}", message.name));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of\n{}", wrong.len(), wrong.join("\n"));
    println!("kafka-protocol: {compared} messages compared, of {} of {} APIs", OTHERS.len(), ApiKey::ALL.len());
    assert!(compared > 1500, "only {compared} messages");
}
