//! The task on the developer's machine, against a small server that says what each test wants it to.

mod server;

use filter::{Error, Fault, Interruption, NotResumed, Parameters, Report, run};
use futures_lite::future::block_on;
use host::Host;
use kernel::Failed;
use kernel::net::ConnectError;
use server::{Server, gzip, head};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};

/// Fetches from a server with these parameters besides.
fn fetch_with(url: &str, parameters: Parameters) -> Result<Report, Failed<Report, Error>> {
    let parameters = Parameters { url: url.to_owned(), ..parameters };
    block_on(run(parameters, &Host::new().expect("a platform")))
}

/// The same for lines of two sensors, without the report of a run that failed.
fn fetch(url: &str) -> Result<Report, Error> {
    let parameters = Parameters { sensors: Some(2), ..Parameters::default() };
    fetch_with(url, parameters).map_err(|failed| failed.error)
}

fn filter(server: &Server) -> Result<Report, Error> {
    fetch(&server.url("/readings.csv?day=7"))
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
    assert_complete(&filter(&server).expect("a report"), &body, 1_000_000, sum);
    let expected = format!(
        "GET /readings.csv?day=7 HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: spore\r\nAccept-Encoding: gzip\r\n\
         Connection: close\r\n\r\n",
        server.port
    );
    assert_eq!(server.requests(), [expected]);
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
    assert_complete(&filter(&Server::saying(parts)).expect("a report"), &body, 100_000, sum);
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let (body, sum) = readings(1000);
    let server = Server::saying(vec![head(""), body.clone()]);
    assert_complete(&filter(&server).expect("a report"), &body, 1000, sum);
}

#[test]
fn a_server_that_keeps_the_connection_open_is_not_waited_for() {
    let (body, sum) = readings(10);
    let answer = [head(&format!("Content-Length: {}\r\n", body.len())), body.clone()].concat();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let server = Server::start(vec![Box::new(move |stream| {
        stream.write_all(&answer).expect("an open connection");
        // Until the test has its report.
        let _ = wait.recv();
    })]);
    assert_complete(&filter(&server).expect("a report"), &body, 10, sum);
    drop(done);
    server.requests();
}

#[test]
fn a_head_in_small_parts_is_put_together() {
    let (body, sum) = readings(10);
    let answer = [head(&format!("Content-Length: {}\r\n", body.len())), body.clone()].concat();
    let server = Server::start(vec![Box::new(move |stream| {
        stream.set_nodelay(true).expect("an option");
        answer.chunks(3).for_each(|part| stream.write_all(part).expect("an open connection"));
    })]);
    assert_complete(&filter(&server).expect("a report"), &body, 10, sum);
}

#[test]
fn interim_answers_are_passed_over() {
    let (body, sum) = readings(10);
    let interim =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n".to_vec();
    let answer = [interim, head(&format!("Content-Length: {}\r\n", body.len())), body.clone()].concat();
    assert_complete(&filter(&Server::saying(vec![answer])).expect("a report"), &body, 10, sum);
    let without_end = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    assert_eq!(filter(&Server::saying(vec![without_end])), Err(Error::NoAnswer(http1::Error::Interim)));
}

#[test]
fn a_folded_field_is_no_reason_to_refuse_an_answer() {
    let (body, sum) = readings(10);
    let fields = format!("Content-Security-Policy:\r\n  default-src x\r\nContent-Length: {}\r\n", body.len());
    assert_complete(&filter(&Server::saying(vec![head(&fields), body.clone()])).expect("a report"), &body, 10, sum);
}

#[test]
fn another_status_is_named() {
    let server = Server::saying(vec![b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno".to_vec()]);
    assert_eq!(filter(&server), Err(Error::Status(404)));
}

#[test]
fn what_is_wrong_with_an_answer_is_said_by_its_name() {
    let fault = |parts| match filter(&Server::saying(parts)) {
        Err(Error::NoAnswer(http1::Error::Head(fault))) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(vec![b"220 mail\r\n".to_vec()]), Fault::NotHttp);
    assert_eq!(fault(vec![b"HTTP/1.1 200 OK\r\nX: y\r\n".to_vec()]), Fault::Cut);
    assert_eq!(fault(vec![head(&format!("X: {}\r\n", "y".repeat(9000)))]), Fault::TooLong);
    assert_eq!(fault(vec![head(&"X: y\r\n".repeat(129))]), Fault::Fields);
    assert_eq!(fault(vec![head("no field\r\n")]), Fault::Field);
    assert_eq!(fault(vec![head("Content-Length: 1\r\nContent-Length: 2\r\n")]), Fault::Lengths);
    assert_eq!(fault(vec![head("Content-Encoding: br\r\n")]), Fault::Coding("br".to_owned()));
    let server = Server::saying(vec![head("Transfer-Encoding: chunked\r\n"), b"3\r\na,12\r\n".to_vec()]);
    assert_eq!(filter(&server), Err(Error::Chunk(3)));
    assert_eq!(filter(&Server::saying(vec![])), Err(Error::NoAnswer(http1::Error::Lost)));
}

#[test]
fn a_page_instead_of_readings_is_an_error_that_shows_it() {
    let page = b"<!doctype html>\n<html><body>\n<h1>Please log in</h1>\n</body></html>\n".to_vec();
    let error = filter(&Server::saying(vec![head("Content-Type: text/html; charset=utf-8\r\n"), page])).unwrap_err();
    let expected = "there is no reading in the content (text/html): 4 lines or fields are none, the first of them \
                    line 1: <!doctype html>; parameter \"format\" says how it is read";
    assert_eq!(error.to_string(), expected);
    // Nothing at all is no error: a log that is empty today.
    let report = filter(&Server::saying(vec![head("Content-Length: 0\r\n")])).expect("a report");
    assert_eq!((report.complete, report.readings, report.malformed), (true, 0, 0));
}

#[test]
fn a_byte_order_mark_costs_nothing() {
    let text = "\u{feff}a,1\na,2\n";
    for part in 1..text.len() {
        let parts = [head("")].into_iter().chain(text.as_bytes().chunks(part).map(<[u8]>::to_vec)).collect();
        let report = filter(&Server::saying(parts)).expect("a report");
        assert_eq!((report.readings, report.malformed, report.sensors[0].mean), (2, 0, 1.5));
    }
    // What only begins like one is a part of the text.
    let report = filter(&Server::saying(vec![head(""), b"\xef\xbba,1\na,2\n".to_vec()])).expect("a report");
    assert_eq!((report.readings, report.malformed), (1, 1));
}

#[test]
fn redirects_are_followed_to_the_same_server_and_to_others() {
    let (body, sum) = readings(10);
    let target = Server::saying(vec![head(&format!("Content-Length: {}\r\n", body.len())), body.clone()]);
    let redirect = |status: &str, to: &str| {
        let answer = format!("HTTP/1.1 {status} X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes();
        Server::answer(vec![answer])
    };
    let away = target.url("/there?x=1#part");
    let first = Server::start(vec![redirect("301", "../moved"), redirect("307", &away)]);
    assert_complete(&fetch(&first.url("/a/b")).expect("a report"), &body, 10, sum);
    let lines = |server: Server| -> Vec<String> {
        server.requests().iter().map(|request| request.lines().next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(lines(first), ["GET /a/b HTTP/1.1", "GET /moved HTTP/1.1"]);
    assert_eq!(lines(target), ["GET /there?x=1 HTTP/1.1"]);

    let looping = Server::start(vec![redirect("302", "/b"), redirect("302", "/a")]);
    assert_eq!(fetch(&looping.url("/a")), Err(Error::RedirectLoop(looping.url("/a"))));
    let many = Server::start((0..11).map(|number| redirect("303", &format!("/{number}"))).collect());
    assert_eq!(fetch(&many.url("/")), Err(Error::Redirects(many.url("/10"))));
    let secret = Server::start(vec![redirect("308", "https://127.0.0.1/")]);
    let error = fetch(&secret.url("/")).unwrap_err().to_string();
    assert_eq!(
        error,
        "the server redirects to \"https://127.0.0.1/\", which asks for https, which is not supported yet"
    );
    let nowhere = Server::saying(vec![b"HTTP/1.1 302 Found\r\n\r\n".to_vec()]);
    assert_eq!(fetch(&nowhere.url("/")), Err(Error::RedirectNowhere(302)));
}

#[test]
fn a_transfer_that_was_cut_off_goes_on_where_it_was() {
    let (body, sum) = readings(1000);
    // Within numbers, within names, and at the end of a line.
    let cuts = [101, 102, 105, 5000, body.iter().position(|byte| *byte == b'\n').expect("a line") + 1];
    for cut in cuts {
        let whole = head(&format!("ETag: \"7\"\r\nContent-Length: {}\r\n", body.len()));
        let range = format!("Content-Range: bytes {cut}-{}/{}\r\n", body.len() - 1, body.len());
        let rest = format!("HTTP/1.1 206 Partial Content\r\n{range}Content-Length: {}\r\n\r\n", body.len() - cut);
        let server = Server::start(vec![
            Server::answer(vec![whole, body[..cut].to_vec()]),
            Server::answer(vec![rest.into_bytes(), body[cut..].to_vec()]),
        ]);
        let report = filter(&server).expect("a report");
        assert_complete(&report, &body, 1000, sum);
        assert_eq!(report.resumed, 1);
        let asked = format!("Accept-Encoding: identity\r\nRange: bytes={cut}-\r\nIf-Range: \"7\"\r\n");
        assert!(server.requests()[1].contains(&asked));
    }
}

#[test]
fn a_server_that_is_away_for_a_while_is_asked_again() {
    let (body, sum) = readings(1000);
    let cut = body.len() / 2;
    let whole = head(&format!("ETag: \"7\"\r\nContent-Length: {}\r\n", body.len()));
    let first = || Server::answer(vec![whole.clone(), body[..cut].to_vec()]);
    let silent = || Server::answer(vec![]);
    let busy = Server::answer(vec![b"HTTP/1.1 503 Service Unavailable\r\n\r\n".to_vec()]);
    let range = format!("Content-Range: bytes {cut}-{}/{}\r\n", body.len() - 1, body.len());
    let rest = format!("HTTP/1.1 206 Partial Content\r\n{range}\r\n").into_bytes();
    let server = Server::start(vec![first(), silent(), busy, Server::answer(vec![rest, body[cut..].to_vec()])]);
    let report = filter(&server).expect("a report");
    assert_complete(&report, &body, 1000, sum);
    assert_eq!((report.resumed, server.requests().len()), (1, 4));
    // Nobody is there any more.
    let server = Server::start(vec![first()]);
    let error = filter(&server).unwrap_err();
    let (interruption, why) = (Interruption::Ended, NotResumed::Unreachable);
    assert_eq!(error, Error::Interrupted { interruption, bytes: cut as u64, why });
}

#[test]
fn what_could_not_be_resumed_is_reported_as_far_as_it_came() {
    let body = b"a,1\nb,2\na,3";
    let cut = |fields: &str, second: Option<String>| {
        let whole = head(&format!("{fields}Content-Length: 1000\r\n"));
        let first = Server::answer(vec![whole, body.to_vec()]);
        let second = second.map(|answer| Server::answer(vec![answer.into_bytes()]));
        let server = Server::start([first].into_iter().chain(second).collect());
        let failed = fetch_with(&server.url("/"), Parameters::default()).unwrap_err();
        // The last reading may go on.
        let report = failed.report.expect("a report");
        assert_eq!((report.complete, report.readings, report.bytes), (false, 2, 11));
        match failed.error {
            Error::Interrupted { interruption: Interruption::Ended, bytes: 11, why } => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(cut("", None), NotResumed::Unrecognisable);
    assert_eq!(cut("ETag: W/\"weak\"\r\n", None), NotResumed::Unrecognisable);
    let tag = "ETag: \"1\"\r\n";
    let answer = |status: &str, fields: &str| Some(format!("HTTP/1.1 {status} X\r\n{fields}\r\n"));
    assert_eq!(cut(tag, answer("200", tag)), NotResumed::Refused);
    assert_eq!(cut(tag, answer("200", "ETag: \"2\"\r\n")), NotResumed::Changed);
    assert_eq!(cut(tag, answer("416", "")), NotResumed::Changed);
    assert_eq!(cut(tag, answer("404", "")), NotResumed::Refused);
    assert_eq!(cut(tag, answer("206", "Content-Range: bytes 10-999/1000\r\n")), NotResumed::Refused);
    assert_eq!(cut(tag, answer("206", "Content-Range: bytes 11-99/1000\r\n")), NotResumed::Refused);
    assert_eq!(cut(tag, Some("nonsense\r\n".to_owned())), NotResumed::Refused);
}

#[test]
fn a_chunk_that_ends_early_is_an_interruption_too() {
    let server = Server::saying(vec![head("Transfer-Encoding: chunked\r\n"), b"4\r\na,1\n\r\n".to_vec()]);
    let error = filter(&server).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the connection ended early after 4 bytes of the content, and could not go on there: \
         the server gives the content no tag and no date"
    );
}

#[test]
fn a_compressed_content_is_read_as_if_it_were_not() {
    let (body, sum) = readings(100_000);
    let packed = gzip(&body);
    let length = head(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len()));
    let server = Server::saying(vec![length, packed.clone()]);
    assert_complete(&filter(&server).expect("a report"), &body, 100_000, sum);
    let mut chunks = vec![head("Content-Encoding: x-gzip\r\nTransfer-Encoding: chunked\r\n")];
    for chunk in packed.chunks(1000) {
        chunks.push([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    chunks.push(b"0\r\n\r\n".to_vec());
    assert_complete(&filter(&Server::saying(chunks)).expect("a report"), &body, 100_000, sum);
    // Two contents, one behind the other, are one (RFC 1952, section 2.2).
    let (first, second) = body.split_at(5000);
    let server = Server::saying(vec![head("Content-Encoding: gzip\r\n"), gzip(first), gzip(second)]);
    assert_complete(&filter(&server).expect("a report"), &body, 100_000, sum);
}

#[test]
fn a_compressed_content_that_was_cut_off_goes_on_as_it_is() {
    let (body, sum) = readings(100_000);
    let packed = gzip(&body);
    let date = "Last-Modified: Mon, 30 Nov 2026 23:34:04 GMT\r\n";
    let whole = head(&format!(
        "ETag: \"of what is compressed\"\r\n{date}Content-Encoding: gzip\r\nContent-Length: {}\r\n",
        packed.len()
    ));
    let half = packed[..packed.len() / 2].to_vec();
    let (plain, length) = (body.clone(), body.len());
    let server = Server::start_answering(vec![
        Box::new(move |stream, _| {
            stream.write_all(&whole).and_then(|()| stream.write_all(&half)).expect("an open connection");
        }),
        Box::new(move |stream, request| {
            let from =
                request.split("Range: bytes=").nth(1).and_then(|range| range.split('-').next()).expect("a range");
            let from: usize = from.parse().expect("a number");
            let range = format!("Content-Range: bytes {from}-{}/{length}\r\n", length - 1);
            let head = format!("HTTP/1.1 206 X\r\n{range}Content-Length: {}\r\n\r\n", length - from);
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&plain[from..])).expect("a connection");
        }),
    ]);
    let report = filter(&server).expect("a report");
    assert_complete(&report, &body, 100_000, sum);
    assert_eq!(report.resumed, 1);
    let request = &server.requests()[1];
    assert!(request.contains("If-Range: Mon, 30 Nov 2026 23:34:04 GMT\r\n"), "{request}");
}

#[test]
fn a_damaged_compression_is_said_to_be_one() {
    let (body, _) = readings(1000);
    let mut packed = gzip(&body);
    let crc = packed.len() - 8;
    packed[crc] ^= 1;
    let coded = || head("Content-Encoding: gzip\r\n");
    assert_eq!(filter(&Server::saying(vec![coded(), packed])), Err(Error::Gzip(body.len() as u64)));
    assert_eq!(filter(&Server::saying(vec![coded(), body])), Err(Error::Gzip(0)));
}

#[test]
fn a_compression_that_ends_early_is_an_interruption_though_the_body_is_whole() {
    let (body, _) = readings(1000);
    let mut packed = gzip(&body);
    packed.truncate(packed.len() - 4);
    let length = head(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len()));
    let error = filter(&Server::saying(vec![length, packed])).unwrap_err();
    let (interruption, why) = (Interruption::Ended, NotResumed::Unrecognisable);
    assert_eq!(error, Error::Interrupted { interruption, bytes: body.len() as u64, why });
}

#[test]
fn a_thousandfold_content_comes_through_in_pieces() {
    let body = b"a,1\n".repeat(500_000);
    let packed = gzip(&body);
    assert!(packed.len() * 500 < body.len());
    let report = filter(&Server::saying(vec![head("Content-Encoding: gzip\r\n"), packed])).expect("a report");
    assert_eq!((report.readings, report.bytes), (500_000, body.len() as u64));
}

#[test]
fn a_table_is_read_by_its_columns() {
    let table = "symbol,date,price\nMSFT,Jan 1 2000,39.5\nIBM,Jan 1 2000,100\nMSFT,Feb 1 2000,40.5\n";
    let parameters = Parameters {
        values: Some(vec!["price".to_owned()]),
        sensor: Some("symbol".to_owned()),
        time: Some("date".to_owned()),
        ..Parameters::default()
    };
    let server = Server::saying(vec![head("Content-Type: text/csv\r\n"), table.into()]);
    let report = fetch_with(&server.url("/"), parameters).expect("a report");
    assert_eq!((report.readings, report.first_time.as_deref()), (3, Some("Jan 1 2000")));
    assert_eq!(report.sensors.iter().map(|sensor| sensor.mean).collect::<Vec<_>>(), [40.0, 100.0]);
}

#[test]
fn a_table_without_the_wanted_column_is_not_read_to_its_end() {
    let parameters = Parameters { values: Some(vec!["wind".to_owned()]), ..Parameters::default() };
    let (sent, wait) = std::sync::mpsc::channel::<()>();
    let server = Server::start(vec![Box::new(move |stream| {
        let begin = [head("Content-Length: 1000000\r\n"), b"date,rain\n".to_vec()].concat();
        stream.write_all(&begin).expect("an open connection");
        // Until the test has its answer, with most of the table still to come.
        let _ = wait.recv();
    })]);
    let failed = fetch_with(&server.url("/"), parameters).unwrap_err();
    assert_eq!(failed.error.to_string(), "the table has no column \"wind\"; its columns are: date, rain");
    drop(sent);
}

#[test]
fn a_port_where_nobody_listens_refuses_and_a_name_without_an_address_is_none() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("an address").port();
    assert_eq!(
        fetch(&format!("http://127.0.0.1:{port}/")),
        Err(Error::NoAnswer(http1::Error::NotConnected(ConnectError::Refused)))
    );
    assert_eq!(
        fetch("http://no-such-host.invalid/"),
        Err(Error::NoAnswer(http1::Error::NotConnected(ConnectError::Name)))
    );
}

#[test]
fn parameters_that_cannot_be_used_are_refused() {
    let error = fetch("https://127.0.0.1/").unwrap_err();
    assert_eq!(error.to_string(), "parameter \"url\" asks for https, which is not supported yet");
    let parameters = Parameters { sensors: Some(0), ..Parameters::default() };
    assert_eq!(fetch_with("http://127.0.0.1/", parameters).unwrap_err().error, Error::Sensors);
}

#[test]
fn sensors_above_the_limit_and_lines_that_are_no_readings_are_counted() {
    let body = "a,1\nb,2\nc,3\nnothing\n\na,5";
    let report = filter(&Server::saying(vec![head(""), body.into()])).expect("a report");
    assert_eq!((report.readings, report.over_limit, report.malformed), (4, 1, 1));
    assert_eq!(report.sample.as_deref(), Some("line 4: nothing"));
    let [a, b] = &report.sensors[..] else { panic!("{report:?}") };
    assert_eq!((a.name.as_str(), a.count, a.minimum, a.maximum, a.mean, a.variance), ("a", 2, 1.0, 5.0, 3.0, 4.0));
    assert_eq!((b.name.as_str(), b.count, b.mean), ("b", 1, 2.0));
}
