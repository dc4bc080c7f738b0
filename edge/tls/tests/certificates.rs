//! What is said of certificates that are not as they should be, and of files.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use tls::rustls::pki_types::ServerName;
use tls::rustls::{ClientConnection, ServerConnection, StreamOwned};
use tls::{Client, Identity, Trust, validity_problem};
use tls_testing::{Authority, Valid};

/// What a client says of a server with this certificate, that asks for one of the same authority.
fn said(client: &Client, authority: &Authority, server: (PathBuf, PathBuf)) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let identity = Identity::read(&server.0, &server.1).unwrap();
    let config = tls::server(&Trust::of_file(&authority.ca()).unwrap(), identity);
    let served = thread::spawn(move || {
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), listener.accept().unwrap().0);
        let mut byte = [0];
        let _ = stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)).and_then(|()| stream.flush());
    });
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let session = ClientConnection::new(client.config().unwrap(), name).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(address).unwrap());
    let mut byte = [7];
    let answered = stream.write_all(&byte).and_then(|()| stream.read_exact(&mut byte));
    drop(stream);
    served.join().unwrap();
    answered.map_err(|error| tls::of(&error))
}

#[test]
fn both_sides_show_certificates_and_what_is_wrong_with_one_is_named_with_what_to_do() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = authority.issue("node", &["127.0.0.1"], Valid::Now);
    let mine = Some(authority.issue("client", &["client.example"], Valid::Now));
    let client = Client { ca: Some(authority.ca()), identity: mine.clone() };
    said(&client, &authority, good.clone()).unwrap();

    let refused = |hosts: &[&str], valid| said(&client, &authority, authority.issue("bad", hosts, valid)).unwrap_err();
    let expired = refused(&["127.0.0.1"], Valid::Before);
    assert!(expired.starts_with("its certificate expired at 2021-01-01T00:00:00Z, the clock here says 2"), "{expired}");
    let later = refused(&["127.0.0.1"], Valid::Later);
    assert!(later.starts_with("its certificate is valid from 2090-01-01T00:00:00Z on, the clock here"), "{later}");
    let wrong = refused(&["other.example"], Valid::Now);
    assert!(wrong.contains("is not for 127.0.0.1, but for") && wrong.contains("other.example"), "{wrong}");

    let unknown = said(&Client { ca: Some(other.ca()), identity: mine }, &authority, good.clone()).unwrap_err();
    assert!(unknown.contains("the issuer of its certificate is not known here"), "{unknown}");
    let nobody = said(&Client { identity: None, ..client.clone() }, &authority, good.clone()).unwrap_err();
    assert!(nobody.contains("wants a certificate of who connects"), "{nobody}");
    let stranger = Some(other.issue("stranger", &["client.example"], Valid::Now));
    let stranger = said(&Client { identity: stranger, ..client.clone() }, &authority, good.clone()).unwrap_err();
    assert!(stranger.contains("does not know the issuer"), "{stranger}");
    let late = Some(authority.issue("late", &["client.example"], Valid::Before));
    let late = said(&Client { identity: late, ..client }, &authority, good).unwrap_err();
    assert!(late.contains("by its clock the certificate that was shown to it has expired"), "{late}");
}

#[test]
fn what_does_not_speak_tls_is_told_from_a_bad_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.accept().unwrap().0.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let config = Client::default().config().unwrap();
    let session = ClientConnection::new(config, ServerName::try_from("127.0.0.1").unwrap()).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(address).unwrap());
    let error = stream.read(&mut [0]).unwrap_err();
    assert!(tls::of(&error).contains("does not speak TLS"), "{}", tls::of(&error));
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("one", &["a.example"], Valid::Now);
    let (_, other_key) = authority.issue("two", &["a.example"], Valid::Now);
    let error = |certificate: &Path, key: &Path| Identity::read(certificate, key).unwrap_err().to_string();
    assert!(error(&certificate, &other_key).contains("two.key: not the key of"), "{}", error(&certificate, &other_key));
    assert!(error(&key, &key).contains("one.key: no certificate in PEM"));
    assert!(error(&certificate, &certificate).contains("one.pem: no private key in PEM"));
    assert!(error(Path::new("nowhere.pem"), &key).contains("nowhere.pem: No such file"));
    assert!(Trust::of_file(&key).unwrap_err().to_string().contains("one.key: no certificate in PEM"));
}

#[test]
fn names_are_those_of_hosts_and_validity_is_judged_by_the_time_that_is_given() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("common.example", &["a.example", "b.example", "10.0.0.1"], Valid::Now);
    let identity = Identity::read(&certificate, &key).unwrap();
    assert_eq!(tls::names(identity.certificate()), ["a.example", "b.example"]);
    let at = |years: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(years * 31_557_600);
    assert_eq!(validity_problem(identity.certificate(), at(60)), None);
    let problem = validity_problem(identity.certificate(), at(140)).unwrap();
    assert!(problem.starts_with("expired at 2099-01-01T00:00:00Z, the clock says 2110"), "{problem}");
    assert!(validity_problem(identity.certificate(), at(0)).unwrap().starts_with("is valid from 2020"));
}
