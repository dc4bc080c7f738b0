//! Answers that go on: events, and a console that is followed.

use std::time::Duration;

use console::LogStream;
use hyper::Response;
use hyper::body::Bytes;
use protocol::document;
use tokio::sync::mpsc::{self, Sender};

use super::body::Body;
use super::{Server, response};
use crate::daemon::books::{Caller, Console};
use crate::daemon::clerk::Clerk;
use crate::daemon::refused::Refused;
use crate::{GuestId, Key, ReadConsole};

/// Pieces that wait for a slow reader.
const PIECES: usize = 4;
/// Events that are read at once.
const BATCH: usize = 64;
/// A sign of life while nothing happens, so that a reader that is gone is noticed.
const QUIET: Duration = Duration::from_secs(15);
/// How often a console is looked at that is followed.
const LOOK: Duration = Duration::from_millis(200);

/// Server-sent events after the one with this number; without, those to come.
pub(super) async fn events(clerk: &Clerk, caller: Caller, after: Option<u64>) -> Result<Response<Body>, Refused> {
    let asked = caller.clone();
    // The first ones now: what is not kept any more is said by the answer's status.
    let (mut changes, first) = clerk
        .ask(move |books| {
            let changes = books.watch();
            let after = after.map_or_else(|| books.last_event(&asked), Ok)?;
            Ok::<_, Refused>((changes, books.events(&asked, after, BATCH).map(|events| (after, events))?))
        })
        .await?;
    let (sender, pieces) = mpsc::channel(PIECES);
    let clerk = clerk.clone();
    tokio::spawn(async move {
        let (mut last, mut events) = first;
        loop {
            for event in &events {
                last = event.number;
                let data = document::encode(event);
                let text = format!("id: {last}\nevent: state\ndata: {}\n\n", String::from_utf8_lossy(&data));
                if sender.send(text.into()).await.is_err() {
                    return;
                }
            }
            if events.len() < BATCH {
                match tokio::time::timeout(QUIET, changes.changed()).await {
                    Ok(Err(_)) => return,
                    Ok(Ok(())) => {}
                    Err(_) => {
                        if sender.send(Bytes::from_static(b": nothing new\n\n")).await.is_err() {
                            return;
                        }
                    }
                }
            }
            let caller = caller.clone();
            // A reader that is so slow that events are gone asks anew and is told so.
            let Ok(next) = clerk.ask(move |books| books.events(&caller, last, BATCH)).await else { return };
            events = next;
        }
    });
    Ok(response(200, "text/event-stream", Body::Stream(pieces)))
}

/// How a console is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Go on until the command has ended.
    pub(super) follow: bool,
    /// As the guest has printed it.
    pub(super) raw: bool,
}

/// A command's console.
pub(super) async fn logs(server: &Server, caller: Caller, key: Key, how: How) -> Result<Response<Body>, Refused> {
    let kind = "text/plain; charset=utf-8";
    let (asked, whose) = (key.clone(), caller.clone());
    let (console, stream) = server
        .clerk
        .ask(move |books| Ok::<_, Refused>((books.console(&whose, &asked)?, books.log_stream(&whose, &asked)?)))
        .await?;
    let mut shown = Shown((!how.raw).then_some(stream));
    if !how.follow {
        let bytes = match console {
            Console::NotYet => Vec::new(),
            Console::Of(guest) => {
                let bytes = server.consoles.read(guest, 0).unwrap_or_default().bytes;
                [shown.of(bytes), shown.rest()].concat()
            }
            Console::Ended(lines) => text(lines),
        };
        return Ok(response(200, kind, Body::Whole(Some(bytes.into()))));
    }
    let (sender, pieces) = mpsc::channel(PIECES);
    let (clerk, consoles) = (server.clerk.clone(), server.consoles.clone());
    tokio::spawn(async move {
        follow_console(&clerk, &*consoles, (&caller, &key), &mut shown, &sender).await;
        let _ = sender.send(shown.rest().into()).await;
    });
    Ok(response(200, kind, Body::Stream(pieces)))
}

/// Sends a console as it grows, from one guest of a command to the next, until the command has ended or nobody reads.
async fn follow_console(
    clerk: &Clerk,
    consoles: &dyn ReadConsole,
    (caller, key): (&Caller, &Key),
    shown: &mut Shown,
    sender: &Sender<Bytes>,
) {
    let mut here: Option<(GuestId, u64)> = None;
    loop {
        let (asked, whose) = (key.clone(), caller.clone());
        let Ok(console) = clerk.ask(move |books| books.console(&whose, &asked)).await else { return };
        match &console {
            Console::Of(guest) if here.is_none_or(|(old, _)| old != *guest) => here = Some((*guest, 0)),
            // It has ended before anything of it was seen.
            Console::Ended(lines) if here.is_none() => {
                let _ = sender.send(text(lines.clone()).into()).await;
            }
            _ => {}
        }
        if let Some((guest, from)) = &mut here
            && let Some(piece) = consoles.read(*guest, *from).filter(|piece| !piece.bytes.is_empty())
        {
            *from = piece.from + piece.bytes.len() as u64;
            if sender.send(shown.of(piece.bytes).into()).await.is_err() {
                return;
            }
        }
        if matches!(console, Console::Ended(_)) || sender.is_closed() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What of a console is sent: its lines, each when it is complete, or its bytes.
struct Shown(Option<LogStream>);

impl Shown {
    fn of(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        match &mut self.0 {
            Some(stream) => text(stream.push(&bytes)),
            None => bytes,
        }
    }

    /// What is left when nothing more comes.
    fn rest(&mut self) -> Vec<u8> {
        self.0.as_mut().map(|stream| text(stream.finish())).unwrap_or_default()
    }
}

fn text(lines: Vec<impl ToString>) -> Vec<u8> {
    lines.into_iter().flat_map(|line| (line.to_string() + "\n").into_bytes()).collect()
}
