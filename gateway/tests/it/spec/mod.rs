//! The schema table, the roles and the renaming, held against Kafka's own specification: the message definitions in the
//! kafka-clients jars of several Kafkas, and the bytes that Kafka's own classes read and write.
//!
//! The jars are those of `fixtures/kafka-clients.sha256`; without them the tests say by name that they did not run.

mod authorizer;
mod decisions;
#[path = "../../../wire/examples/generate/definitions.rs"]
mod definitions;
mod expected;
mod java;
mod kafkas;
mod message;
mod other_codec;
mod principals;
mod probes;
mod program;
mod sentinels;
mod table;
