//! The broker next to the sensors: subscribes and takes what comes.
//!
//! Subscriptions ask for the QoS that messages were published with: one with QoS 1 or 2 that was published while the
//! connection was down waits at the broker and comes after it is resumed. A message is acknowledged when it has been
//! taken, and the broker is asked to send no more than 8 ahead; one that does so all the same waits for TCP. Either way
//! what a slow guest has not taken yet waits at the broker and not in the guest's memory.
//!
//! Retained messages are not asked for: they were published before the run, and an earlier run may have counted them. A
//! retained end-of-stream message would end every run at once. Brokers that know MQTT 3.1.1 alone send them all the
//! same.
//!
//! Where states are kept (see `keeper`), a message is acknowledged when the state has been saved that knows of it.
//!
//! After each message all others get a turn: what comes from the sensors starves neither the cloud nor the request to
//! stop.

use alloc::string::String;
use alloc::vec;
use core::future::Future;
use core::pin::{Pin, pin};

use embassy_futures::select::{Either, Either3, select, select3};
use embassy_futures::yield_now;
use embassy_time::{Instant, Timer};
use embedded_io_async::{Read, Write};
use kernel::{Networked, System};
use mqtt::{Connection, Event, Fault, Link, Reason, Session};

use crate::collector::{Collector, End};
use crate::error::Error;
use crate::keeper::Keeper;
use crate::parameters::Settings;

/// The largest packet that is looked at.
const RECEIVE_BYTES: usize = 32 * 1024;

/// Takes readings until there are enough, until the end-of-stream message, or until the platform asks to stop.
///
/// # Errors
/// [`Error::Overlap`], which shows only when the broker is known.
pub(crate) async fn run<S: Networked>(
    settings: &Settings,
    collector: &Collector,
    keeper: &Keeper<'_, S>,
    mut session: Session,
    system: &S,
) -> Result<(), Error> {
    if collector.has_ended() {
        collector.finish(End::Complete);
        return Ok(());
    }
    let mut stop = pin!(system.stop_requested());
    let mut link = Link::new(&settings.source, system);
    let mut input = vec![0; RECEIVE_BYTES];
    let mut subscribed = false;
    loop {
        let fault = match select(stop.as_mut(), link.connect(&mut session, &mut input)).await {
            Either::First(_) => break,
            Either::Second(Ok(mut connection)) => {
                let resumed = connection.is_resumed();
                if link.finds_session() {
                    let address = &settings.source.address;
                    kernel::println!("collect: the source broker {address} has kept the session of an earlier run");
                }
                if (link.again() || keeper.goes_on()) && !resumed {
                    kernel::println!(
                        "collect: the source broker has forgotten the session: it was started again, or another client with the \
                         name {} has taken it; what came meanwhile may be lost",
                        settings.source.client
                    );
                }
                // Only what this run has subscribed to is known to be there.
                subscribed &= resumed;
                collector.source_connected(link.again(), unix_time(system));
                if let Some((one, other)) = settings.routes.overlap().filter(|_| !connection.has_subscription_ids()) {
                    collector.finish(End::Stopped);
                    connection.close(None).await;
                    return Err(Error::Overlap(String::from(one), String::from(other)));
                }
                if keeper.is_kept() {
                    connection.hold_back();
                }
                let listening =
                    listen(settings, collector, keeper, system, &mut connection, &mut subscribed, stop.as_mut());
                let ended = listening.await;
                if let Ok(end) = ended {
                    collector.finish(end);
                    keeper.changed();
                }
                // Also when the connection has broken: summaries wait for it.
                keeper.save(collector, connection.session()).await;
                match ended {
                    Ok(end) => {
                        connection.acknowledge();
                        let ends = end == End::Complete || !settings.keeps_session;
                        connection.close(ends.then(|| settings.routes.filters())).await;
                        return Ok(());
                    }
                    Err(fault) => fault,
                }
            }
            Either::Second(Err(fault)) => fault,
        };
        if let Either::First(_) = select(stop.as_mut(), link.pause(fault)).await {
            break;
        }
    }
    collector.finish(End::Stopped);
    keeper.changed();
    keeper.save(collector, &session).await;
    Ok(())
}

/// Takes messages over one connection until the end; an error is the end of the connection only.
async fn listen<IO: Read + Write, S: System>(
    settings: &Settings,
    collector: &Collector,
    keeper: &Keeper<'_, S>,
    system: &S,
    connection: &mut Connection<'_, IO>,
    subscribed: &mut bool,
    mut stop: Pin<&mut impl Future>,
) -> Result<End, Fault> {
    let filters = settings.routes.filters();
    let mut granted_filters = 0;
    if !*subscribed {
        connection.subscribe(filters.iter().map(String::as_str));
    }
    loop {
        let due = keeper.due(connection.held_back());
        if due <= Instant::now() {
            keeper.save(collector, connection.session()).await;
            connection.acknowledge();
        }
        let event = match select3(stop.as_mut(), connection.next(), Timer::at(due)).await {
            Either3::First(_) => return Ok(End::Stopped),
            Either3::Second(event) => event?,
            Either3::Third(()) => continue,
        };
        let now = unix_time(system);
        let is_message = !matches!(event, Event::Published { .. } | Event::Subscribed { .. } | Event::Alive);
        match event {
            Event::Message(message) => {
                let is_end = settings.end.as_deref() == Some(message.topic) && !message.retained;
                if is_end || collector.receive(&settings.routes, &message, now) {
                    return Ok(End::Complete);
                }
            }
            Event::Repeat => collector.repeated(),
            Event::TooLarge { topic, length } => collector.passed(&topic, length),
            Event::Malformed { topic } => collector.unreadable(&topic),
            Event::Subscribed { id, granted } => {
                let filter = usize::from(id).checked_sub(1).and_then(|place| filters.get(place));
                check_granted(filter.ok_or(Fault::Protocol)?, granted)?;
                granted_filters += 1;
                if granted_filters == filters.len() {
                    *subscribed = true;
                    kernel::println!("collect: subscribed at the source broker {}", settings.source.address);
                }
            }
            Event::Published { .. } | Event::Alive => {}
        }
        collector.heard(now);
        if is_message || connection.held_back() > 0 || collector.has_unsaved() {
            keeper.changed();
        }
        yield_now().await;
    }
}

/// Says what is not as it was asked for.
fn check_granted(filter: &str, granted: Result<u8, Reason>) -> Result<(), Fault> {
    match granted {
        Ok(0) => kernel::println!(
            "collect: the source broker sends \"{filter}\" without acknowledgements: what comes while we are away is lost"
        ),
        Ok(_) => {}
        Err(reason) => {
            kernel::println!("collect: the source broker refuses \"{filter}\": {reason}");
            return Err(Fault::Refused(reason));
        }
    }
    Ok(())
}

fn unix_time(system: &impl System) -> f64 {
    system.unix_time().as_secs_f64()
}
