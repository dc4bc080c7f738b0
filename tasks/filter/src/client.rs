//! A request, and the way of the content to who wants it: past interim answers, along redirects, and over connections that
//! break.
//!
//! A transfer that was cut off goes on with a range request (RFC 9110, section 14) for what is missing of the content as it
//! is, not compressed, on the condition that it is still the same. Where the server cannot do that, the error says how
//! far the transfer got.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use embassy_futures::yield_now;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use http1::head::{self, Answer, Coding};
use http1::{Body, Connection, Url, ask};
use kernel::Networked;
use kernel::net::{Buffers, Network};
use kernel::stream::ReadInPlace;

use crate::content::{Content, Take};
use crate::error::{Error, Interruption, NotResumed};

/// How long an address, a name and a connection may take together, and how long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connection's buffers, if there is memory for them: what a fast network has under way, and a request.
const BUFFERS: Buffers = Buffers { receive: 128 * 1024, send: 4 * 1024 };

/// After so many bytes others get a turn, even if this could go on.
const TURN_BYTES: u64 = 1 << 20;

/// How much of a body is taken at once when it is compressed: at worst it becomes a thousand times as long.
const COMPRESSED_BYTES: usize = 1024;

/// The most redirects that are followed. Browsers follow 20, and nobody has a use for more than a few.
const REDIRECTS: usize = 10;

/// So many times in a row a transfer is taken up again without getting on by a byte, with a pause before each time but the
/// first, which doubles.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of a transfer, while it goes on and afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// When the first request was sent.
    pub start: Instant,
    /// Length of the content so far.
    pub bytes: u64,
    /// The media type of the content, if the server named one.
    pub media_type: Option<String>,
    /// How many times it was taken up again after a connection was lost.
    pub resumed: u32,
}

impl Transfer {
    /// Not begun yet.
    pub fn new() -> Self {
        Self { start: Instant::now(), bytes: 0, media_type: None, resumed: 0 }
    }
}

/// Fetches what is at `url` and hands it to `take` piece by piece.
///
/// # Errors
/// There is no such content, not all of it could be had, or `take` does not want it; `transfer` says how much was taken.
pub async fn fetch(
    url: Url,
    system: &impl Networked,
    transfer: &mut Transfer,
    take: &mut impl Take,
) -> Result<(), Error> {
    let network = system.network();
    network.set_buffers(BUFFERS);
    let address = network.configured().await;
    kernel::println!("filter: {address} fetches {url}");
    transfer.start = Instant::now();
    let (mut connection, source, head) = open(url, network).await?;
    transfer.media_type = head.media_type;
    let mut window = Vec::new();
    let mut content = Content::new(head.coding, &mut window);
    let mut body = head.body;
    loop {
        let interruption = match receive(&mut connection, &mut body, &mut content, transfer, take).await? {
            None => return Ok(()),
            Some(interruption) => interruption,
        };
        // Its buffers are needed for the next one.
        drop(connection);
        (connection, body) = match resume(&source, network, transfer.bytes).await {
            Ok(resumed) => resumed,
            Err(why) => return Err(Error::Interrupted { interruption, bytes: transfer.bytes, why }),
        };
        kernel::println!("filter: {interruption} after {} bytes of the content; it goes on there", transfer.bytes);
        content = Content::Plain;
        transfer.resumed += 1;
    }
}

/// Where a content comes from, and how it is recognised.
struct Source {
    url: Url,
    /// What makes a range request hold only for the same content (RFC 9110, section 13.1.5).
    validator: Option<String>,
}

/// Asks for a URL and follows where the server leads, until there is an answer with a content.
async fn open<N: Network>(mut url: Url, network: &N) -> Result<(Connection<'_, N>, Source, head::Content), Error> {
    let mut visited = Vec::new();
    loop {
        let (connection, answer) = ask(&url, network, "Accept-Encoding: gzip\r\n", PATIENCE).await?;
        let (status, reference) = match answer {
            Answer::Content(head) if head.part.is_none() => {
                // What a server compresses on the way has another tag than what is sent as it is, but the same date.
                let plain = head.coding == Coding::Identity;
                let etag = head.etag.clone().filter(|_| plain);
                let validator = etag.or_else(|| head.last_modified.clone());
                return Ok((connection, Source { url, validator }, head));
            }
            Answer::Content(_) => return Err(Error::Status(206)),
            Answer::Redirect(status, reference) => (status, reference),
            Answer::Other(status) => return Err(Error::Status(status)),
            Answer::Interim => unreachable!("interim answers are passed over"),
        };
        drop(connection);
        let reference = reference.ok_or(Error::RedirectNowhere(status))?;
        let next = url.join(&reference).map_err(|fault| Error::Redirect(reference, fault))?;
        visited.push(url);
        if visited.contains(&next) {
            return Err(Error::RedirectLoop(next.to_string()));
        }
        if visited.len() > REDIRECTS {
            return Err(Error::Redirects(next.to_string()));
        }
        kernel::println!("filter: redirected to {next}");
        url = next;
    }
}

/// Reads a body to its end, or up to where it was interrupted.
async fn receive(
    connection: &mut impl ReadInPlace,
    body: &mut Body,
    content: &mut Content<'_>,
    transfer: &mut Transfer,
    take: &mut impl Take,
) -> Result<Option<Interruption>, Error> {
    let mut turn = 0;
    while !body.is_complete() {
        let before = transfer.bytes;
        let part = connection.read_in_place(|data| {
            if data.is_empty() {
                return (0, Ok(false));
            }
            let (length, taken) = take_body(data, body, content, transfer, take);
            (length, taken.map(|()| true))
        });
        let arrived = match with_timeout(PATIENCE, part).await {
            Ok(Ok(taken)) => taken?,
            Ok(Err(_)) => return Ok(Some(Interruption::Lost)),
            Err(_) => return Ok(Some(Interruption::Silent)),
        };
        match arrived {
            true => {}
            false if body.may_end() => break,
            false => return Ok(Some(Interruption::Ended)),
        }
        turn += transfer.bytes - before;
        if turn >= TURN_BYTES {
            turn = 0;
            yield_now().await;
        }
    }
    Ok((!content.may_end()).then_some(Interruption::Ended))
}

/// Takes what has arrived of a body; returns how much of `data` it is done with.
fn take_body(
    data: &[u8],
    body: &mut Body,
    content: &mut Content<'_>,
    transfer: &mut Transfer,
    take: &mut impl Take,
) -> (usize, Result<(), Error>) {
    let most = if matches!(content, Content::Plain) { data.len() } else { data.len().min(COMPRESSED_BYTES) };
    let mut rest = &data[..most];
    while !rest.is_empty() && !body.is_complete() {
        let piece = body.take(&mut rest).map_err(|_| Error::Chunk(transfer.bytes));
        if let Err(error) = piece.and_then(|piece| content.pass(piece, &mut transfer.bytes, take)) {
            return (data.len(), Err(error));
        }
    }
    (most, Ok(()))
}

/// Asks for what comes behind the first `bytes` of a content until there is an answer.
async fn resume<'n, N: Network>(
    source: &Source,
    network: &'n N,
    bytes: u64,
) -> Result<(Connection<'n, N>, Body), NotResumed> {
    let validator = source.validator.as_deref().ok_or(NotResumed::Unrecognisable)?;
    let fields = alloc::format!("Accept-Encoding: identity\r\nRange: bytes={bytes}-\r\nIf-Range: {validator}\r\n");
    let mut pause = PAUSE;
    for attempt in 1..=ATTEMPTS {
        match ask(&source.url, network, &fields, PATIENCE).await {
            Ok((connection, answer)) => match rest(source, bytes, answer) {
                Ok(body) => return Ok((connection, body)),
                Err(NotResumed::Unreachable) => {}
                Err(why) => return Err(why),
            },
            Err(http1::Error::Head(_)) => return Err(NotResumed::Refused),
            Err(_) => {}
        }
        if attempt < ATTEMPTS {
            Timer::after(pause).await;
            pause *= 2;
        }
    }
    Err(NotResumed::Unreachable)
}

/// The body of an answer that is the rest of a content, from `bytes` on.
fn rest(source: &Source, bytes: u64, answer: Answer) -> Result<Body, NotResumed> {
    match answer {
        Answer::Content(head) => match head.part {
            Some(part) if part.first == bytes && part.is_rest && head.coding == Coding::Identity => Ok(head.body),
            Some(_) => Err(NotResumed::Refused),
            // The whole again: it is another one now, or the server knows no ranges.
            None if [&head.etag, &head.last_modified].into_iter().any(|is| *is == source.validator) => {
                Err(NotResumed::Refused)
            }
            None => Err(NotResumed::Changed),
        },
        // The content has no such part any more.
        Answer::Other(416) => Err(NotResumed::Changed),
        // The server has trouble that may pass.
        Answer::Other(500..) => Err(NotResumed::Unreachable),
        _ => Err(NotResumed::Refused),
    }
}
