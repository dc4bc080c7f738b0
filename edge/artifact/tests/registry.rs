//! What a registry asks of who asks it: tokens, passwords, and where they may go.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use artifact::{Access, Error, Reference, Registry, Source, Target};
use tempfile::TempDir;

/// A request's first line and its headers.
type Asked = (String, BTreeMap<String, String>);

/// Answers requests by this function for ever, and tells what was asked.
fn serve(answer: impl Fn(&Asked, SocketAddr) -> String + Send + 'static) -> (SocketAddr, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, asked) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                lines.push(line.trim().to_owned());
            }
            let headers = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
            let headers: BTreeMap<_, _> =
                headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
            let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let request = (lines[0].clone(), headers);
            let text = answer(&request, address);
            // Told before it is answered: who has the answer finds it. Who asked may have gone once it knows enough.
            let _ = sender.send(request);
            let _ = stream.get_mut().write_all(text.as_bytes());
        }
    });
    (address, asked)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

/// A folder with a file of credentials for a registry, as docker writes it.
fn credentials(host: SocketAddr) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    // ann:secret
    std::fs::write(&file, format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"YW5uOnNlY3JldA==\"}}}}}}")).unwrap();
    (folder, file)
}

const BASIC: &str = "Basic YW5uOnNlY3JldA==";

fn tag() -> Reference {
    Reference::Tag("one".parse().unwrap())
}

fn registry(host: SocketAddr, credentials: Option<PathBuf>) -> Registry {
    let access = Access { credentials, ..Access::default() };
    Registry::new(format!("{host}/acme/hello").parse().unwrap(), &access).unwrap()
}

/// A registry that wants tokens, which it gives out itself.
fn with_tokens((request, headers): &Asked, host: SocketAddr) -> String {
    if request.starts_with("GET /token?") {
        return match headers.get("authorization").map(String::as_str) {
            Some(BASIC) => answer("200 OK", "", "{\"token\": \"abc\", \"expires_in\": 300}"),
            Some(_) => answer("401 Unauthorized", "", "who?"),
            None => answer("200 OK", "", "{\"access_token\": \"anyone\"}"),
        };
    }
    match headers.get("authorization").map(String::as_str) {
        Some("Bearer abc") => answer("200 OK", "", "{}"),
        _ => {
            let scope = "repository:acme/hello:pull";
            let how = format!("Bearer realm=\"http://{host}/token\",service=\"here\",scope=\"{scope}\"");
            answer("401 Unauthorized", &format!("WWW-Authenticate: {how}\r\n"), "no token")
        }
    }
}

#[test]
fn a_token_is_asked_for_once_and_shown_from_then_on() {
    let (host, asked) = serve(with_tokens);
    let (_folder, file) = credentials(host);
    let registry = registry(host, Some(file));
    assert_eq!(registry.manifest(&tag()).unwrap().unwrap(), b"{}");
    assert_eq!(registry.manifest(&tag()).unwrap().unwrap(), b"{}");
    let lines: Vec<_> = asked.try_iter().map(|(line, _)| line).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    let query = "service=here&scope=repository%3Aacme%2Fhello%3Apull";
    assert_eq!(lines[1], format!("GET /token?{query} HTTP/1.1"));
}

#[test]
fn who_is_not_let_in_is_told_so_and_what_to_do() {
    let (host, _asked) = serve(with_tokens);
    let error = registry(host, None).manifest(&tag()).unwrap_err();
    assert!(matches!(error, Error::NotLetIn { .. }) && !error.is_temporary(), "{error:?}");
    assert!(error.to_string().contains("no token: it wants a name and a password"), "{error}");
    let refuses = |_: &Asked, _| answer("401 Unauthorized", "www-authenticate: Basic realm=\"r\"\r\n", "no");
    let (host, asked) = serve(refuses);
    let (_folder, file) = credentials(host);
    let error = registry(host, Some(file)).manifest(&tag()).unwrap_err().to_string();
    assert!(error.contains("it does not take the name and password in"), "{error}");
    let shown: Vec<_> = asked.try_iter().map(|(_, headers)| headers.get("authorization").cloned()).collect();
    assert_eq!(shown, [None, Some(BASIC.to_owned())]);
}

#[test]
fn a_password_is_not_sent_where_a_registry_has_an_upload_go() {
    let (elsewhere, theirs) = serve(|_, _| answer("201 Created", "", ""));
    let (host, _ours) = serve(move |(_, headers), _| match headers.get("authorization") {
        Some(_) => answer("202 Accepted", &format!("location: http://{elsewhere}/upload\r\n"), ""),
        None => answer("401 Unauthorized", "www-authenticate: Basic realm=\"r\"\r\n", ""),
    });
    let (_folder, file) = credentials(host);
    registry(host, Some(file)).put_blob(&artifact::oci::Descriptor::of("x", b"content"), b"content").unwrap();
    let (line, headers) = theirs.recv().unwrap();
    assert!(line.starts_with("PUT /upload?digest=sha256%3A"), "{line}");
    assert_eq!(headers.get("authorization"), None);
}

#[test]
fn a_password_is_not_sent_to_whom_a_place_names_where_a_registry_has_led() {
    let (elsewhere, theirs) = serve(|_, host| {
        let how = format!("www-authenticate: Bearer realm=\"http://{host}/token\"\r\n");
        answer("401 Unauthorized", &how, "")
    });
    let (host, _ours) = serve(move |(request, headers), _| match headers.get("authorization") {
        None => answer("401 Unauthorized", "www-authenticate: Basic realm=\"r\"\r\n", ""),
        Some(_) if request.starts_with("GET") => {
            answer("307 Temporary Redirect", &format!("location: http://{elsewhere}/manifest\r\n"), "")
        }
        Some(_) => answer("202 Accepted", &format!("location: http://{elsewhere}/upload?sig=xyz\r\n"), ""),
    });
    let (_folder, file) = credentials(host);
    let registry = registry(host, Some(file));
    let error = registry.manifest(&tag()).unwrap_err().to_string();
    assert!(error.contains("401 Unauthorized"), "{error}");
    let error = registry.put_blob(&artifact::oci::Descriptor::of("x", b"content"), b"content").unwrap_err().to_string();
    assert!(error.contains("401 Unauthorized") && !error.contains("xyz"), "{error}");
    let asked: Vec<_> =
        theirs.try_iter().map(|(line, headers)| (line, headers.get("authorization").cloned())).collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.iter().all(|(_, authorization)| authorization.is_none()), "{asked:?}");
    for shown in [format!("{registry:?}"), error] {
        assert!(!shown.contains("secret") && !shown.contains(BASIC), "{shown}");
    }
}
