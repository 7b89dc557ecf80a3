//! Every compression of every client goes through as it is and is read by another client.

use serde_json::json;

use super::needs;
use super::stand::{Stand, records, values};

const RECORDS: usize = 30;

#[test]
fn kcat_compressions() {
    read_by_another("kcat_compressions", "kcat", "go", &["none", "gzip", "snappy", "lz4", "zstd"]);
}

#[test]
fn java_compressions() {
    read_by_another("java_compressions", "java", "python", &["gzip", "snappy", "lz4", "zstd"]);
}

#[test]
fn confluent_kafka_compressions() {
    read_by_another("confluent_kafka_compressions", "python", "kcat", &["gzip", "snappy", "lz4", "zstd"]);
}

#[test]
fn franz_go_compressions() {
    read_by_another("franz_go_compressions", "go", "java", &["gzip", "snappy", "lz4", "zstd"]);
}

fn read_by_another(test: &str, writer: &str, reader: &str, compressions: &[&str]) {
    if !needs::met(test, &[writer, reader, "python"]) {
        return;
    }
    let stand = Stand::shared();
    let topic = format!("packed-by-{writer}");
    stand.search.client("python").does("create_topic", json!({ "topic": topic }));
    let mut client = stand.search.client(writer);
    let mut sent = Vec::new();
    for compression in compressions {
        let prefix = format!("{compression}-");
        client.does(
            "produce",
            json!({ "topic": topic, "records": records(&prefix, RECORDS), "compression": compression }),
        );
        sent.extend(values(&prefix, RECORDS));
    }
    sent.sort();
    assert_eq!(stand.search.client(reader).consumes(&topic, &format!("unpack-{writer}"), sent.len()), sent);
    stand.log_is_calm(&[]);
}
