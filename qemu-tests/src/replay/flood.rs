//! Publishes without end, as fast as the broker takes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rumqttc::{Client, MqttOptions, QoS};

/// The time of the first pack, in seconds since 1970.
const BEGIN_S: u64 = 1_700_000_040;

/// How many records are in a pack, and of how many sensors.
const RECORDS: u64 = 400;
/// See `RECORDS`.
pub const SENSORS: u64 = 20;

/// A flood of packs on `sensors/flood`, without acknowledgements. It ends on drop, or with its connection.
#[derive(Debug)]
pub struct Flood {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Begins; each pack is so many seconds later than the one before.
    #[must_use]
    pub fn start(broker: SocketAddr, step_s: u64) -> Self {
        let records = records();
        Self::of(broker, move |number| format!(r#"[{{"bt":{},{records}"#, BEGIN_S + number * step_s))
    }

    /// Begins, with a pack for each number from 0 on.
    #[must_use]
    pub fn of(broker: SocketAddr, pack: impl Fn(u64) -> String + Send + 'static) -> Self {
        let mut options = MqttOptions::new("flood", broker.ip().to_string(), broker.port());
        options.set_max_packet_size(64 * 1024, 64 * 1024);
        let (client, mut connection) = Client::new(options, 1);
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let publish = move || {
            for number in (0..).take_while(|_| !ends.load(Ordering::Relaxed)) {
                if client.publish("sensors/flood", QoS::AtMostOnce, false, pack(number)).is_err() {
                    return;
                }
            }
            // The other thread ends with the connection; it may have done so already.
            let _ = client.disconnect();
        };
        let carry = move || while let Some(Ok(_)) = connection.iter().next() {};
        Self { over, threads: vec![thread::spawn(publish), thread::spawn(carry)] }
    }

    /// Whether it goes on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // What it had to say is of no use any more.
            let _ = thread.join();
        }
    }
}

/// What all packs have in common, after their time: some 12 KB.
fn records() -> String {
    let record = |number| format!(r#""n":"flood{}","v":{number}}}"#, number % SENSORS);
    (0..RECORDS).map(record).collect::<Vec<_>>().join(",{") + "]"
}
