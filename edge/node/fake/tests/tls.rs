//! The node by TCP with TLS: whom it lets in and as whom, its certificate as it is renewed and expires, peers that
//! hold connections; and its results, to receivers that want to know who sends them.

mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use common::{board, path};
use node_fake::board::{Board, QUOTA, command, wait_for};
use protocol::Purpose;
use protocol::command::Destination;
use tls::rustls::pki_types::ServerName;
use tls::rustls::{ClientConnection, ServerConnection, StreamOwned};
use tls::{Client, Identity, Trust};
use tls_testing::{Authority, Valid};

/// A board that serves by TCP, and the authority of its certificate and its clients'.
struct Desk {
    board: Board,
    authority: Authority,
    address: SocketAddr,
}

impl Desk {
    fn new(valid: Valid) -> Self {
        let authority = Authority::new();
        let (certificate, key) = authority.issue("node", &["127.0.0.1"], valid);
        // Free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let board = board(&format!(
            "[listen]\naddress = \"{address}\"\ncertificate = {certificate:?}\nkey = {key:?}\nclient_ca = {:?}\n\
             operators = [\"ops.example\"]",
            authority.ca()
        ));
        wait_for("the node to listen", || board.log().contains("serves at https://"));
        Self { board, authority, address }
    }

    /// A client with a new certificate for these names.
    fn client(&self, name: &str, hosts: &[&str]) -> Client {
        Client { ca: Some(self.authority.ca()), identity: Some(self.authority.issue(name, hosts, Valid::Now)) }
    }

    fn connect(&self, client: &Client) -> StreamOwned<ClientConnection, TcpStream> {
        let session = ClientConnection::new(client.config().unwrap(), ServerName::try_from("127.0.0.1").unwrap());
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        StreamOwned::new(session.unwrap(), stream)
    }

    /// The status of what the node answers, or why it does not.
    fn get(&self, client: &Client, path: &str, authorization: &str) -> Result<u16, String> {
        let header =
            if authorization.is_empty() { String::new() } else { format!("authorization: {authorization}\r\n") };
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n{header}\r\n");
        let mut stream = self.connect(client);
        let mut head = [0; 12];
        let answered = stream.write_all(request.as_bytes()).and_then(|()| stream.read_exact(&mut head));
        answered.map_err(|error| tls::of(&error))?;
        Ok(String::from_utf8_lossy(&head[9..]).parse().unwrap())
    }

    fn refused(&self) -> u64 {
        let page = self.board.get("/metrics").text;
        page.lines().find_map(|line| line.strip_prefix("spore_connections_refused_total ")).unwrap().parse().unwrap()
    }
}

#[test]
fn a_certificate_lets_in_and_only_one_that_the_operator_has_named_makes_an_operator() {
    let desk = Desk::new(Valid::Now);
    let acme = desk.board.tenant("acme", QUOTA);
    let operator = desk.client("operator", &["laptop.example", "ops.example"]);
    for path in ["/metrics", "/v1/commands", "/v1/tenants"] {
        assert_eq!(desk.get(&operator, path, ""), Ok(200), "{path}");
    }
    // Whose command it is decides the signature, by whichever certificate it comes.
    let beta = desk.board.tenant("beta", QUOTA);
    assert_eq!(desk.board.send(&acme, "one", "act=stay").status, 201);
    let of_beta = desk.client("beta", &["beta.example"]);
    assert_eq!(desk.get(&of_beta, &path(&acme, "one"), &beta.access(Purpose::Read)), Ok(404));
    assert_eq!(desk.get(&of_beta, &path(&acme, "one"), &acme.access(Purpose::Read)), Ok(200));
    // The name of an operator, but not where names stand; part of it; a name that means many.
    for (name, hosts) in [("ops.example", &["laptop.example"][..]), ("part", &["s.example"]), ("any", &["*.example"])] {
        let other = desk.client(name, hosts);
        assert_eq!(desk.get(&other, "/metrics", ""), Ok(403), "{name}");
        assert_eq!(desk.get(&other, "/v1/commands", ""), Ok(401), "{name}");
        assert_eq!(desk.get(&other, "/v1/about", ""), Ok(200), "{name}");
        assert_eq!(desk.get(&other, "/v1/commands", &acme.access(Purpose::Read)), Ok(200), "{name}");
    }
}

#[test]
fn who_has_no_certificate_of_the_operators_authority_is_not_let_in_and_it_is_counted() {
    let desk = Desk::new(Valid::Now);
    let ca = Some(desk.authority.ca());
    assert!(desk.get(&Client { ca: ca.clone(), identity: None }, "/v1/about", "").is_err());
    let other = Authority::new();
    let stranger = Some(other.issue("stranger", &["ops.example"], Valid::Now));
    assert!(desk.get(&Client { ca: ca.clone(), identity: stranger }, "/v1/about", "").is_err());
    let expired = Some(desk.authority.issue("late", &["ops.example"], Valid::Before));
    assert!(desk.get(&Client { ca, identity: expired }, "/v1/about", "").is_err());
    let mut plain = TcpStream::connect(desk.address).unwrap();
    plain.write_all(b"GET /v1/about HTTP/1.1\r\nhost: node\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    wait_for("all four to be counted", || desk.refused() == 4);
    // One line for a minute, however many there are.
    assert_eq!(desk.board.log().matches("a connection from").count(), 1, "{}", desk.board.log());
    assert!(desk.board.log().contains("it has shown no certificate"), "{}", desk.board.log());
}

#[test]
fn a_renewed_certificate_is_used_by_the_next_connection_and_one_that_cannot_be_is_not() {
    let desk = Desk::new(Valid::Now);
    let client = desk.client("operator", &["ops.example"]);
    let shown = || {
        let mut stream = desk.connect(&client);
        stream.write_all(b"GET /v1/about HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 12]).unwrap();
        tls::names(&stream.conn.peer_certificates().unwrap()[0])
    };
    assert!(shown().is_empty());
    let (_, key) = desk.authority.issue("node", &["127.0.0.1", "renewed.example"], Valid::Now);
    assert_eq!(shown(), ["renewed.example"]);
    // As between the two steps of a renewal: the certificate is new, the key is not.
    let old = fs::read(&key).unwrap();
    let _ = desk.authority.issue("node", &["127.0.0.1", "again.example"], Valid::Now);
    let new = fs::read(&key).unwrap();
    fs::write(&key, &old).unwrap();
    assert_eq!(shown(), ["renewed.example"]);
    assert!(desk.board.log().contains("node.key: not the key of"), "{}", desk.board.log());
    fs::write(&key, &new).unwrap();
    assert_eq!(shown(), ["again.example"]);
}

#[test]
fn an_expired_certificate_is_said_and_stops_nothing_that_runs() {
    let mut desk = Desk::new(Valid::Before);
    let acme = desk.board.tenant("acme", QUOTA);
    assert_eq!(desk.board.send(&acme, "stays", "act=stay").status, 201);
    desk.board.wait(&acme, "stays", "running");
    let said = "node.pem: it expired at 2021-01-01T00:00:00Z, the clock says 2";
    assert!(desk.board.log().contains(said), "{}", desk.board.log());
    let client = desk.client("operator", &["ops.example"]);
    let error = desk.get(&client, "/v1/about", "").unwrap_err();
    assert!(error.starts_with("its certificate expired at 2021-01-01T00:00:00Z"), "{error}");
    // Nor does one that is not there: the next life of the node serves its socket and takes over what runs.
    let (certificate, key) = desk.authority.issue("node", &["127.0.0.1"], Valid::Now);
    let whole = fs::read(&certificate).unwrap();
    fs::remove_file(&certificate).unwrap();
    desk.board.kill();
    desk.board.begin();
    desk.board.wait(&acme, "stays", "running");
    wait_for("it to be said", || desk.board.log().contains("nobody is let in by TCP"));
    assert_eq!(desk.board.guests(), 1);
    fs::write(&certificate, whole).unwrap();
    assert!(key.exists());
    assert_eq!(desk.get(&client, "/v1/about", ""), Ok(200));
}

#[test]
fn peers_that_begin_and_do_not_go_on_keep_nobody_out_and_take_no_memory() {
    let desk = Desk::new(Valid::Now);
    let client = desk.client("operator", &["ops.example"]);
    assert_eq!(desk.get(&client, "/v1/about", ""), Ok(200));
    let before = desk.board.memory_kib("VmRSS");
    let mut held = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(desk.address).unwrap();
        if number % 2 == 0 {
            // The head of a record that promises as much as one may hold.
            let _ = stream.write_all(&[0x16, 3, 1, 0x40, 0, 1, 0]);
        }
        held.push(stream);
    }
    assert_eq!(desk.get(&client, "/v1/about", ""), Ok(200));
    wait_for("those that gave way to be counted", || desk.refused() >= 250);
    assert_eq!(desk.get(&client, "/v1/about", ""), Ok(200));
    let after = desk.board.memory_kib("VmRSS");
    println!("300 unfinished handshakes: {before} KiB before, {after} KiB after");
    assert!(after < before + 2048, "{before} KiB grew to {after}");
    // Programs in dom0 have places of their own.
    assert_eq!(desk.board.get("/v1/node").status, 200);
}

/// Takes one POST, as a receiver that wants a certificate; its first line. It leaves as servers do: a connection that is
/// closed while something unread lies in it is reset, and then its client may never see the reason.
fn receive(listener: &TcpListener, authority: &Authority, server: &(PathBuf, PathBuf)) -> io::Result<String> {
    let identity = Identity::read(&server.0, &server.1).unwrap();
    let config = tls::server(&Trust::of_file(&authority.ca()).unwrap(), identity);
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), listener.accept()?.0);
    let received = receive_by(&mut stream);
    let mut socket = stream.sock;
    let _ = socket.shutdown(Shutdown::Write).and_then(|()| io::copy(&mut socket, &mut io::sink()));
    received
}

fn receive_by(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> io::Result<String> {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    while !text.ends_with(b"}") && !text.ends_with(b"}\n") {
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.extend_from_slice(&piece[..length]);
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")?;
    stream.flush()?;
    Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned())
}

#[test]
fn a_result_leaves_by_https_to_a_receiver_that_wants_to_know_who_sends_it() {
    let authority = Authority::new();
    let server = authority.issue("receiver", &["127.0.0.1"], Valid::Now);
    let (certificate, key) = authority.issue("board", &["board.example"], Valid::Before);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let receiver = listener.local_addr().unwrap();
    let board = board(&format!(
        "receivers = [\"https://{receiver}\"]\nca = {:?}\nclient = {{ certificate = {certificate:?}, key = {key:?} }}",
        authority.ca()
    ));
    let acme = board.tenant("acme", QUOTA);
    let mut pushed = command(&acme, "one", "act=finish number=5");
    pushed.result = Destination::Http { url: format!("http://{receiver}/results") };
    let answer = board.send_command(&acme, &pushed);
    assert!(answer.status == 422 && answer.text.contains("by http from this node"), "{}", answer.text);
    pushed.result = Destination::Http { url: format!("HTTPS://{receiver}/results") };
    assert_eq!(board.send_command(&acme, &pushed).status, 201);
    let served = thread::spawn(move || {
        assert!(receive(&listener, &authority, &server).is_err(), "an expired certificate was taken");
        // Renewed: the next try shows the new one.
        let _ = authority.issue("board", &["board.example"], Valid::Now);
        loop {
            if let Ok(line) = receive(&listener, &authority, &server) {
                return line;
            }
        }
    });
    wait_for("the failure to be said", || board.log().contains("it is kept and tried again"));
    assert!(board.log().contains("the certificate that was shown to it has expired"), "{}", board.log());
    assert_eq!(served.join().unwrap(), "POST /results HTTP/1.1");
    wait_for("the delivery to be counted", || board.get("/metrics").text.contains("spore_results_delivered_total 1"));
    assert_eq!(board.get(&path(&acme, "one")).status, 200);
}
