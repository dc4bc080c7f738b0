//! A platform for tests of tasks as processes: the developer's machine, with an end of its own for each task.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use host::{FeedSocket, Host, HostNetwork};
use kernel::{Feeding, Memory, Networked, Stop, System, feed};

/// The developer's machine, with an end of its own for each test.
pub struct Machine {
    pub host: Host,
    pub stop: async_channel::Receiver<()>,
    /// Lists of the tasks to feed, each in place of the one before.
    pub lists: async_channel::Receiver<BTreeMap<u16, String>>,
}

impl Machine {
    /// One that is told nothing but to stop.
    #[allow(dead_code, reason = "not every test has a list of tasks")]
    pub fn new(host: Host, stop: async_channel::Receiver<()>) -> Self {
        Self { host, stop, lists: async_channel::bounded(1).1 }
    }
}

impl System for Machine {
    fn memory(&self) -> Memory {
        self.host.memory()
    }

    fn random(&self, destination: &mut [u8]) {
        self.host.random(destination);
    }

    fn unix_time(&self) -> Duration {
        self.host.unix_time()
    }

    async fn stop_requested(&self) -> Stop {
        match self.stop.recv().await {
            Ok(()) => Stop::PowerOff,
            Err(_) => pending().await,
        }
    }
}

impl Networked for Machine {
    type Network = HostNetwork;

    fn network(&self) -> &HostNetwork {
        self.host.network()
    }
}

impl Feeding for Machine {
    type Channel = FeedSocket;

    async fn serve(&self, task: u16) -> Result<FeedSocket, feed::Error> {
        self.host.serve(task).await
    }

    async fn tasks(&self, known: &BTreeMap<u16, String>) -> BTreeMap<u16, String> {
        loop {
            match self.lists.recv().await {
                Ok(list) if list == *known => {}
                Ok(list) => return list,
                Err(_) => pending().await,
            }
        }
    }
}
