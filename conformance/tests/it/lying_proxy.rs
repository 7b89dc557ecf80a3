//! A proxy before a virtual cluster that tells one small lie: it stands for a gateway with a mistake.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

const HEARTBEAT: [u8; 2] = [0, 12];
const UNKNOWN_MEMBER_ID: [u8; 2] = [0, 25];
const REBALANCE_IN_PROGRESS: [u8; 2] = [0, 27];

/// Starts it on a port of its own and returns its address. It ends with the test's process.
pub(crate) fn start(upstream: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let upstream = upstream.to_owned();
    drop(thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&upstream).unwrap();
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let heartbeats = Arc::new(Mutex::new(VecDeque::new()));
            let (told, from, to) = (heartbeats.clone(), client.try_clone().unwrap(), server.try_clone().unwrap());
            drop(thread::spawn(move || requests(from, to, &told)));
            drop(thread::spawn(move || answers(server, client, &heartbeats)));
        }
    }));
    address
}

fn frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut body)?;
    Ok([&length[..], &body].concat())
}

/// Notes which correlation ids are Heartbeats of version 0 to 3, whose answers end with their error.
fn requests(mut from: TcpStream, mut to: TcpStream, heartbeats: &Mutex<VecDeque<[u8; 4]>>) {
    while let Ok(frame) = frame(&mut from) {
        if frame[4..6] == HEARTBEAT && frame[7] < 4 {
            heartbeats.lock().unwrap().push_back([frame[8], frame[9], frame[10], frame[11]]);
        }
        if to.write_all(&frame).is_err() {
            return;
        }
    }
}

/// Says of members that nobody knows that they should join again.
fn answers(mut from: TcpStream, mut to: TcpStream, heartbeats: &Mutex<VecDeque<[u8; 4]>>) {
    while let Ok(mut frame) = frame(&mut from) {
        let correlation = [frame[4], frame[5], frame[6], frame[7]];
        let mut known = heartbeats.lock().unwrap();
        if known.front() == Some(&correlation) {
            let _ = known.pop_front();
            let at = frame.len() - 2;
            if frame[at..] == UNKNOWN_MEMBER_ID {
                frame[at..].copy_from_slice(&REBALANCE_IN_PROGRESS);
            }
        }
        drop(known);
        if to.write_all(&frame).is_err() {
            return;
        }
    }
}
