//! What goes wrong is told: what, to what, which value, what to do next; and the exit code says which kind it is.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::process::{Place, files};

#[test]
fn an_unknown_sandbox() {
    let place = Place::new("unknown");
    place.run(&["env", "nope"]).failed(3, "error: no sandbox 'nope'\n");
    place.run(&["status", "nope"]).failed(3, "hint: there is none yet: `sandbox up nope --local` makes it\n");
    place.run(&["exec", "nope", "--", "true"]).failed(125, "no sandbox 'nope'");
    place.run(&["down", "nope"]).failed(0, "no sandbox 'nope': nothing to delete\n");
    place.run(&["down", "nope", "--must-exist"]).failed(3, "no sandbox 'nope'");
}

#[test]
fn no_name() {
    let place = Place::new("no-name");
    place.run(&["env"]).failed(2, "no name: none was given");
    place.run(&["up", "!!!", "--local"]).failed(2, "'!!!' cannot be a name");
}

#[test]
fn a_branch_is_a_name() {
    let place = Place::new("branch");
    fs::create_dir_all(place.work().join(".git")).unwrap();
    fs::write(place.work().join(".git/HEAD"), "ref: refs/heads/fix-lag\n").unwrap();
    place.run(&["status"]).failed(3, "no sandbox 'fix-lag'");
}

#[test]
fn no_gateway_is_named() {
    Place::new("no-gateway").run(&["up", "demo"]).failed(2, "`sandbox up demo --local` starts one");
}

#[test]
fn a_gateway_that_needs_a_login() {
    let place = Place::new("login").with("SANDBOX_SERVER", "http://127.0.0.1:1");
    place.run(&["up", "demo"]).failed(5, "set SANDBOX_TOKEN to USER:PASSWORD");
    let place = place.with("SANDBOX_TOKEN", "user:password");
    place.run(&["up", "demo"]).failed(8, "no gateway answers at http://127.0.0.1:1");
    assert_eq!(place.run(&["list"]).stdout, "", "a sandbox that was not made is remembered");
}

#[test]
fn neither_a_jdk_nor_docker() {
    let place = Place::new("no-jdk").with("PATH", "");
    place.run(&["up", "demo", "--local"]).failed(8, "apt install openjdk-17-jre-headless");
    place.run(&["up", "demo", "--local", "--provider", "local"]).failed(8, "no JDK 17 or newer was found");
    place.run(&["up", "demo", "--local", "--provider", "docker"]).failed(8, "Docker cannot start apache/kafka:4.3.0");
}

#[test]
fn an_existing_kafka_that_is_not_there() {
    let place = Place::new("existing");
    place.run(&["up", "demo", "--local", "--provider", "existing"]).failed(2, "give --bootstrap HOST:PORT");
    let ended = place.run(&["up", "demo", "--local", "--bootstrap", "127.0.0.1:1"]);
    ended.failed(8, "the Kafka at 127.0.0.1:1 cannot be used: cannot connect to 127.0.0.1:1");
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let place = Place::new("port").with_java("exit 1");
    let ended = place.run(&["up", "demo", "--local", "--kafka-port", &port]);
    ended.failed(4, &format!("port {port}, wanted for Kafka, is taken by "));
    if cfg!(target_os = "linux") {
        ended.failed(4, &format!("(pid {})", std::process::id()));
    }
}

#[test]
fn a_wrong_checksum_installs_nothing() {
    let repository = serve(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    });
    let place = Place::new("checksum").with_java("exit 1").with("SANDBOX_MAVEN_REPOSITORY", repository);
    let ended = place.run(&["up", "demo", "--local"]);
    ended.failed(1, "got 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824; it was not installed");
    assert!(ended.stderr.contains(".jar is wrong: expected sha256 "), "{}", ended.stderr);
    assert_eq!(files(&place.jars()), [""; 0]);
}

#[test]
fn an_interrupted_download_installs_nothing() {
    let repository = serve(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\nhello");
    });
    let place = Place::new("interrupted").with_java("exit 1").with("SANDBOX_MAVEN_REPOSITORY", &*repository);
    let ended = place.run(&["up", "demo", "--local"]);
    ended.failed(8, &format!("cannot download {repository}/"));
    assert_eq!(files(&place.jars()), [""; 0]);
}

#[test]
fn a_broker_that_does_not_start_shows_its_last_lines() {
    let place = Place::new("no-start").with_java("echo one; echo 'the disk is full' >&2; exit 1");
    fs::create_dir_all(place.jars()).unwrap();
    for line in include_str!("../../src/providers/jars.txt").lines().filter(|line| !line.starts_with('#')) {
        let [_, size, path] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let jar = fs::File::create(place.jars().join(path.rsplit('/').next().unwrap())).unwrap();
        jar.set_len(size.parse().unwrap()).unwrap();
    }
    let ended = place.run(&["up", "demo", "--local"]);
    ended.failed(8, "Kafka did not start; its last lines:\none\nthe disk is full\n");
    assert_eq!(place.run(&["list"]).stdout, "");
    place.run(&["local", "stop"]).failed(0, "");
}

#[test]
fn a_state_file_that_is_none() {
    let place = Place::new("state");
    fs::create_dir_all(place.state()).unwrap();
    fs::write(place.state().join("state.json"), "{").unwrap();
    place.run(&["list"]).failed(1, "state.json is not a state file");
}

/// A web server that answers every request in this way and hangs up. Returns its address.
fn serve(answer: fn(&mut TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            answer(&mut stream);
        }
    });
    address
}
