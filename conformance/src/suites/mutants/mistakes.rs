//! The mistakes. Each answers a request as a gateway would that has it, or leaves it to the real one.

use std::io;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use wire::schema::ApiKey;

use super::proxy::Exchange;

/// `None`: nothing to make a mistake about.
pub(super) type Mistake = fn(&mut Exchange<'_>) -> io::Result<Option<Value>>;

/// No mistake at all.
pub(super) fn none(_: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    Ok(None)
}

/// A field left unmapped.
pub(super) fn unmapped_group(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    as_sent(exchange, ApiKey::DescribeGroups)
}

/// A field left unmapped in one API only.
pub(super) fn unmapped_offsets_group(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    as_sent(exchange, ApiKey::OffsetFetch)
}

/// A transactional id left unmapped where its producer is begun anew, which shuts the one before out.
pub(super) fn unmapped_producer(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    as_sent(exchange, ApiKey::InitProducerId)
}

fn as_sent(exchange: &mut Exchange<'_>, key: ApiKey) -> io::Result<Option<Value>> {
    if exchange.key != key {
        return Ok(None);
    }
    let body = exchange.body.clone();
    exchange.of_broker(&body).map(Some)
}

/// A list left unfiltered: every group, without what comes before the attacker's own.
pub(super) fn unfiltered_groups(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    if exchange.key != ApiKey::ListGroups {
        return Ok(None);
    }
    let body = exchange.body.clone();
    let mut answer = exchange.of_broker(&body)?;
    unprefix(&mut answer, exchange.prefix);
    Ok(Some(answer))
}

/// A list left unfiltered: the topics of others stay beside the attacker's.
pub(super) fn unfiltered_topics(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    let all = match &exchange.body["Topics"] {
        Value::Null => true,
        Value::Array(topics) => topics.is_empty() && exchange.version == 0,
        _ => false,
    };
    if exchange.key != ApiKey::Metadata || !all {
        return Ok(None);
    }
    let mut answer = exchange.of_gateway()?;
    let body = exchange.body.clone();
    let mut of_broker = exchange.of_broker(&body)?;
    unprefix(&mut of_broker, exchange.prefix);
    answer["Topics"] = of_broker["Topics"].take();
    Ok(Some(answer))
}

/// A session id not checked.
pub(super) fn unchecked_session(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    let session = exchange.body["SessionId"].as_i64().unwrap_or(0);
    if exchange.key != ApiKey::Fetch || session == 0 {
        return Ok(None);
    }
    let mut body = exchange.body.clone();
    // What the request names itself is mapped as it should be.
    for topic in body["Topics"].as_array_mut().into_iter().flatten() {
        if let Some(name) = topic["Topic"].as_str() {
            topic["Topic"] = json!(format!("{}{name}", exchange.prefix));
        }
    }
    let mut answer = exchange.of_broker(&body)?;
    unprefix(&mut answer, exchange.prefix);
    Ok(Some(answer))
}

/// An error text passed on: what the gateway put into virtual names is put back.
pub(super) fn broker_error_text(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    if exchange.key != ApiKey::CreateTopics {
        return Ok(None);
    }
    let mut body = exchange.body.clone();
    for topic in body["Topics"].as_array_mut().into_iter().flatten() {
        topic["Name"] = json!(format!("{}{}", exchange.prefix, topic["Name"].as_str().unwrap_or_default()));
    }
    let mut answer = exchange.of_broker(&body)?;
    for topic in answer["Topics"].as_array_mut().into_iter().flatten() {
        let name = topic["Name"].as_str().unwrap_or_default();
        topic["Name"] = json!(name.strip_prefix(exchange.prefix).unwrap_or(name));
    }
    Ok(Some(answer))
}

/// A host passed on.
pub(super) fn broker_address(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    if exchange.key != ApiKey::Metadata {
        return Ok(None);
    }
    let mut answer = exchange.of_gateway()?;
    let mut of_broker = exchange.of_broker(&json!({ "Topics": [] }))?;
    answer["Brokers"] = of_broker["Brokers"].take();
    Ok(Some(answer))
}

/// A field left unmapped where it changes something.
pub(super) fn unmapped_transaction(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    as_sent(exchange, ApiKey::EndTxn)
}

/// An answer under another request.
pub(super) fn mixed_up_answers(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    static LAST: Mutex<(usize, Value)> = Mutex::new((0, Value::Null));
    if exchange.key != ApiKey::Metadata {
        return Ok(None);
    }
    let answer = exchange.of_gateway()?;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let (count, before) = (last.0 + 1, std::mem::replace(&mut last.1, answer.clone()));
    last.0 = count;
    Ok(Some(if count.is_multiple_of(1000) { before } else { answer }))
}

/// A password taken without a look at it.
pub(super) fn unchecked_password(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    let taken = json!({ "ErrorCode": 0, "ErrorMessage": null, "AuthBytes": "", "SessionLifetimeMs": 0 });
    Ok((exchange.key == ApiKey::SaslAuthenticate).then_some(taken))
}

/// A request served whoever asks, and before anybody said who that is.
pub(super) fn served_before_login(exchange: &mut Exchange<'_>) -> io::Result<Option<Value>> {
    as_sent(exchange, ApiKey::DescribeCluster)
}

/// Takes the attacker's prefix off every text.
fn unprefix(value: &mut Value, prefix: &str) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| unprefix(value, prefix)),
        Value::Array(list) => list.iter_mut().for_each(|item| unprefix(item, prefix)),
        Value::String(text) => {
            if let Some(rest) = text.strip_prefix(prefix) {
                *text = rest.to_owned();
            }
        }
        _ => {}
    }
}
