//! The broker in the cloud: publishes summaries until each is acknowledged.
//!
//! Summaries go out with QoS 1, the oldest first, up to 8 at once. Each stays in the outbox until the broker's
//! acknowledgement; minimq repeats what is under way when the session is resumed, and what was under way in a session that
//! the broker has forgotten is sent anew. Either way the broker may get one twice, with the same sequence number.

use alloc::vec;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer, with_timeout};
use kernel::Networked;
use minimq::{Connection, Error, Io, Op, PeerError, PubError, Publication, QoS, ResourceError, Session};

use crate::collector::{Collector, End};
use crate::link::{self, Fault, Link};
use crate::outbox::Fate;
use crate::parameters::Settings;

/// The broker sends nothing but acknowledgements.
const RECEIVE_BYTES: usize = 1024;

/// Room for 8 summaries under way, some 500 bytes each, and for the greeting.
const TRANSMIT_BYTES: usize = 8 * 1024;

/// How long delivery may take once the platform has asked to stop: a guest is dropped after 10 s, a process after 5 s.
const STOPPED: Duration = Duration::from_secs(3);

/// Delivers summaries until the input has ended and all are delivered, or the time for it is over.
pub(crate) async fn run<S: Networked>(settings: &Settings, collector: &Collector, system: &S) {
    let limit = async {
        let wait = match collector.ended().await {
            End::Complete => settings.drain,
            End::Stopped => settings.drain.min(STOPPED),
        };
        Timer::after(wait).await;
    };
    select(deliver(settings, collector, system), limit).await;
}

async fn deliver<S: Networked>(settings: &Settings, collector: &Collector, system: &S) {
    let mut link = Link::new("cloud", &settings.cloud, settings.keepalive_s, system);
    let (mut receive, mut transmit) = (vec![0; RECEIVE_BYTES], vec![0; TRANSMIT_BYTES]);
    let mut session = link.session(&settings.cloud_client, &mut receive, &mut transmit);
    loop {
        let fault = match until_delivered(collector, link.connect(&mut session)).await {
            Some(Ok(mut connection)) => {
                collector.cloud_connected(link.again());
                match serve(collector, &mut connection, link.silence()).await {
                    Ok(()) => return link::close(&mut connection).await,
                    Err(fault) => fault,
                }
            }
            Some(Err(fault)) => fault,
            None => return,
        };
        if until_delivered(collector, link.pause(fault)).await.is_none() {
            return;
        }
    }
}

/// Awaits `step`, or gives `None` as soon as there is nothing left to deliver and nothing will come.
async fn until_delivered<T>(collector: &Collector, step: impl Future<Output = T>) -> Option<T> {
    let delivered = async {
        while !collector.is_delivered() {
            collector.news().await;
        }
    };
    match select(step, delivered).await {
        Either::First(output) => Some(output),
        Either::Second(()) => None,
    }
}

/// Publishes over one connection until all is delivered; an error is the end of the connection only.
async fn serve<IO: Io>(
    collector: &Collector,
    connection: &mut Connection<'_, '_, IO>,
    silence: Duration,
) -> Result<(), Fault> {
    let mut refused = 0;
    loop {
        collector.settle(refused, &|operation| fate(connection.session(), operation));
        refused = 0;
        if collector.is_delivered() {
            return Ok(());
        }
        send(collector, connection, silence).await?;
        let polled = match select(with_timeout(silence, connection.poll()), collector.news()).await {
            Either::First(polled) => polled.map_err(|_| Fault::Silent)?.map(drop),
            Either::Second(()) => continue,
        };
        match polled {
            Ok(()) => {}
            // The broker took the message and said that it will not have it: a matter of this message alone.
            Err(Error::Peer(PeerError::Rejected(_))) if connection.is_connected() => refused = 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends as many summaries as may be under way.
async fn send<IO: Io>(
    collector: &Collector,
    connection: &mut Connection<'_, '_, IO>,
    silence: Duration,
) -> Result<(), Fault> {
    while connection.can_publish(QoS::AtLeastOnce)
        && let Some(message) = collector.next_message()
    {
        let publication = Publication::new(&message.topic, message.payload.as_bytes()).qos(QoS::AtLeastOnce);
        match with_timeout(silence, connection.publish(publication)).await {
            Err(_) => return Err(Fault::Silent),
            Ok(Ok(operation)) => {
                operation.into_iter().for_each(|operation| collector.mark_sent(message.sequence, operation))
            }
            // No room until something is acknowledged.
            Ok(Err(PubError::Session(Error::NotReady | Error::Resource(ResourceError::InflightExhausted)))) => break,
            Ok(Err(PubError::Payload(()) | PubError::Session(Error::Resource(ResourceError::BufferTooSmall)))) => break,
            // The broker takes no packet of this size, or no QoS 1.
            Ok(Err(PubError::Session(Error::Resource(_) | Error::InvalidRequest))) => {
                collector.give_up(message.sequence)
            }
            Ok(Err(PubError::Session(error))) => return Err(error.into()),
        }
    }
    Ok(())
}

fn fate(session: &Session<'_>, operation: &Op) -> Fate {
    if session.is_pending(operation) {
        Fate::Pending
    } else if session.is_complete(operation) {
        Fate::Answered
    } else {
        Fate::Lost
    }
}
