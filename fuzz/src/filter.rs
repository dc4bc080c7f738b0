//! What a server says to `filter`.

use filter::{Error, Parameters, Report};

use testing::Guest;

use crate::input::Input;

/// Beginnings of an answer that let the rest be a body.
const HEADS: [&[u8]; 4] = [
    b"",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n",
];

/// The parts in which an answer comes the second time: as small as the number of times that a task is polled allows.
const PART_BYTES: usize = 7;

/// Answers with the bytes behind a head or none, and closes the connection; then the same in parts, which must make no
/// difference.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let answer = [input.choose(&HEADS), input.rest()].concat();
    let (whole, parts) = (fetch(&answer, usize::MAX), fetch(&answer, PART_BYTES));
    assert_eq!(whole, parts, "the same answer in parts");
    if let Ok(report) = whole {
        let counted: u64 = report.sensors.iter().map(|sensor| sensor.count).sum();
        assert_eq!(counted + report.over_limit, report.readings, "{report:?}");
        assert!(report.sensors.len() <= 4 && report.complete, "{report:?}");
        // The shortest line of a reading or of none has a byte, and an end but for the last.
        assert!(2 * (report.readings + report.malformed) <= report.bytes + 1, "{report:?}");
    }
}

/// What the task makes of an answer that comes in parts.
fn fetch(answer: &[u8], part: usize) -> Result<Report, Error> {
    let guest = Guest::new();
    let server = guest.server(1);
    let mut parts = answer.chunks(part.min(answer.len().max(1)));
    let parameters = Parameters { url: "http://10.0.0.1:1/".to_owned(), sensors: Some(4) };
    let report = guest.run(filter::run(parameters, &guest), |_| {
        if server.unread() == 0 {
            match parts.next() {
                Some(part) => server.say(part),
                None => server.close(),
            }
        }
    });
    let report = report.unwrap_or_else(|| panic!("the task did not come to its end"));
    report.map(|report| Report { elapsed_ms: 0, ..report })
}
