//! The broker in the cloud: publishes summaries until each is acknowledged.
//!
//! Summaries go out with QoS 1, the oldest first, a few at once. Each stays in the backlog until the broker's
//! acknowledgement; what was under way when a connection ended is sent again over the next one, under the same sequence
//! number. The broker need not keep a session for that, so every connection starts clean: the backlog is the session.

use alloc::vec;

use embassy_futures::select::{Either3, select, select3};
use embassy_futures::yield_now;
use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::{Read, Write};
use kernel::Networked;
use mqtt::{Connection, Event, Fault, GONE, Link, Reason, Session, watch};

use crate::backlog::Next;
use crate::collector::{Collector, End};
use crate::parameters::Settings;

/// The broker sends nothing but acknowledgements.
const RECEIVE_BYTES: usize = 1024;

/// How long delivery may take once the platform has asked to stop: a guest is dropped after 10 s, a process after 5 s.
const STOPPED: Duration = Duration::from_secs(3);

/// How long the end of a session may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the status topic says while we are there.
const HERE: &str = "online";

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
    let broker = &settings.cloud;
    let mut link = Link::new(broker, system);
    let mut input = vec![0; RECEIVE_BYTES];
    let mut session = Session::default();
    // A broker that lives acknowledges sooner than it must answer a question.
    let patience = watch::patience(Duration::from_secs(broker.keepalive_s.into()));
    loop {
        let fault = match link.connect(&mut session, &mut input).await {
            Ok(connection) if !connection.acknowledges() => {
                connection.close(Some(&[])).await;
                Fault::Refused(Reason::QOS)
            }
            Ok(mut connection) => {
                collector.cloud_connected(link.again());
                if let Some(topic) = &broker.will {
                    connection.publish_retained(topic, HERE);
                }
                match serve(collector, &mut connection, patience).await {
                    Ok(()) => {
                        if let Some(topic) = &broker.will {
                            connection.publish_retained(topic, GONE);
                        }
                        return connection.close(Some(&[])).await;
                    }
                    Err(fault) => fault,
                }
            }
            Err(fault) => fault,
        };
        link.pause(fault).await;
    }
}

/// Publishes over one connection until all is delivered; an error is the end of the connection only.
async fn serve<IO: Read + Write>(
    collector: &Collector,
    connection: &mut Connection<'_, IO>,
    patience: Duration,
) -> Result<(), Fault> {
    let mut answered = Instant::now();
    while !collector.is_delivered() {
        let mut wake = None;
        while connection.may_publish() {
            match collector.next_summary(Instant::now()) {
                Next::Summary(summary) => {
                    let message = collector.message(&summary);
                    if !connection.is_waiting() {
                        answered = Instant::now();
                    }
                    if connection.publish(&message.topic, summary.id(), message.payload.as_bytes()) {
                        collector.mark_sent(&summary);
                    } else {
                        collector.give_up(&summary, connection.packet_bytes());
                    }
                }
                Next::Later(at) => {
                    wake = Some(at);
                    break;
                }
                Next::Nothing => break,
            }
        }
        if connection.is_waiting() {
            let limit = answered + patience;
            if Instant::now() >= limit {
                return Err(Fault::Unacknowledged);
            }
            wake = Some(wake.map_or(limit, |wake: Instant| wake.min(limit)));
        }
        let wake = Timer::at(wake.unwrap_or(Instant::MAX));
        match select3(collector.news(), connection.next(), wake).await {
            Either3::Second(Ok(Event::Published { id, refused })) => {
                answered = Instant::now();
                collector.answered(id, refused, answered);
            }
            Either3::Second(Err(fault)) => return Err(fault),
            Either3::First(()) | Either3::Second(Ok(_)) | Either3::Third(()) => {}
        }
        yield_now().await;
    }
    Ok(())
}
