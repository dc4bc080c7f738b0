//! What a server says to `filter`, in every form that it reads.

use filter::{Decimal, Error, Format, Parameters, Report};
use kernel::Failed;

use testing::Guest;

use crate::input::Input;

/// Beginnings of an answer that let the rest be a content. The last ones let a transfer that was cut off go on.
const HEADS: [&[u8]; 8] = [
    b"",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
    // The header of a gzip stream, and the first bytes of what it compresses.
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03",
    b"HTTP/1.1 302 Found\r\nLocation: ",
    b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 700\r\n\r\n",
];

/// The parts in which an answer comes the second time: as small as the number of times that a task is polled allows.
const PART_BYTES: usize = 7;

/// Answers with the bytes behind a head or none, and closes the connection; then the same in parts, which must make no
/// difference.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let parameters = parameters(&mut input);
    let answer = [input.choose(&HEADS), input.rest()].concat();
    let (whole, parts) = (fetch(&parameters, &answer, usize::MAX), fetch(&parameters, &answer, PART_BYTES));
    if is_damaged(&whole) || is_damaged(&parts) {
        // How much comes out of a compression before it is found to be damaged depends on the parts, and with it what else is
        // found to be wrong before.
        assert!(matches!((&whole, &parts), (Some(Err(_)), Some(Err(_)))), "{whole:?} in parts: {parts:?}");
        return;
    }
    assert_eq!(whole, parts, "the same answer in parts");
    let Some(ended) = whole else { return };
    let (report, failed) = match ended {
        Ok(report) => (Some(report), false),
        Err(Failed { report, .. }) => (report.map(|report| *report), true),
    };
    if let Some(report) = report {
        let counted: u64 = report.sensors.iter().map(|sensor| sensor.count).sum();
        assert_eq!(counted + report.over_limit, report.readings, "{report:?}");
        assert!(report.sensors.len() <= 4 && report.complete != failed, "{report:?}");
        assert_eq!(report.malformed > 0, report.sample.is_some(), "{report:?}");
        // The shortest reading or what is none has a byte, and something behind it but for the last.
        let found = report.readings + report.malformed + report.not_numeric;
        assert!(2 * found <= report.bytes + 1, "{report:?}");
    }
}

/// What the task is told that the content is: lines in half of all cases.
fn parameters(input: &mut Input<'_>) -> Parameters {
    let text = |text: &str| Some(text.to_owned());
    let plain = Parameters { url: "http://10.0.0.1:1/".to_owned(), sensors: Some(4), ..Parameters::default() };
    match input.below(16) {
        0 => Parameters { format: Some(Format::Csv), ..plain },
        1 => {
            Parameters { values: Some(vec!["2".to_owned()]), sensor: text("1"), separator: text("semicolon"), ..plain }
        }
        2 => Parameters { values: Some(vec!["x".to_owned()]), time: text("t"), ..plain },
        3 => Parameters { header: Some(false), decimal: Some(Decimal::Comma), separator: text("tab"), ..plain },
        4 => Parameters { format: Some(Format::Senml), ..plain },
        5 => Parameters { format: Some(Format::Json), time: text("t"), ..plain },
        6 => Parameters { format: Some(Format::Influx), ..plain },
        7 => Parameters { format: Some(Format::Number), ..plain },
        _ => plain,
    }
}

/// What the task makes of an answer that comes in parts; nothing if it waits for another one, to a redirect or to the question for
/// the rest of what was cut off.
fn fetch(parameters: &Parameters, answer: &[u8], part: usize) -> Option<Result<Report, Failed<Report, Error>>> {
    let guest = Guest::new();
    let server = guest.server(1);
    let mut parts = answer.chunks(part.min(answer.len().max(1)));
    let ended = guest.run(filter::run(parameters.clone(), &guest), |_| {
        if server.unread() == 0 {
            match parts.next() {
                Some(part) => server.say(part),
                None => server.close(),
            }
        }
    });
    assert!(ended.is_some() || may_ask_again(answer), "the task did not come to its end");
    ended.map(comparable)
}

/// Whether an answer may be a redirect, or the beginning of a content whose rest can be asked for.
fn may_ask_again(answer: &[u8]) -> bool {
    let has = |text: &[u8]| answer.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text));
    has(b" 30") || has(b"etag") || has(b"last-modified")
}

fn is_damaged(ended: &Option<Result<Report, Failed<Report, Error>>>) -> bool {
    matches!(ended, Some(Err(Failed { error: Error::Gzip(_), .. })))
}

/// What must be the same however an answer was cut: not the time that it took, nor how much was in the piece that was
/// refused.
fn comparable(ended: Result<Report, Failed<Report, Error>>) -> Result<Report, Failed<Report, Error>> {
    let timeless = |report: Report| Report { elapsed_ms: 0, ..report };
    match ended {
        Ok(report) => Ok(timeless(report)),
        Err(Failed { error: error @ Error::NoColumn { .. }, .. }) => Err(Failed { report: None, error }),
        Err(Failed { report, error }) => {
            Err(Failed { report: report.map(|report| Box::new(timeless(*report))), error })
        }
    }
}
