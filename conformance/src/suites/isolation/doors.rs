//! Doors: the names by which tenants' addresses are told apart, and who may come in by which.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wire::schema::ApiKey;

use crate::drivers::socket::{KafkaSocket, SocketError};
use crate::drivers::tls::Hello;
use crate::drivers::{Connection, find_fixtures};
use crate::gateways::{DOMAIN, Gateway, GatewayError, TENANTS, certificates, free_ports};
use crate::suites::arena::{Trouble, the_broker};
use crate::suites::scene::Scene;

const VICTIM: &str = TENANTS[0];
const ATTACKER: &str = TENANTS[1];
const SUBJECTS: [&str; 2] = ["CN=alice,OU=payments,O=Anabranch", "CN=bob,OU=search,O=Anabranch"];

/// Names of the victim with the attacker's credentials: server names, certificates, resumed TLS sessions.
pub(super) fn i_29(scene: &mut Scene<'_>) -> Result<(), Trouble> {
    let house = House::build(scene)?;
    let own = house.names(ATTACKER);
    for name in &own {
        let served = house.by_password(Some(name), false);
        scene.expect(matches!(&served, Ok(topics) if only_of(topics, ATTACKER)), || {
            format!("the attacker at its own name {name}: {served:?}")
        });
        let served = house.by_certificate(Some(name));
        scene.expect(matches!(&served, Ok(topics) if only_of(topics, ATTACKER)), || {
            format!("the attacker's certificate at its own name {name}: {served:?}")
        });
    }
    let theirs = house.names(VICTIM);
    let mut tried = 0;
    for name in spellings(&theirs) {
        tried += 2;
        for (how, came) in
            [("password", house.by_password(Some(&name), false)), ("certificate", house.by_certificate(Some(&name)))]
        {
            scene.expect(came.is_err(), || format!("the attacker's {how} at {name} shows {came:?}"));
        }
        let came = house.by_password(Some(&name), true);
        scene.expect(came.is_err(), || {
            format!("a session of the attacker's name, gone on with at {name}, shows {came:?}")
        });
    }
    for name in names_of_nobody(&own) {
        tried += 2;
        for came in [house.by_password(name.as_deref(), false), house.by_certificate(name.as_deref())] {
            let harmless = came.as_ref().map_or(true, |topics| only_of(topics, ATTACKER));
            scene.expect(harmless, || format!("the attacker at the name {name:?} sees {came:?}"));
        }
    }
    let resumed = house.resumption()?;
    house.clear()?;
    scene.expect(house.gateway.log().lines().all(|line| !line.contains("panicked")), || "the gateway panicked".into());
    scene.got(format!(
        "{tried} logins at names of the victim and of nobody: none sees anything of the victim's; a session of one's own \
         name is gone on with: {resumed}"
    ));
    Ok(())
}

/// A gateway that tells brokers and tenants apart by host name: one listener of SASL_SSL, one of client certificates.
struct House {
    gateway: Gateway,
    port: u16,
    broker: i64,
    tokens: [String; 2],
    bob: PathBuf,
    hello: Hello,
}

impl House {
    fn build(scene: &Scene<'_>) -> Result<Self, Trouble> {
        let state = |error: &dyn std::fmt::Display| Trouble::State(error.to_string());
        let of_gateway = |error: GatewayError| state(&error);
        let folder = std::env::current_dir().map_err(|error| state(&error))?;
        let fixtures = find_fixtures(&folder)
            .ok_or_else(|| state(&"no folder fixtures here, which makes the certificates for this attack"))?;
        let files = certificates(&fixtures).map_err(|error| state(&error))?;
        let port = free_ports(2).map_err(|error| state(&error))?;
        let settings = settings(&scene.arena.direct.bootstrap, port, &files);
        let program = scene.arena.sandboxes().program().to_owned();
        let gateway = Gateway::start(&program, &settings).map_err(of_gateway)?;
        let mut tokens = [String::new(), String::new()];
        for ((tenant, subject), token) in TENANTS.iter().zip(SUBJECTS).zip(&mut tokens) {
            gateway.virtual_cluster(tenant, &json!({})).map_err(of_gateway)?;
            let app = format!("{tenant}-app");
            gateway.account(tenant, &app, &json!({ "type": "LOCAL" })).map_err(of_gateway)?;
            let external = json!({ "type": "EXTERNAL", "externalNames": [subject] });
            gateway.account(tenant, &format!("{tenant}-by-certificate"), &external).map_err(of_gateway)?;
            *token = gateway.token(tenant, &app, 600).map_err(of_gateway)?;
        }
        let own = format!("{ATTACKER}.{DOMAIN}");
        let hello = Hello::new(Some(&own), None).map_err(|error| state(&error))?;
        let broker = the_broker(&scene.arena.direct)?;
        let house = Self { gateway, port, broker, tokens, bob: files.join("bob.pem"), hello };
        house.furnish()?;
        Ok(house)
    }

    /// The connection of each tenant at its own name.
    fn at_home(&self) -> Result<Vec<(&'static str, KafkaSocket)>, Trouble> {
        let mut connections = Vec::new();
        for (tenant, token) in TENANTS.into_iter().zip(&self.tokens) {
            let name = format!("broker-{}.{tenant}.{DOMAIN}", self.broker);
            let mut socket = self.open(0, Some(&name), None)?;
            socket.log_in(&login(tenant, token))?;
            connections.push((tenant, socket));
        }
        Ok(connections)
    }

    /// A topic for each, called after its tenant.
    fn furnish(&self) -> Result<(), Trouble> {
        for (tenant, mut socket) in self.at_home()? {
            let topic = json!({ "Name": format!("of-{tenant}"), "NumPartitions": 1, "ReplicationFactor": 1 });
            let made = socket.ask(ApiKey::CreateTopics, 5, &json!({ "Topics": [topic], "timeoutMs": 10_000 }))?;
            let code = &made.value["Topics"][0]["ErrorCode"];
            // An earlier run on the same broker may have left it.
            if *code != 0 && *code != 36 {
                return Err(Trouble::State(format!("no topic for {tenant}: {:?}", made.value)));
            }
        }
        Ok(())
    }

    /// Leaves the broker as it was.
    fn clear(&self) -> Result<(), Trouble> {
        for (tenant, mut socket) in self.at_home()? {
            let body = json!({ "TopicNames": [format!("of-{tenant}")], "TimeoutMs": 10_000 });
            let gone = socket.ask(ApiKey::DeleteTopics, 5, &body)?;
            if gone.value["Responses"][0]["ErrorCode"] != 0 {
                return Err(Trouble::State(format!("the topic of {tenant} stays: {:?}", gone.value)));
            }
        }
        Ok(())
    }

    fn names(&self, tenant: &str) -> [String; 2] {
        [format!("broker-{}.{tenant}.{DOMAIN}", self.broker), format!("{tenant}.{DOMAIN}")]
    }

    /// `door`: 0 takes passwords, 1 certificates.
    fn open(&self, door: u16, name: Option<&str>, hello: Option<Hello>) -> Result<KafkaSocket, SocketError> {
        let hello = match hello {
            Some(hello) => hello,
            None => Hello::new(name, (door == 1).then_some(self.bob.as_path()))?,
        };
        KafkaSocket::open_tls(&format!("127.0.0.1:{}", self.port + door), &hello)
    }

    /// The topics that the attacker sees with its password at a name; `again`: in the session of its own name.
    fn by_password(&self, name: Option<&str>, again: bool) -> Result<Value, SocketError> {
        let hello = match name {
            Some(name) if again => Some(self.hello.with_host(name)?),
            _ => None,
        };
        let mut socket = self.open(0, name, hello)?;
        socket.log_in(&login(ATTACKER, &self.tokens[1]))?;
        topics(&mut socket)
    }

    fn by_certificate(&self, name: Option<&str>) -> Result<Value, SocketError> {
        topics(&mut self.open(1, name, None)?)
    }

    /// Whether the server goes on with sessions at all, by the name that they were made with.
    fn resumption(&self) -> Result<bool, Trouble> {
        let mut resumed = false;
        for _ in 0..2 {
            let mut socket = self.open(0, None, Some(self.hello.clone()))?;
            socket.log_in(&login(ATTACKER, &self.tokens[1]))?;
            let _ = topics(&mut socket)?;
            resumed = socket.resumed() == Some(true);
        }
        Ok(resumed)
    }
}

fn settings(upstream: &str, port: u16, files: &Path) -> Value {
    let file = |name: &str| files.join(name).to_string_lossy().into_owned();
    let by_host = |name: &str, protocol: &str, port: u16| {
        json!({
            "name": name, "securityProtocol": protocol, "routing": "host", "advertisedHost": DOMAIN, "portStart": port,
        })
    };
    let mut first = by_host("", "SASL_SSL", port);
    let mut second = by_host("certificates", "SSL", port + 1);
    second["clientAuth"] = json!("REQUIRE");
    if let Some(first) = first.as_object_mut() {
        let _ = first.shift_remove("name");
        let _ = first.insert("listeners".to_owned(), json!([second]));
    }
    json!({
        "upstream": { "bootstrapServers": upstream },
        "clients": first,
        "tls": { "keyStore": { "path": file("server.pem") }, "trustStore": { "path": file("ca.pem") } },
        "state": { "store": "memory" },
    })
}

fn login(tenant: &str, token: &str) -> Connection {
    Connection { username: format!("{tenant}-app"), password: token.to_owned(), ..Connection::default() }
}

fn topics(socket: &mut KafkaSocket) -> Result<Value, SocketError> {
    let answer = socket.ask(ApiKey::Metadata, 4, &json!({ "Topics": null, "AllowAutoTopicCreation": false }))?;
    Ok(answer.value["Topics"].clone())
}

fn only_of(topics: &Value, tenant: &str) -> bool {
    let own = format!("of-{tenant}");
    topics.as_array().is_some_and(|topics| topics.iter().all(|topic| topic["Name"] == *own))
}

/// Other ways to write the same names.
fn spellings(names: &[String]) -> Vec<String> {
    let capitals = names.iter().map(|name| name.to_uppercase());
    let dots = names.iter().map(|name| format!("{name}."));
    names.iter().cloned().chain(capitals).chain(dots).chain([format!("broker-99.{VICTIM}.{DOMAIN}")]).collect()
}

/// No name, and names that are neither's.
fn names_of_nobody(own: &[String]) -> Vec<Option<String>> {
    let long = vec!["a".repeat(60); 3].join(".");
    let named = [
        DOMAIN.to_owned(),
        format!("broker-1.{DOMAIN}"),
        format!("nobody.{DOMAIN}"),
        format!("xn--pyments-4ve.{DOMAIN}"),
        format!("{VICTIM}.{}", own[1]),
        format!("{}.{VICTIM}.{DOMAIN}", ATTACKER),
        format!("broker-1.broker-1.{VICTIM}.{DOMAIN}"),
        format!("{VICTIM}.{DOMAIN}.example"),
        format!("{long}.{DOMAIN}"),
        "127.0.0.1".to_owned(),
        "localhost".to_owned(),
    ];
    named.into_iter().map(Some).chain([None]).collect()
}
