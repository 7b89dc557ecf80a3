//! Which addresses clients of several gateways are told: at each listener those of the node that has the broker, and behind a
//! load balancer the balancer's.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use conformance::drivers::Connection;
use conformance::drivers::socket::KafkaSocket;
use conformance::drivers::tls::Hello;
use conformance::gateways::{DOMAIN, TENANTS, free_ports};
use serde_json::json;
use wire::schema::ApiKey;

use super::broker::Broker;
use super::needs;
use super::nodes::{Node, PORTS, within};
use super::secure_kafka::certificates;
use super::stand::{log_is_calm, records, start, values};

/// Declares a tenant with an account at one of the nodes; tells how its clients connect.
fn declare(nodes: &mut [&mut Node]) -> Connection {
    let first = nodes[0].running();
    first.virtual_cluster(TENANTS[0], &json!({})).unwrap();
    first.account(TENANTS[0], "app", &json!({ "type": "LOCAL" })).unwrap();
    let password = first.token(TENANTS[0], "app", 3600).unwrap();
    let connection = Connection {
        security_protocol: "SASL_PLAINTEXT".to_owned(),
        mechanism: "PLAIN".to_owned(),
        username: "app".to_owned(),
        password,
        ..Connection::plain(&nodes[0].address())
    };
    for node in nodes {
        let address = node.address();
        let _ = within("all nodes know who may log in", || KafkaSocket::connect_to(&address, &connection).is_ok());
    }
    connection
}

/// Host and port of the only broker.
fn told(socket: &mut KafkaSocket) -> (String, u16) {
    let answer = socket.ask(ApiKey::Metadata, 9, &json!({ "Topics": [] })).unwrap_or_else(|error| panic!("{error}"));
    let broker = &answer.value["Brokers"][0];
    (broker["Host"].as_str().unwrap().to_owned(), u16::try_from(broker["Port"].as_u64().unwrap()).unwrap())
}

#[test]
fn each_listener_sends_clients_to_the_node_that_has_the_broker() {
    if !needs::met("each_listener_sends_clients_to_the_node_that_has_the_broker", &["java-clients"]) {
        return;
    }
    let broker = Broker::start();
    let file = |name: &str| certificates().join(name).to_string_lossy().into_owned();
    let mut nodes = ["node-a", "node-b"].map(|name| {
        let tls = free_ports(1).unwrap();
        let hosts = json!({
            "name": "hosts", "securityProtocol": "SASL_SSL", "routing": "host", "portStart": tls, "advertisedHost": DOMAIN,
        });
        let more = json!({
            "clients": { "listeners": [hosts] },
            "tls": { "keyStore": { "path": file("server.pem") }, "trustStore": { "path": file("ca.pem") } },
        });
        let mut node = Node::new(name, &broker.address, &more);
        let _ = node.start();
        (node, tls)
    });
    let connection = declare(&mut nodes.each_mut().map(|(node, _)| node));
    // Which node has the broker says a hash: both must say the same, at both listeners.
    let plain = |node: &Node| {
        let mut socket = KafkaSocket::connect_to(&node.address(), &connection).unwrap();
        told(&mut socket)
    };
    let host = format!("broker-1.{}.{DOMAIN}", TENANTS[0]);
    let by_host = |tls: u16| {
        let hello = Hello::new(Some(&format!("{}.{DOMAIN}", TENANTS[0])), None).unwrap();
        let mut socket = KafkaSocket::open_tls(&format!("127.0.0.1:{tls}"), &hello).unwrap();
        socket.log_in(&connection).unwrap();
        told(&mut socket)
    };
    let agree = |owner: usize| {
        let (node, tls) = &nodes[owner];
        nodes.iter().all(|(asked, by)| plain(asked).1 == node.port && by_host(*by) == (host.clone(), *tls))
    };
    let _ = within("both nodes send clients of both listeners to one of them", || agree(0) || agree(1));
    let owner = usize::from(!agree(0));

    let mut client = start(
        "java-clients",
        &Connection {
            bootstrap: format!("{}.{DOMAIN}:{}", TENANTS[0], nodes[1 - owner].1),
            security_protocol: "SASL_SSL".to_owned(),
            ca: Some(certificates().join("ca.pem")),
            hosts: format!("{0}.{DOMAIN}=127.0.0.1 {host}=127.0.0.1", TENANTS[0]),
            ..connection.clone()
        },
    );
    client.does("create_topic", json!({ "topic": "orders", "partitions": 2 }));
    client.does("produce", json!({ "topic": "orders", "records": records("a", 20) }));
    assert_eq!(client.consumes("orders", "readers", 20), values("a", 20));

    nodes[owner].0.running().kill().unwrap();
    let (left, tls) = &nodes[1 - owner];
    let took = within("the other node has the broker", || plain(left).1 == left.port && by_host(*tls).1 == *tls);
    println!("kill -9: at both listeners clients were sent to the other node after {took:?}");
    client.does("produce", json!({ "topic": "orders", "records": records("b", 20) }));
    assert_eq!(client.consumes("orders", "readers", 20), values("b", 20));
    log_is_calm(&nodes[1 - owner].0.running().log(), &[]);
}

/// Hands each connection to another node, whatever its port stands for.
fn balance(balancer: u16, nodes: &[u16]) {
    let turn: &'static AtomicUsize = Box::leak(Box::default());
    for offset in 0..PORTS {
        let listener = TcpListener::bind(("127.0.0.1", balancer + offset)).unwrap();
        let behind: Vec<u16> = nodes.iter().map(|port| port + offset).collect();
        let _ = thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let at = turn.fetch_add(1, Ordering::Relaxed) % behind.len();
                let Ok(node) = TcpStream::connect(("127.0.0.1", behind[at])) else { continue };
                for (mut from, mut to) in [(client.try_clone().unwrap(), node.try_clone().unwrap()), (node, client)] {
                    let _ = thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        });
    }
}

#[test]
fn behind_a_load_balancer_all_addresses_are_the_balancers() {
    if !needs::met("behind_a_load_balancer_all_addresses_are_the_balancers", &["python"]) {
        return;
    }
    let broker = Broker::start();
    let balancer = free_ports(PORTS).unwrap();
    let more = json!({
        "nodes": { "internalLoadBalancing": false },
        "clients": { "advertisedListener": "localhost", "advertisedPort": balancer },
    });
    let mut nodes = ["node-a", "node-b"].map(|name| Node::new(name, &broker.address, &more));
    for node in &mut nodes {
        let _ = node.start();
    }
    balance(balancer, &nodes.each_ref().map(|node| node.port));
    let connection = declare(&mut nodes.each_mut());
    for node in &nodes {
        let mut socket = KafkaSocket::connect_to(&node.address(), &connection).unwrap();
        assert_eq!(told(&mut socket), ("localhost".to_owned(), balancer), "{}", node.name);
    }
    let mut client = start("python", &Connection { bootstrap: format!("localhost:{balancer}"), ..connection });
    client.does("create_topic", json!({ "topic": "orders", "partitions": 4 }));
    client.does("produce", json!({ "topic": "orders", "records": records("a", 50) }));
    assert_eq!(client.consumes("orders", "readers", 50), values("a", 50));
    let served = nodes.iter_mut().map(|node| requests(&node.running().metrics().unwrap()));
    for (served, name) in served.zip(["node-a", "node-b"]) {
        println!("{name} served {served} requests");
        assert!(served > 0, "{name} served nobody");
    }
    for node in &mut nodes {
        log_is_calm(&node.running().log(), &[]);
    }
}

fn requests(metrics: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with("gateway_requests_total{"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}
