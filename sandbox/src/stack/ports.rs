//! Ports of this machine: which are free, and who has one that is not.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use crate::error::{Failure, Kind, Result};

/// Ports that we choose lie from here up to where systems begin to hand out ports of outgoing connections, so that a
/// port remembered today is not somebody's outgoing connection tomorrow.
const CHOSEN_FROM: u16 = 19092;
const CHOSEN_TO: u16 = 32767;

/// Whether a server could listen there on the loopback address.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The first of `count` free ports in a row: `preferred` if they are free, else where there are. The search begins at
/// another place in each process, so that two commands at once do not choose the same. Those in `promised` are taken
/// too: someone will listen there soon.
pub fn choose(preferred: u16, count: u16, promised: &[u16]) -> Result<u16> {
    let is_taken = |port: &u16| promised.contains(port) || !is_free(*port);
    let spread = u16::try_from(std::process::id() % u32::from(CHOSEN_TO - CHOSEN_FROM) / 2).unwrap_or_default();
    let (mut first, mut searching) = (preferred, false);
    while let Some(taken) = (first..first.saturating_add(count)).rev().find(is_taken) {
        first = if searching { taken.saturating_add(1) } else { CHOSEN_FROM + spread };
        searching = true;
        if first.saturating_add(count) > CHOSEN_TO {
            return Err(Failure::new(Kind::Conflict, format!("no {count} free ports in a row up to {CHOSEN_TO}")));
        }
    }
    Ok(first)
}

/// The failure of a port that was asked for and is taken.
pub fn taken(port: u16, wanted_for: &str) -> Failure {
    let by = holder(port).unwrap_or_else(|| "another program".to_owned());
    Failure::new(Kind::Conflict, format!("port {port}, wanted for {wanted_for}, is taken by {by}"))
}

/// Who listens on a port, such as `java (pid 77)`.
pub fn holder(port: u16) -> Option<String> {
    let inodes = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table, port))
        .collect::<Vec<_>>();
    let sockets = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect::<Vec<_>>();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|target| target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target)));
        if holds {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", command.trim()));
        }
    }
    None
}

/// The socket numbers that listen on a port, from a table of /proc/net.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let fields = line.split_ascii_whitespace().collect::<Vec<_>>();
            let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (address.ends_with(&suffix) && *state == LISTEN).then(|| (*inode).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        if std::path::Path::new("/proc/net/tcp").exists() {
            let message = taken(port, "Kafka").message;
            assert!(message.contains(&format!("(pid {})", std::process::id())), "{message}");
        }
        assert_ne!(choose(port, 1, &[]).unwrap(), port);
    }

    #[test]
    fn a_row_skips_what_is_taken() {
        let first = choose(CHOSEN_FROM, 3, &[]).unwrap();
        let _middle = TcpListener::bind((Ipv4Addr::LOCALHOST, first + 1)).unwrap();
        let row = choose(first, 3, &[]).unwrap();
        assert!(!(row..row + 3).contains(&(first + 1)), "{row} holds {}", first + 1);
    }

    #[test]
    fn what_is_promised_is_taken() {
        let first = choose(CHOSEN_FROM, 1, &[]).unwrap();
        assert_ne!(choose(first, 1, &[first]).unwrap(), first);
    }

    #[test]
    fn the_table_of_the_kernel() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0        0 4711 1 0 100\n\
                     1: 0100007F:2384 0100007F:1111 01 00000000:00000000 00:00000000 00000000  0        0 4712 1 0 100\n";
        assert_eq!(listening(table, 9092), ["4711"]);
        assert!(listening(table, 9093).is_empty());
    }
}
