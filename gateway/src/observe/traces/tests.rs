//! Spans as a collector gets them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

use contract::secret::Secret;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::*;

/// A collector that answers with this status, and what it was sent: the head of each request, and its body.
fn collector(status: &'static str) -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (sender, requests) = mpsc::channel();
    drop(std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            while let Some(request) = request(&mut client) {
                let _ = sender.send(request);
                let _ = client.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes());
            }
        }
    }));
    (address, requests)
}

fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    client.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn settings(endpoint: String, per_million: u32) -> Settings {
    let headers = vec![("authorization".to_owned(), Secret::new("Bearer s3cret"))];
    Settings { endpoint, headers, service_name: "gw".into(), node: "gw-1".into(), per_million }
}

fn span<'a>(parts: &'a [(&'static str, Duration)], codes: &[i16]) -> RequestSpan<'a> {
    let mut errors = ErrorClasses::default();
    codes.iter().for_each(|code| errors.add(*code));
    RequestSpan {
        api: ApiKey::Produce,
        version: 11,
        virtual_cluster: "dev",
        broker: Some(2),
        request_bytes: 100,
        response_bytes: 50,
        errors,
        parts,
    }
}

fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    found.map(|found| format!("{:?}", found.value.as_ref().unwrap().value.as_ref().unwrap())).unwrap_or_default()
}

#[test]
fn a_request_is_a_span_with_its_parts_below() {
    let (endpoint, requests) = collector("200 OK");
    let metrics = Arc::<Metrics>::default();
    let traces = Traces::new(&settings(endpoint, 1_000_000), Arc::clone(&metrics)).unwrap();
    assert!((0..100).all(|_| traces.chooses()));
    let part = Duration::from_millis(3);
    traces.send(&span(&[("request", part), ("upstream", part * 2), ("client", part)], &[29]));
    drop(traces);
    let (head, body) = requests.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(head.starts_with("post /v1/traces ") && head.contains("\r\nauthorization: bearer s3cret\r\n"), "{head}");
    let sent = ExportTraceServiceRequest::decode(&body[..]).unwrap();
    let spans: Vec<_> = sent.resource_spans.iter().flat_map(|of| &of.scope_spans).flat_map(|of| &of.spans).collect();
    let root = spans.iter().find(|span| span.parent_span_id.is_empty()).unwrap();
    assert_eq!((root.name.as_str(), root.end_time_unix_nano - root.start_time_unix_nano), ("Produce", 12_000_000));
    for (name, value) in [
        ("kafka.api.version", "IntValue(11)"),
        ("kafka.broker.id", "IntValue(2)"),
        ("kafka.request.size", "IntValue(100)"),
        ("anabranch.virtual_cluster", r#"StringValue("dev")"#),
        ("error.type", r#"StringValue("authorization")"#),
    ] {
        assert_eq!(attribute(root, name), value, "{name}");
    }
    let below: Vec<_> = spans.iter().filter(|span| span.parent_span_id == root.span_id).collect();
    assert_eq!(below.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["request", "upstream", "client"]);
    assert!(below.iter().all(|span| span.trace_id == root.trace_id));
    assert!(below.windows(2).all(|pair| pair[0].end_time_unix_nano == pair[1].start_time_unix_nano));
    let text = metrics.render();
    assert!(text.contains("gateway_traced_requests_total 1\n"), "{text}");
    assert!(text.contains("gateway_trace_exports_total{result=\"ok\"} 1\n"), "{text}");
}

#[test]
fn a_collector_that_refuses_is_counted() {
    let (endpoint, requests) = collector("403 Forbidden");
    let metrics = Arc::<Metrics>::default();
    let traces = Traces::new(&settings(endpoint, 1_000_000), Arc::clone(&metrics)).unwrap();
    traces.send(&span(&[], &[]));
    drop(traces);
    assert!(requests.recv_timeout(Duration::from_secs(60)).is_ok());
    assert!(metrics.render().contains("gateway_trace_exports_total{result=\"failed\"} 1\n"));
}

#[test]
fn as_many_are_chosen_as_was_said() {
    let chosen = |per_million| {
        let traces = Traces::new(&settings("http://127.0.0.1:1/v1/traces".into(), per_million), Arc::default());
        let traces = traces.unwrap();
        (0..100_000).filter(|_| traces.chooses()).count()
    };
    assert_eq!((chosen(0), chosen(1_000_000)), (0, 100_000));
    assert!((9_000..11_000).contains(&chosen(100_000)));
}
