//! The broker in the cloud: publishes summaries until each is acknowledged.
//!
//! Summaries go out with QoS 1, the oldest first, a few at once. Each stays in the outbox until the broker's
//! acknowledgement; what was under way when a connection ended is sent again over the next one, under the same sequence
//! number. The broker need not keep a session for that, so every connection starts clean: the outbox is the session.

use alloc::vec;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use embedded_io_async::{Read, Write};
use kernel::Networked;

use crate::collector::{Collector, End};
use crate::link::{Fault, Link};
use crate::mqtt::{Connection, Event};
use crate::parameters::Settings;

/// The broker sends nothing but acknowledgements.
const RECEIVE_BYTES: usize = 1024;

/// How long delivery may take once the platform has asked to stop: a guest is dropped after 10 s, a process after 5 s.
const STOPPED: Duration = Duration::from_secs(3);

/// How long the end of a session may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Delivers summaries until the input has ended and all are delivered, or the time for it is over.
pub(crate) async fn run<S: Networked>(settings: &Settings, collector: &Collector, system: &S) {
    let limit = async {
        let wait = match collector.ended().await {
            // Only a farewell is left to be said, if there is a connection.
            _ if collector.is_delivered() => FAREWELL,
            End::Complete => settings.drain,
            End::Stopped => settings.drain.min(STOPPED),
        };
        Timer::after(wait).await;
    };
    select(deliver(settings, collector, system), limit).await;
}

async fn deliver<S: Networked>(settings: &Settings, collector: &Collector, system: &S) {
    let mut link = Link::new("cloud", &settings.cloud, settings.keepalive_s, system);
    let mut input = vec![0; RECEIVE_BYTES];
    loop {
        let fault = match link.connect(&settings.cloud_client, true, 0, &mut input).await {
            Ok(mut connection) => {
                collector.cloud_connected(link.again());
                match serve(collector, &mut connection).await {
                    Ok(()) => return connection.close().await,
                    Err(fault) => fault,
                }
            }
            Err(fault) => fault,
        };
        link.pause(fault).await;
    }
}

/// Publishes over one connection until all is delivered; an error is the end of the connection only.
async fn serve<IO: Read + Write>(collector: &Collector, connection: &mut Connection<'_, IO>) -> Result<(), Fault> {
    while !collector.is_delivered() {
        while connection.may_publish()
            && let Some(message) = collector.next_message()
        {
            if connection.publish(&message.topic, message.summary.id(), message.payload.as_bytes()) {
                collector.mark_sent(&message.summary);
            } else {
                collector.give_up(&message.summary);
            }
        }
        match select(connection.next(), collector.news()).await {
            Either::First(Ok(Event::Published { id, refused })) => collector.answered(id, refused),
            Either::First(Ok(_)) | Either::Second(()) => {}
            Either::First(Err(fault)) => return Err(fault),
        }
    }
    Ok(())
}
