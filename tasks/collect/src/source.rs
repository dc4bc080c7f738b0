//! The broker next to the sensors: subscribes and takes what comes.
//!
//! Subscriptions ask for QoS 1: a reading that was published while the connection was down waits at the broker and comes
//! after it is resumed; QoS 0 would lose it. QoS 2 would spare the repeats that QoS 1 brings after a reconnect, for two
//! more packets a message; [`crate::repeats`] finds them for nothing. minimq acknowledges a message when it hands it out and
//! asks the broker to send no more than 8 ahead; a broker that does so all the same waits for TCP. Either way what a slow
//! guest has not taken yet waits at the broker and not in the guest's memory.
//!
//! Retained messages are not asked for: they were published before the run, and an earlier run may have counted them. A
//! retained end-of-stream message would end every run at once.

use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::{Pin, pin};

use embassy_futures::select::{Either, select};
use embassy_time::with_timeout;
use kernel::Networked;
use minimq::{ConnectEvent, Connection, QoS, RetainHandling, SubscriptionOptions, TopicFilter};

use crate::collector::{Collector, End};
use crate::link::{self, Fault, Link, Stream};
use crate::parameters::Settings;

/// The largest message that is taken; the broker is told and keeps larger ones to itself.
const RECEIVE_BYTES: usize = 32 * 1024;

/// Room for the subscriptions and for acknowledgements.
const TRANSMIT_BYTES: usize = 4 * 1024;

/// Takes readings until there are enough, until the end-of-stream message, or until the platform asks to stop.
pub(crate) async fn run<S: Networked>(settings: &Settings, collector: &Collector, system: &S) {
    let mut stop = pin!(system.stop_requested());
    let mut link = Link::new("source", &settings.source, settings.keepalive_s, system);
    let (mut receive, mut transmit) = (vec![0; RECEIVE_BYTES], vec![0; TRANSMIT_BYTES]);
    let mut session = link.session(&settings.client, &mut receive, &mut transmit);
    let mut subscribed = false;
    loop {
        let fault = match select(link.connect(&mut session), stop.as_mut()).await {
            Either::First(Ok(mut connection)) => {
                let resumed = connection.connect_event() == ConnectEvent::Reconnected;
                subscribed &= resumed;
                collector.source_connected(link.again(), resumed);
                let mut listener = Listener { settings, collector, system, link: &link, subscribed: &mut subscribed };
                match listener.listen(&mut connection, stop.as_mut()).await {
                    Ok(end) => {
                        collector.finish(end);
                        return link::close(&mut connection).await;
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

/// One connection's listener.
struct Listener<'a, 'l, S> {
    settings: &'a Settings,
    collector: &'a Collector,
    system: &'a S,
    link: &'a Link<'l, S>,
    /// Whether the session has the subscriptions.
    subscribed: &'a mut bool,
}

impl<'l, S: Networked> Listener<'_, 'l, S> {
    /// Takes messages until the end; an error is the end of the connection only.
    async fn listen(
        &mut self,
        connection: &mut Connection<'_, '_, Stream<'l, S>>,
        mut stop: Pin<&mut impl Future>,
    ) -> Result<End, Fault> {
        let mut subscription = None;
        if !*self.subscribed {
            let options =
                SubscriptionOptions::default().maximum_qos(QoS::AtLeastOnce).retain_behavior(RetainHandling::Never);
            let topics = self.settings.topics.iter().chain(&self.settings.end);
            let filters: Vec<_> = topics.map(|topic| TopicFilter::new(topic).options(options)).collect();
            let subscribe = with_timeout(self.link.silence(), connection.subscribe(&filters, &[]));
            subscription = Some(subscribe.await.map_err(|_| Fault::Silent)??);
        }
        loop {
            let message = match select(with_timeout(self.link.silence(), connection.poll()), stop.as_mut()).await {
                Either::First(polled) => polled.map_err(|_| Fault::Silent)??,
                Either::Second(_) => return Ok(End::Stopped),
            };
            if let Some(message) = message {
                if self.settings.end.as_deref() == Some(message.topic()) {
                    return Ok(End::Complete);
                }
                let now = self.system.unix_time().as_secs_f64();
                if self.collector.receive(message.topic(), message.payload(), now) {
                    return Ok(End::Complete);
                }
            }
            // A refusal of the subscriptions comes as an error above.
            if let Some(operation) = &subscription {
                *self.subscribed |= connection.is_complete(operation);
            }
        }
    }
}
