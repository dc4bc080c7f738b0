//! A real MQTT broker on the host's loopback interface, which guests reach at 10.0.2.2.

use crate::apt;
use crate::host_tool;
use crate::packages::{self, Set};
use crate::place;
use crate::process::{Log, Process};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Longest wait for the broker to listen.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// A mosquitto. It ends on drop.
#[derive(Debug)]
pub struct Broker {
    programs: &'static Set,
    name: String,
    /// Lines of its configuration, beside those for its port and its log.
    settings: String,
    port: u16,
    process: Option<Process>,
    said: Log,
    clients: AtomicU32,
}

impl Broker {
    /// Starts a broker on a free port that lets everyone in; its log is `target/bed/logs/<name>.mosquitto.log`.
    ///
    /// # Errors
    /// The packages are missing, or the broker does not start.
    pub fn start(name: &str) -> Result<Self> {
        Self::start_with(name, "allow_anonymous true\n")
    }

    /// Starts a broker with these lines in its configuration.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_with(name: &str, settings: &str) -> Result<Self> {
        Self::start_of(&packages::HOST, name, settings)
    }

    /// Starts the broker of a set of packages.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_of(programs: &'static Set, name: &str, settings: &str) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let log = log_path(name);
        fs::create_dir_all(place::logs()).context("make the folder for logs")?;
        File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut broker = Self {
            programs,
            name: name.to_owned(),
            settings: settings.to_owned(),
            port,
            process: None,
            said: Log::default(),
            clients: AtomicU32::new(0),
        };
        broker.resume()?;
        Ok(broker)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        log_path(&self.name)
    }

    /// Kills the broker as a power cut would: connections break, and what it kept in memory is lost.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts the broker again on the same port, after [`Broker::stop`].
    ///
    /// # Errors
    /// It does not start; the last of its log is in the message.
    pub fn resume(&mut self) -> Result<()> {
        let mut settings = format!("listener {} {}\nlog_type all\n{}", self.port, Ipv4Addr::LOCALHOST, self.settings);
        if apt::is_root() {
            // It would look for a user of its own otherwise, which only an installed package makes.
            settings += "user root\n";
        }
        let file = self.log().with_extension("conf");
        fs::write(&file, settings).with_context(|| format!("write {}", file.display()))?;
        let mut command = host_tool::command_of(self.programs, "/usr/sbin/mosquitto")?;
        command.arg("-c").arg(&file);
        let begin = self.said.length();
        let log = File::options().append(true).open(self.log()).context("open the broker's log")?;
        let process = Process::start(command, &self.said, log).context("start mosquitto")?;
        // It says its version when it starts and when it listens. "running" is no word to wait for: some versions say
        // first who runs them.
        if !self.said.wait(begin, "mosquitto version", 2, START_PATIENCE) {
            bail!("mosquitto did not start:\n{}", fs::read_to_string(self.log()).unwrap_or_default());
        }
        self.process = Some(process);
        Ok(())
    }

    /// Waits until the broker has logged a line with this text, now or earlier; whether it did in time.
    ///
    /// Among others it logs `New client connected from <address> as <id>` and
    /// `Received PUBLISH from <id> (..., '<topic>', ...)`.
    #[must_use]
    pub fn wait_log(&self, text: &str, patience: Duration) -> bool {
        self.said.wait(0, text, 1, patience)
    }

    /// Waits until the broker has logged so many lines with this text; whether it did in time.
    #[must_use]
    pub fn wait_logs(&self, text: &str, count: usize, patience: Duration) -> bool {
        self.said.wait(0, text, count, patience)
    }

    /// How many lines with this text the broker has logged.
    #[must_use]
    pub fn count_log(&self, text: &str) -> usize {
        self.said.count(text)
    }

    /// Publishes lines to a topic, each a message that the broker acknowledges.
    ///
    /// # Errors
    /// The client does not start.
    pub fn publisher(&self, topic: &str) -> Result<Publisher> {
        let mut command = self.client("mosquitto_pub")?;
        command.args(["-q", "1", "-t", topic, "-l"]).stdin(Stdio::piped());
        let mut process = Process(command.spawn().context("start mosquitto_pub")?);
        let input = process.0.stdin.take();
        Ok(Publisher { process, input })
    }

    /// Subscribes to topics; returns when the broker has confirmed it, so no later message is missed.
    ///
    /// # Errors
    /// The client does not start, or the broker does not confirm.
    pub fn subscribe(&self, filter: &str) -> Result<Subscription> {
        let id = format!("spore-subscriber-{}", self.clients.fetch_add(1, Ordering::Relaxed));
        let mut command = self.client("mosquitto_sub")?;
        command.args(["-i", &id, "-q", "1", "-t", filter, "-F", "%t\x02%p"]).stdout(Stdio::piped());
        let mut process = Process(command.spawn().context("start mosquitto_sub")?);
        let lines = process.0.stdout.take().map(BufReader::new).context("mosquitto_sub without output")?;
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let message = line.split_once('\x02').map(|(topic, payload)| (topic.to_owned(), payload.to_owned()));
                if message.is_some_and(|message| sender.send(message).is_err()) {
                    return;
                }
            }
        });
        // The client would say it too, but only with its first message: it does not write to a pipe line by line.
        if !self.wait_log(&format!("Sending SUBACK to {id}"), START_PATIENCE) {
            bail!("the broker did not confirm a subscription to {filter}");
        }
        Ok(Subscription { receiver, _process: process })
    }

    /// A client program of the broker's package, pointed at this broker.
    ///
    /// # Errors
    /// The packages are missing.
    pub fn client(&self, program: &str) -> Result<Command> {
        let mut command = host_tool::command(&format!("/usr/bin/{program}"))?;
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-V", "mqttv311"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }
}

/// Publishes to one topic.
#[derive(Debug)]
pub struct Publisher {
    process: Process,
    input: Option<ChildStdin>,
}

impl Publisher {
    /// Publishes one message, which must not have line ends.
    ///
    /// # Errors
    /// The client has ended.
    pub fn send(&mut self, message: &str) -> Result<()> {
        let input = self.input.as_mut().context("mosquitto_pub without input")?;
        writeln!(input, "{message}").and_then(|()| input.flush()).context("mosquitto_pub has ended")
    }

    /// Waits until the broker has acknowledged all messages.
    ///
    /// # Errors
    /// The client failed.
    pub fn finish(mut self) -> Result<()> {
        self.input = None;
        let status = self.process.0.wait()?;
        if !status.success() {
            bail!("mosquitto_pub: {status}");
        }
        Ok(())
    }
}

/// Messages of a subscription, in the order of their arrival.
#[derive(Debug)]
pub struct Subscription {
    receiver: Receiver<(String, String)>,
    _process: Process,
}

impl Subscription {
    /// The next message as (topic, payload); `None` when none came in time.
    #[must_use]
    pub fn next(&self, patience: Duration) -> Option<(String, String)> {
        self.receiver.recv_timeout(patience).ok()
    }
}

fn log_path(name: &str) -> PathBuf {
    Path::new(&place::logs()).join(format!("{name}.mosquitto.log"))
}
