//! The broker next to the sensors: subscribes and takes what comes.
//!
//! Subscriptions ask for QoS 1: a reading that was published while the connection was down waits at the broker and
//! comes after it is resumed; QoS 0 would lose it. QoS 2 would spare the repeats that QoS 1 brings after a reconnect,
//! for two more packets a message; [`crate::repeats`] finds them for nothing. A message is acknowledged when it has
//! been taken, and the broker is asked to send no more than 8 ahead; one that does so all the same waits for TCP.
//! Either way what a slow guest has not taken yet waits at the broker and not in the guest's memory.
//!
//! Retained messages are not asked for: they were published before the run, and an earlier run may have counted them. A
//! retained end-of-stream message would end every run at once.

use alloc::vec;
use core::future::Future;
use core::pin::{Pin, pin};

use embassy_futures::select::{Either, select};
use embedded_io_async::{Read, Write};
use kernel::{Networked, System};

use crate::collector::{Collector, End};
use crate::link::{Fault, Link};
use crate::mqtt::{Connection, Event};
use crate::parameters::Settings;

/// The largest message that is taken; the broker is told and keeps larger ones to itself.
const RECEIVE_BYTES: usize = 32 * 1024;

/// How long the broker keeps the session for us while we are away. It is given back at a regular end; after a crash it
/// must not fill the broker for ever.
const SESSION_S: u32 = 3600;

/// Takes readings until there are enough, until the end-of-stream message, or until the platform asks to stop.
///
/// The first connection asks for a clean start: what a broker still has for an earlier run belongs to windows that this
/// run does not have. Later ones resume the session.
pub(crate) async fn run<S: Networked>(settings: &Settings, collector: &Collector, system: &S) {
    let mut stop = pin!(system.stop_requested());
    let mut link = Link::new("source", &settings.source, settings.keepalive_s, system);
    let mut input = vec![0; RECEIVE_BYTES];
    let mut subscribed = false;
    loop {
        let clean_start = link.is_new();
        let connect = link.connect(&settings.client, clean_start, SESSION_S, &mut input);
        let fault = match select(connect, stop.as_mut()).await {
            Either::First(Ok(mut connection)) => {
                let resumed = connection.is_resumed();
                subscribed &= resumed;
                collector.source_connected(link.again(), resumed);
                let listening = listen(settings, collector, system, &mut connection, &mut subscribed, stop.as_mut());
                match listening.await {
                    Ok(end) => {
                        collector.finish(end);
                        return connection.close().await;
                    }
                    Err(fault) => fault,
                }
            }
            Either::First(Err(fault)) => fault,
            Either::Second(_) => break,
        };
        if let Either::Second(_) = select(link.pause(fault), stop.as_mut()).await {
            break;
        }
    }
    collector.finish(End::Stopped);
}

/// Takes messages over one connection until the end; an error is the end of the connection only.
async fn listen<IO: Read + Write>(
    settings: &Settings,
    collector: &Collector,
    system: &impl System,
    connection: &mut Connection<'_, IO>,
    subscribed: &mut bool,
    mut stop: Pin<&mut impl Future>,
) -> Result<End, Fault> {
    if !*subscribed {
        connection.subscribe(settings.topics.iter().chain(&settings.end).map(|topic| topic.as_str()));
    }
    loop {
        match select(connection.next(), stop.as_mut()).await {
            Either::First(Ok(Event::Message { topic, payload })) => {
                if settings.end.as_deref() == Some(topic) {
                    return Ok(End::Complete);
                }
                let now = system.unix_time().as_secs_f64();
                if collector.receive(topic, payload, now) {
                    return Ok(End::Complete);
                }
            }
            Either::First(Ok(Event::Subscribed)) => *subscribed = true,
            Either::First(Ok(Event::Published { .. })) => {}
            Either::First(Err(fault)) => return Err(fault),
            Either::Second(_) => return Ok(End::Stopped),
        }
    }
}
