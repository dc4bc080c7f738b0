//! The MQTT broker of the sensors: subscribes and takes what comes.
//!
//! A message is acknowledged when it is in the store; what is not taken yet waits at the source. After each message the
//! tasks have their turn.

use alloc::string::String;
use alloc::vec;
use core::future::Future;
use core::pin::{Pin, pin};

use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embedded_io_async::{Read, Write};
use kernel::{Networked, System, println};
use mqtt::{Connection, Event, Fault, Link, Session};

use crate::error::Error;
use crate::hub::{Hub, now_ns};
use crate::parameters::Settings;

/// The largest packet that is looked at.
const RECEIVE_BYTES: usize = 32 * 1024;

/// Takes readings until the platform asks to stop.
///
/// # Errors
/// [`Error::Overlap`], which shows only when the source is known.
pub(crate) async fn run<S: Networked>(settings: &Settings, hub: &Hub, system: &S) -> Result<(), Error> {
    let mut stop = pin!(system.stop_requested());
    let mut link = Link::new(&settings.source, system);
    let (mut input, mut session, mut subscribed) = (vec![0; RECEIVE_BYTES], Session::default(), false);
    loop {
        let fault = match select(stop.as_mut(), link.connect(&mut session, &mut input)).await {
            Either::First(_) => return Ok(()),
            Either::Second(Ok(mut connection)) => {
                if link.again() {
                    hub.reconnected();
                    if !connection.is_resumed() {
                        println!("broker: the source has forgotten the session: what came meanwhile may be lost");
                    }
                }
                // Only what this run has subscribed to is known to be there.
                subscribed &= connection.is_resumed();
                if let Some((one, other)) = settings.routes.overlap().filter(|_| !connection.has_subscription_ids()) {
                    connection.close(None).await;
                    return Err(Error::Overlap(String::from(one), String::from(other)));
                }
                match listen(settings, hub, system, &mut connection, &mut subscribed, stop.as_mut()).await {
                    Ok(()) => {
                        connection.close(Some(settings.routes.filters())).await;
                        return Ok(());
                    }
                    Err(fault) => fault,
                }
            }
            Either::Second(Err(fault)) => fault,
        };
        if let Either::First(_) = select(stop.as_mut(), link.pause(fault)).await {
            return Ok(());
        }
    }
}

/// Takes messages over one connection until the request to stop; an error is the end of the connection only.
async fn listen<IO: Read + Write>(
    settings: &Settings,
    hub: &Hub,
    system: &impl System,
    connection: &mut Connection<'_, IO>,
    subscribed: &mut bool,
    mut stop: Pin<&mut impl Future>,
) -> Result<(), Fault> {
    let filters = settings.routes.filters();
    let mut granted_filters = 0;
    if !*subscribed {
        connection.subscribe(filters.iter().map(String::as_str));
    }
    loop {
        let event = match select(stop.as_mut(), connection.next()).await {
            Either::First(_) => return Ok(()),
            Either::Second(event) => event?,
        };
        match event {
            Event::Message(message) => hub.receive(&settings.routes, &message, now_ns(system)),
            Event::Repeat => hub.repeated(),
            Event::TooLarge { topic, length } => hub.passed(&topic, length),
            Event::Malformed { topic } => hub.unreadable(&topic),
            Event::Subscribed { id, granted } => {
                let filter = usize::from(id).checked_sub(1).and_then(|place| filters.get(place));
                let filter = filter.ok_or(Fault::Protocol)?;
                if let Err(reason) = granted {
                    println!("broker: the source refuses \"{filter}\": {reason}");
                    return Err(Fault::Refused(reason));
                }
                granted_filters += 1;
                if granted_filters == filters.len() {
                    *subscribed = true;
                    println!("broker: subscribed at the source broker {}", settings.source.address);
                }
            }
            Event::Published { .. } | Event::Alive => {}
        }
        yield_now().await;
    }
}
