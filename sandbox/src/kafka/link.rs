//! One connection to one broker: frames, deadlines, login.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, Request, StrBytes};

use wire::plan::Plan;
use wire::walk::{KeepAll, scan};

use super::scram::Exchange;
use super::{Credentials, KafkaError, Mechanism};

/// The largest answer that is read. Far above what is asked for here, far below what garbage claims.
const MAX_FRAME: usize = 16 * 1024 * 1024;
/// How long one attempt to connect may take, so that one dead address does not use up the whole deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CLIENT_ID: &str = "sandbox";

#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    address: String,
    correlation: i32,
    deadline: Instant,
}

impl Link {
    /// Connects and, with credentials, logs in.
    pub fn open(address: &str, credentials: Option<&Credentials>, deadline: Instant) -> Result<Self, KafkaError> {
        let stream = connect(address, deadline)?;
        let mut link = Self { stream, address: address.to_owned(), correlation: 0, deadline };
        if let Some(credentials) = credentials {
            link.log_in(credentials)?;
        }
        Ok(link)
    }

    /// From now on waits until then.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Sends a request and waits for its answer.
    pub fn call<Q: Request>(&mut self, request: &Q, version: i16) -> Result<Q::Response, KafkaError> {
        self.correlation += 1;
        let frame = self.encode(request, version)?;
        self.write(&frame)?;
        let mut answer = self.read_frame()?;
        let key = ApiKey::try_from(Q::KEY).map_err(|()| self.not_kafka("unknown key"))?;
        let header = ResponseHeader::decode(&mut answer, key.response_header_version(version))
            .map_err(|error| self.not_kafka(error))?;
        if header.correlation_id != self.correlation {
            return Err(self.not_kafka("the answer belongs to another request"));
        }
        // The typed decoder reserves what a count claims, so what is claimed is checked first.
        let schema = wire::schema::ApiKey::from_code(Q::KEY).ok_or_else(|| self.not_kafka("unknown key"))?;
        scan(&Plan::compile(schema.response(), version, &|_| None), &answer, &mut KeepAll)
            .map_err(|error| self.not_kafka(error))?;
        <Q::Response as kafka_protocol::protocol::Decodable>::decode(&mut answer, version)
            .map_err(|error| self.not_kafka(error))
    }

    fn encode<Q: Request>(&self, request: &Q, version: i16) -> Result<BytesMut, KafkaError> {
        let header = RequestHeader::default()
            .with_request_api_key(Q::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        header
            .encode(&mut frame, Q::header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|error| KafkaError::Unexpected { what: format!("cannot encode a request: {error}") })?;
        let length = i32::try_from(frame.len() - 4)
            .map_err(|_| KafkaError::Unexpected { what: "a request is too large".to_owned() })?;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        Ok(frame)
    }

    fn log_in(&mut self, credentials: &Credentials) -> Result<(), KafkaError> {
        let refused = |link: &Self, reason: String| KafkaError::Login {
            address: link.address.clone(),
            username: credentials.username.clone(),
            reason,
        };
        let mechanism = credentials.mechanism.name();
        let handshake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = self.call(&handshake, 1)?;
        if answer.error_code != 0 {
            let offered = answer.mechanisms.iter().map(StrBytes::as_str).collect::<Vec<_>>().join(", ");
            return Err(refused(self, format!("it does not offer {mechanism}, only: {offered}")));
        }
        if credentials.mechanism == Mechanism::Plain {
            let message = format!("\0{}\0{}", credentials.username, credentials.password.reveal());
            return self.authenticate(message.into_bytes(), &refused).map(|_| ());
        }
        let (mut exchange, first) = Exchange::begin(credentials).map_err(|reason| refused(self, reason))?;
        let challenge = self.authenticate(first, &refused)?;
        let proof = exchange.answer(&challenge).map_err(|reason| refused(self, reason))?;
        let verdict = self.authenticate(proof, &refused)?;
        exchange.finish(&verdict).map_err(|reason| refused(self, reason))
    }

    fn authenticate(
        &mut self,
        message: Vec<u8>,
        refused: &dyn Fn(&Self, String) -> KafkaError,
    ) -> Result<Bytes, KafkaError> {
        let answer = self.call(&SaslAuthenticateRequest::default().with_auth_bytes(message.into()), 1)?;
        if answer.error_code == 0 {
            return Ok(answer.auth_bytes);
        }
        let reason = answer.error_message.map_or_else(|| "wrong user or password".to_owned(), |text| text.to_string());
        Err(refused(self, reason))
    }

    fn write(&mut self, frame: &[u8]) -> Result<(), KafkaError> {
        let left = self.left()?;
        let written = self.stream.set_write_timeout(Some(left)).and_then(|()| self.stream.write_all(frame));
        written.map_err(|error| self.broken(error))
    }

    fn read_frame(&mut self) -> Result<Bytes, KafkaError> {
        let mut length = [0; 4];
        self.read_exact(&mut length)?;
        let length = (&length[..]).get_i32();
        match usize::try_from(length) {
            Ok(length) if (4..=MAX_FRAME).contains(&length) => {
                let mut frame = BytesMut::zeroed(length);
                self.read_exact(&mut frame)?;
                Ok(frame.freeze())
            }
            _ => Err(self.not_kafka(format!("a frame of {length} bytes"))),
        }
    }

    /// The deadline holds for the whole, however slowly the bytes come.
    fn read_exact(&mut self, mut buffer: &mut [u8]) -> Result<(), KafkaError> {
        while !buffer.is_empty() {
            let left = self.left()?;
            let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(buffer));
            match read {
                Ok(0) => return Err(self.broken(ErrorKind::UnexpectedEof.into())),
                Ok(read) => buffer = &mut buffer[read..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(())
    }

    fn left(&self) -> Result<Duration, KafkaError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(KafkaError::Deadline { address: self.address.clone() }) } else { Ok(left) }
    }

    fn broken(&self, source: std::io::Error) -> KafkaError {
        let address = self.address.clone();
        match source.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => KafkaError::Deadline { address },
            _ => KafkaError::Broken { address, source },
        }
    }

    fn not_kafka(&self, what: impl ToString) -> KafkaError {
        KafkaError::NotKafka { address: self.address.clone(), what: what.to_string() }
    }
}

fn connect(address: &str, deadline: Instant) -> Result<TcpStream, KafkaError> {
    let unresolved = |reason: String| KafkaError::Unresolved { address: address.to_owned(), reason };
    let addresses = address.to_socket_addrs().map_err(|error| unresolved(error.to_string()))?;
    let mut last = None;
    for socket in addresses {
        let left = deadline.saturating_duration_since(Instant::now()).min(CONNECT_TIMEOUT);
        if left.is_zero() {
            return Err(KafkaError::Deadline { address: address.to_owned() });
        }
        match TcpStream::connect_timeout(&socket, left) {
            Ok(stream) => {
                // Each request waits for its answer: nothing is gained by waiting for more to send.
                stream
                    .set_nodelay(true)
                    .map_err(|source| KafkaError::Connect { address: address.to_owned(), source })?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(source) => Err(KafkaError::Connect { address: address.to_owned(), source }),
        None => Err(unresolved("no address".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use kafka_protocol::messages::MetadataRequest;

    use super::*;

    /// What a call says when the other side answers with these bytes.
    fn told(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(answer).unwrap();
            // Until the client has hung up.
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let mut link = Link::open(&address, None, Instant::now() + Duration::from_millis(500)).unwrap();
        let error = link.call(&MetadataRequest::default(), 8).unwrap_err();
        drop(link);
        server.join().unwrap();
        error.to_string().replace(&address, "HOST")
    }

    #[test]
    fn a_web_server_is_not_kafka() {
        assert_eq!(told(b"HTTP/1.1 400 Bad Request\r\n"), "HOST does not speak Kafka: a frame of 1213486160 bytes");
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        assert_eq!(told(b""), "HOST did not answer in time");
        assert_eq!(told(&[0, 0, 0, 8, 0, 0]), "HOST did not answer in time");
    }

    #[test]
    fn an_answer_to_something_else_is_refused() {
        assert_eq!(
            told(&[0, 0, 0, 4, 0, 0, 0, 99]),
            "HOST does not speak Kafka: the answer belongs to another request"
        );
    }

    #[test]
    fn a_count_that_the_frame_cannot_hold_is_refused_before_anything_is_reserved() {
        let said = told(&[0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]);
        assert!(said.starts_with("HOST does not speak Kafka: malformed: "), "{said}");
    }

    #[test]
    fn nobody_there() {
        let error = Link::open("127.0.0.1:1", None, Instant::now() + Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().starts_with("cannot connect to 127.0.0.1:1: "), "{error}");
        let error = Link::open("nowhere.invalid:1", None, Instant::now() + Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, KafkaError::Unresolved { .. }), "{error}");
    }
}
