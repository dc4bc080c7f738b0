//! A server that says what a test wants it to, byte for byte.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use flate2::Compression;
use flate2::write::GzEncoder;

/// What is done with a connection whose request has been read.
pub type Answer = Box<dyn FnOnce(&mut TcpStream) + Send>;

/// The same, by the request.
pub type AnswerTo = Box<dyn FnOnce(&mut TcpStream, &str) + Send>;

/// A server on a port of its own that serves as many connections as it has answers, one after the other.
pub struct Server {
    pub port: u16,
    thread: JoinHandle<Vec<String>>,
}

impl Server {
    /// Reads each connection's request, lets an answer write what it wants, and closes the connection.
    pub fn start(answers: Vec<Answer>) -> Self {
        let by_request = |answer: Answer| -> AnswerTo { Box::new(move |stream, _| answer(stream)) };
        Self::start_answering(answers.into_iter().map(by_request).collect())
    }

    /// The same with answers that depend on the request.
    pub fn start_answering(answers: Vec<AnswerTo>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let thread = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut request = String::new();
                let mut lines = BufReader::new(stream.try_clone().expect("a second handle"));
                while !request.ends_with("\r\n\r\n") {
                    assert!(lines.read_line(&mut request).expect("a line") > 0, "the request ends early: {request}");
                }
                answer(&mut stream, &request);
                requests.push(request);
            }
            requests
        });
        Self { port, thread }
    }

    /// Sends these parts one after the other on one connection.
    pub fn saying(parts: Vec<Vec<u8>>) -> Self {
        Self::start(vec![Self::answer(parts)])
    }

    /// The same as one of several answers.
    pub fn answer(parts: Vec<Vec<u8>>) -> Answer {
        Box::new(move |stream| {
            for part in &parts {
                // A client that has heard enough may be gone.
                let _ = stream.write_all(part);
            }
        })
    }

    /// Where something of it is.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What it was asked, when all connections have been served.
    pub fn requests(self) -> Vec<String> {
        self.thread.join().expect("the server panicked")
    }
}

/// The head of a good answer with these fields.
pub fn head(fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes()
}

/// The same bytes compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes all")
}
