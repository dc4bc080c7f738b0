//! The task on the developer's machine, against a small server that says what each test wants it to.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use filter::{Error, Parameters, Report, run};
use futures_lite::future::block_on;
use host::Host;

/// A server on a port of its own that serves one connection.
struct Server {
    port: u16,
    thread: JoinHandle<String>,
}

impl Server {
    /// Reads the request, then lets `answer` write what it wants; afterwards the connection is closed.
    fn start(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = String::new();
            let mut lines = BufReader::new(stream.try_clone().expect("a second handle"));
            while !request.ends_with("\r\n\r\n") {
                assert!(lines.read_line(&mut request).expect("a line") > 0, "the request ends early: {request}");
            }
            answer(&mut stream);
            request
        });
        Self { port, thread }
    }

    /// Sends these parts one after the other.
    fn saying(parts: Vec<Vec<u8>>) -> Self {
        Self::start(move |stream| {
            for part in &parts {
                // A client that has heard enough may be gone.
                let _ = stream.write_all(part);
            }
        })
    }

    /// Runs the task against it.
    fn filter(&self) -> Result<Report, Error> {
        fetch(&format!("http://127.0.0.1:{}/readings.csv?day=7", self.port))
    }

    fn request(self) -> String {
        self.thread.join().expect("the server panicked")
    }
}

fn fetch(url: &str) -> Result<Report, Error> {
    let parameters = Parameters { url: url.to_owned(), sensors: Some(2) };
    block_on(run(parameters, &Host::new().expect("a platform")))
}

fn head(fields: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes()
}

/// Lines, how many there are, and the sum of their values.
fn readings(count: u32) -> (Vec<u8>, u32) {
    let line =
        |number: u32| format!("{},{}\n", if number.is_multiple_of(3) { "wind" } else { "temperature" }, number % 1000);
    ((0..count).map(line).collect::<String>().into_bytes(), (0..count).map(|number| number % 1000).sum())
}

/// Checks a report of all of [`readings`].
fn assert_complete(report: &Report, body: &[u8], count: u32, sum: u32) {
    assert!(report.complete);
    assert_eq!((report.bytes, report.readings), (body.len() as u64, count.into()));
    assert_eq!((report.malformed, report.over_limit), (0, 0));
    let found: f64 = report.sensors.iter().map(|sensor| sensor.mean * sensor.count as f64).sum();
    assert!((found - f64::from(sum)).abs() < 1e-6 * f64::from(sum), "{found} instead of {sum}");
}

#[test]
fn a_body_of_known_length_is_read_to_its_end() {
    let (body, sum) = readings(1_000_000);
    let server = Server::saying(vec![head(&format!("Content-Length: {}\r\n", body.len())), body.clone()]);
    assert_complete(&server.filter().expect("a report"), &body, 1_000_000, sum);
    let port = server.port;
    let expected = format!(
        "GET /readings.csv?day=7 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: spore\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(server.request(), expected);
}

#[test]
fn a_body_in_chunks_is_read_to_its_end() {
    let (body, sum) = readings(100_000);
    let mut parts = vec![head("Transfer-Encoding: chunked\r\n")];
    for (number, chunk) in body.chunks(7919).enumerate() {
        parts.push(format!("{:x};number={number}\r\n", chunk.len()).into_bytes());
        parts.push([chunk, b"\r\n"].concat());
    }
    parts.push(b"0\r\nChecksum: none\r\n\r\n".to_vec());
    assert_complete(&Server::saying(parts).filter().expect("a report"), &body, 100_000, sum);
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let (body, sum) = readings(1000);
    let server = Server::saying(vec![head(""), body.clone()]);
    assert_complete(&server.filter().expect("a report"), &body, 1000, sum);
}

#[test]
fn a_server_that_keeps_the_connection_open_is_not_waited_for() {
    let (body, sum) = readings(10);
    let answer = [head(&format!("Content-Length: {}\r\n", body.len())), body.clone()].concat();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let server = Server::start(move |stream| {
        stream.write_all(&answer).expect("an open connection");
        // Until the test has its report.
        let _ = wait.recv();
    });
    assert_complete(&server.filter().expect("a report"), &body, 10, sum);
    drop(done);
    server.request();
}

#[test]
fn a_body_that_ends_early_is_an_error_that_says_where() {
    let (body, _) = readings(10);
    let bytes = body.len() as u64;
    let server = Server::saying(vec![head("Content-Length: 1000000\r\n"), body.clone()]);
    assert_eq!(server.filter(), Err(Error::EndedEarly(bytes)));
    let chunk = [format!("{bytes:x}\r\n").into_bytes(), body, b"\r\n".to_vec()].concat();
    let server = Server::saying(vec![head("Transfer-Encoding: chunked\r\n"), chunk]);
    assert_eq!(server.filter(), Err(Error::EndedEarly(bytes)));
}

#[test]
fn another_status_is_named() {
    let server = Server::saying(vec![b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno".to_vec()]);
    assert_eq!(server.filter(), Err(Error::Status(404)));
}

#[test]
fn what_is_no_http_is_said_to_be_none() {
    assert_eq!(Server::saying(vec![b"220 mail\r\n".to_vec()]).filter(), Err(Error::NotHttp));
    assert_eq!(Server::saying(vec![b"HTTP/1.1 200 OK\r\n".to_vec()]).filter(), Err(Error::NotHttp));
    assert_eq!(Server::saying(vec![head(&format!("X: {}\r\n", "y".repeat(9000)))]).filter(), Err(Error::NotHttp));
    let server = Server::saying(vec![head("Transfer-Encoding: chunked\r\n"), b"3\r\na,12\r\n".to_vec()]);
    assert_eq!(server.filter(), Err(Error::Chunk(3)));
    assert_eq!(Server::saying(vec![]).filter(), Err(Error::Lost));
}

#[test]
fn a_head_in_small_parts_is_put_together() {
    let (body, sum) = readings(10);
    let answer = [head(&format!("Content-Length: {}\r\n", body.len())), body.clone()].concat();
    let server = Server::start(move |stream| {
        stream.set_nodelay(true).expect("an option");
        answer.chunks(3).for_each(|part| stream.write_all(part).expect("an open connection"));
    });
    assert_complete(&server.filter().expect("a report"), &body, 10, sum);
}

#[test]
fn a_port_where_nobody_listens_refuses_and_a_name_without_an_address_is_none() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("an address").port();
    assert_eq!(fetch(&format!("http://127.0.0.1:{port}/")), Err(Error::Refused));
    assert_eq!(fetch("http://no-such-host.invalid/"), Err(Error::NoSuchHost));
}

#[test]
fn parameters_that_cannot_be_used_are_refused() {
    assert!(matches!(fetch("https://127.0.0.1/"), Err(Error::Url(_))));
    let parameters = Parameters { url: "http://127.0.0.1/".to_owned(), sensors: Some(0) };
    assert_eq!(block_on(run(parameters, &Host::new().expect("a platform"))), Err(Error::Sensors));
}

#[test]
fn sensors_above_the_limit_and_lines_that_are_no_readings_are_counted() {
    let body = "a,1\nb,2\nc,3\nnothing\n\na,5";
    let server = Server::saying(vec![head(""), body.into()]);
    let report = server.filter().expect("a report");
    assert_eq!((report.readings, report.over_limit, report.malformed), (4, 1, 1));
    let [a, b] = &report.sensors[..] else { panic!("{report:?}") };
    assert_eq!((a.name.as_str(), a.count, a.minimum, a.maximum, a.mean, a.variance), ("a", 2, 1.0, 5.0, 3.0, 4.0));
    assert_eq!((b.name.as_str(), b.count, b.mean), ("b", 1, 2.0));
}
