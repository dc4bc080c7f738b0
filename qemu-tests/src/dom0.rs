//! What can be done in dom0, through the agent.

use crate::link::Link;
use crate::session::Session;
use anyhow::{Result, bail};
use bed_agent::protocol::{
    self, Answer, CpuTimes, Flow, FlowResult, Frames, FramesResult, Launch, LaunchResult, LogSource, Output, Ping,
    PingResult, Request, TcpConnections, TcpConnectionsResult, TcpRoundTrips, TcpStream, TcpStreamResult, UdpEcho,
    UdpEchoResult, Xenstore,
};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a script or another short call.
const CALL_PATIENCE: Duration = Duration::from_secs(60);

/// A handle to dom0; clones lead to the same one, from any thread.
#[derive(Debug, Clone)]
pub struct Dom0(Arc<Link>);

impl Dom0 {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self(link)
    }

    pub(crate) fn link(&self) -> &Link {
        &self.0
    }

    /// Runs a script in dom0's shell to its end.
    ///
    /// # Errors
    /// It did not end within a minute, or dom0 is gone. A script that fails is no error: see its status.
    pub fn shell(&self, script: &str) -> Result<Output> {
        self.shell_within(script, CALL_PATIENCE)
    }

    /// Runs a script that may take longer.
    ///
    /// # Errors
    /// As [`Dom0::shell`].
    pub fn shell_within(&self, script: &str, patience: Duration) -> Result<Output> {
        match self.call(Request::Run { script: script.to_owned() }, patience)? {
            Answer::Exited(output) => Ok(output),
            other => unexpected(&other),
        }
    }

    /// Runs a script that must succeed; returns what it printed.
    ///
    /// # Errors
    /// It failed: then what it printed is in the message. Otherwise as [`Dom0::shell`].
    pub fn must(&self, script: &str) -> Result<String> {
        self.must_within(script, CALL_PATIENCE)
    }

    /// Runs a script that must succeed and may take longer.
    ///
    /// # Errors
    /// As [`Dom0::must`].
    pub fn must_within(&self, script: &str, patience: Duration) -> Result<String> {
        let output = self.shell_within(script, patience)?;
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match output.status {
            0 => Ok(out.into_owned()),
            status => bail!("in dom0: {script}: exit status {status}\n{out}{error}"),
        }
    }

    /// Starts a program that is talked to while it runs.
    ///
    /// # Errors
    /// It cannot be started, or dom0 is gone.
    pub fn start(&self, wanted: protocol::Session) -> Result<Session> {
        let (id, events) = self.0.start_session(wanted, CALL_PATIENCE)?;
        Ok(Session::new(self.0.clone(), id, events))
    }

    /// Writes a file in dom0, creating the directories above it.
    ///
    /// # Errors
    /// dom0 cannot write it, or is gone.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.done(Request::Write { path: path.to_owned(), bytes: bytes.to_vec() })
    }

    /// Reads a file in dom0.
    ///
    /// # Errors
    /// dom0 cannot read it, or is gone.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        match self.call(Request::Read { path: path.to_owned() }, CALL_PATIENCE)? {
            Answer::Bytes(bytes) => Ok(bytes),
            other => unexpected(&other),
        }
    }

    /// A xenstore node's value, byte for byte; `None` when there is no such node.
    ///
    /// # Errors
    /// xenstored refuses, or dom0 is gone.
    pub fn xenstore_read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.xenstore_value(Xenstore::Read(path.to_owned()), CALL_PATIENCE)
    }

    /// Sets a xenstore node's value.
    ///
    /// # Errors
    /// xenstored refuses, or dom0 is gone.
    pub fn xenstore_write(&self, path: &str, value: &[u8]) -> Result<()> {
        self.done(Request::Xenstore(Xenstore::Write(path.to_owned(), value.to_vec())))
    }

    /// The names below a xenstore node.
    ///
    /// # Errors
    /// There is no such node, or dom0 is gone.
    pub fn xenstore_list(&self, path: &str) -> Result<Vec<String>> {
        match self.call(Request::Xenstore(Xenstore::List(path.to_owned())), CALL_PATIENCE)? {
            Answer::Names(names) => Ok(names),
            other => unexpected(&other),
        }
    }

    /// Waits until a xenstore node has a value (`None`: until it is gone); returns what it is at last.
    ///
    /// # Errors
    /// xenstored refuses, or dom0 is gone.
    pub fn xenstore_wait(&self, path: &str, value: Option<&[u8]>, patience: Duration) -> Result<Option<Vec<u8>>> {
        let deadline_ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        let operation = Xenstore::WaitFor { path: path.to_owned(), value: value.map(<[u8]>::to_vec), deadline_ms };
        self.xenstore_value(operation, patience + CALL_PATIENCE)
    }

    /// Sends echo requests from dom0.
    ///
    /// # Errors
    /// dom0 is gone.
    pub fn ping(&self, ping: &Ping) -> Result<PingResult> {
        let lasting = Duration::from_micros(u64::from(ping.count) * u64::from(ping.interval_us))
            + Duration::from_millis(ping.patience_ms.into());
        match self.call(Request::Ping(ping.clone()), lasting + CALL_PATIENCE)? {
            Answer::Ping(result) => Ok(result),
            other => unexpected(&other),
        }
    }

    /// Opens many TCP connections from dom0 to an echo server.
    ///
    /// # Errors
    /// They did not end in time, or dom0 is gone.
    pub fn tcp_connections(&self, wanted: &TcpConnections, patience: Duration) -> Result<TcpConnectionsResult> {
        match self.call(Request::TcpConnections(wanted.clone()), patience)? {
            Answer::TcpConnections(result) => Ok(result),
            other => unexpected(&other),
        }
    }

    /// Sends messages from dom0 to a TCP echo server, one after the other; returns the time of each in microseconds.
    ///
    /// # Errors
    /// One did not come back or came back changed, they did not end in time, or dom0 is gone.
    pub fn tcp_round_trips(&self, wanted: &TcpRoundTrips, patience: Duration) -> Result<Vec<u32>> {
        match self.call(Request::TcpRoundTrips(wanted.clone()), patience)? {
            Answer::RoundTrips(times) => Ok(times),
            other => unexpected(&other),
        }
    }

    /// How long domains have used the CPU since each was made.
    ///
    /// # Errors
    /// There is no such domain, or dom0 is gone.
    pub fn cpu_times(&self, domains: &[u16]) -> Result<CpuTimes> {
        match self.call(Request::CpuTimes { domains: domains.to_vec() }, CALL_PATIENCE)? {
            Answer::CpuTimes(times) => Ok(times),
            other => unexpected(&other),
        }
    }

    /// Counts what guests cost while data flows, which something else has moved at the same time.
    ///
    /// # Errors
    /// No data flows, there is no such domain or it has no interface, or dom0 is gone.
    pub fn flow(&self, wanted: &Flow) -> Result<FlowResult> {
        let lasting = u64::from(wanted.patience_ms) + u64::from(wanted.settle_ms) + u64::from(wanted.length_ms);
        match self.call(Request::Flow(wanted.clone()), Duration::from_millis(lasting) + CALL_PATIENCE)? {
            Answer::Flow(result) => Ok(result),
            other => unexpected(&other),
        }
    }

    pub(crate) fn launch(&self, wanted: Launch, patience: Duration) -> Result<LaunchResult> {
        match self.call(Request::Launch(wanted), patience + CALL_PATIENCE)? {
            Answer::Launch(result) => Ok(result),
            other => unexpected(&other),
        }
    }

    /// Sends a long stream from dom0 to a TCP echo server and checks what comes back.
    ///
    /// # Errors
    /// It did not end in time, or dom0 is gone.
    pub fn tcp_stream(&self, wanted: &TcpStream, patience: Duration) -> Result<TcpStreamResult> {
        match self.call(Request::TcpStream(wanted.clone()), patience)? {
            Answer::TcpStream(result) => Ok(result),
            other => unexpected(&other),
        }
    }

    /// Lets all streams end in order that have no size, see [`Dom0::tcp_stream`].
    ///
    /// # Errors
    /// dom0 is gone.
    pub fn end_streams(&self) -> Result<()> {
        self.done(Request::EndStreams)
    }

    /// Sends Ethernet frames, right or wrong, from one of dom0's interfaces.
    ///
    /// # Errors
    /// There is no such interface, it did not end in time, or dom0 is gone.
    pub fn send_frames(&self, wanted: Frames, patience: Duration) -> Result<FramesResult> {
        match self.call(Request::Frames(wanted), patience)? {
            Answer::Frames(result) => Ok(result),
            other => unexpected(&other),
        }
    }

    /// Sends datagrams from dom0 to a UDP echo server.
    ///
    /// # Errors
    /// They did not end in time, or dom0 is gone.
    pub fn udp_echo(&self, wanted: &UdpEcho, patience: Duration) -> Result<UdpEchoResult> {
        match self.call(Request::UdpEcho(wanted.clone()), patience)? {
            Answer::UdpEcho(result) => Ok(result),
            other => unexpected(&other),
        }
    }

    /// All logs of guests since they were last forgotten, in the order of the guests' names.
    #[must_use]
    pub fn all_logs(&self) -> Vec<(LogSource, Vec<u8>)> {
        self.0.all_logs()
    }

    /// Begins all logs of guests anew on the host's side.
    pub fn forget_all_logs(&self) {
        self.0.forget_all();
    }

    /// Forgets the logs of earlier guests of a name, here and in dom0.
    pub(crate) fn forget_logs(&self, guest: &str) -> Result<()> {
        self.done(Request::ForgetLogs { guest: guest.to_owned() })
    }

    fn xenstore_value(&self, operation: Xenstore, patience: Duration) -> Result<Option<Vec<u8>>> {
        match self.call(Request::Xenstore(operation), patience)? {
            Answer::Value(value) => Ok(value),
            other => unexpected(&other),
        }
    }

    fn done(&self, request: Request) -> Result<()> {
        match self.call(request, CALL_PATIENCE)? {
            Answer::Done => Ok(()),
            other => unexpected(&other),
        }
    }

    fn call(&self, request: Request, patience: Duration) -> Result<Answer> {
        self.0.call(request, patience)
    }
}

/// The agent answered a question that was not asked: host and agent are of different versions.
fn unexpected<T>(answer: &Answer) -> Result<T> {
    bail!("dom0's agent answered something else: {answer:?}")
}
