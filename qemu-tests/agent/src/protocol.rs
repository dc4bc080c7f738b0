//! The frames between host and agent, and what they carry.
//!
//! A frame is its length (u32, little-endian) and that many bytes of postcard. The host sends [`Call`]s, the agent
//! [`Message`]s. Calls run at the same time and are answered in the order in which they end, each under its own number.
//! Logs arrive unasked, as they grow, byte for byte: consoles carry binary log frames.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};

/// The name of the virtio-serial port that joins host and agent.
pub const PORT_NAME: &str = "spore.bed";
/// The bridge that guests' interfaces join, by the name that `xl` configurations of a real board use.
pub const BRIDGE: &str = "xenbr0";
/// dom0's address on the bridge, outside the range that QEMU's DHCP server hands out.
pub const DOM0_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 200);
/// The host's loopback interface as guests reach it.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Where `xenconsoled` writes what guests print, as `guest-<name>.log`.
pub const CONSOLE_DIRECTORY: &str = "/var/log/xen/console";
/// Where `xl` writes what it does about a domain, as `xl-<name>.log`.
pub const TOOLSTACK_DIRECTORY: &str = "/var/log/xen";
/// Where the initramfs lists the kernel modules to load, one path a line, in order.
pub const MODULE_LIST: &str = "/etc/bed-modules";

/// No frame is longer: a length above it means that the two sides lost step.
const LARGEST_FRAME_BYTES: usize = 256 << 20;

/// A request under a number of the host's choice.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// Comes back with the answer.
    pub id: u32,
    /// What to do.
    pub request: Request,
}

/// What the host can ask for.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Runs a script in the shell; answered by [`Answer::Exited`] when it and all that hold its output have ended.
    Run {
        /// For `/bin/sh -c`.
        script: String,
    },
    /// Kills the process group of a script or a session that still runs; its own call is answered as well.
    Kill {
        /// The number of the [`Request::Run`] or the [`Request::Session`].
        id: u32,
    },
    /// Runs a program that is talked to while it runs; answered when it has started. [`Message::Output`]s and a
    /// [`Message::Ended`] follow.
    Session(Session),
    /// Input for a session; answered when the program, or its terminal, has taken it.
    Input {
        /// The number of the [`Request::Session`].
        session: u32,
        /// What to write; none ends the input.
        bytes: Vec<u8>,
    },
    /// Another size for a session's terminal.
    Resize {
        /// The number of the [`Request::Session`].
        session: u32,
        /// The new size.
        size: TerminalSize,
    },
    /// Writes a file, creating the directories above it.
    Write {
        /// Absolute path in dom0.
        path: String,
        /// The file's content.
        bytes: Vec<u8>,
    },
    /// Reads a file whole; answered by [`Answer::Bytes`].
    Read {
        /// Absolute path in dom0.
        path: String,
    },
    /// Deletes the logs of earlier guests of a name, so that the next guest's begin empty.
    ForgetLogs {
        /// The guest's name.
        guest: String,
    },
    /// One operation on xenstore.
    Xenstore(Xenstore),
    /// Sends echo requests.
    Ping(Ping),
    /// Opens many TCP connections to an echo server.
    TcpConnections(TcpConnections),
    /// Sends a long stream to a TCP echo server and checks what comes back.
    TcpStream(TcpStream),
    /// Closes all streams in order that are to last until this is asked for.
    EndStreams,
    /// Sends datagrams to a UDP echo server.
    UdpEcho(UdpEcho),
    /// Sends Ethernet frames as they are.
    Frames(Frames),
    /// Sends messages to a TCP echo server, each when the one before has come back.
    TcpRoundTrips(TcpRoundTrips),
    /// Starts a guest and takes the time until it can be heard.
    Launch(Launch),
    /// How long domains have used the CPU.
    CpuTimes {
        /// Their numbers.
        domains: Vec<u16>,
    },
    /// Counts what guests cost while data flows.
    Flow(Flow),
}

/// A program that is talked to while it runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Session {
    /// For `bash -c`; without one it is a shell that reads its commands from its input.
    pub command: Option<String>,
    /// Where it starts; absolute path in dom0.
    pub directory: String,
    /// Variables, beside those of the agent.
    pub environment: Vec<(String, String)>,
    /// The size of its terminal; without one it has pipes.
    pub terminal: Option<TerminalSize>,
}

/// A terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// One operation on xenstore. Values are bytes: tasks keep postcard there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Xenstore {
    /// The value of a node, as [`Answer::Value`]; `None` when the node does not exist.
    Read(String),
    /// The names below a node, as [`Answer::Names`].
    List(String),
    /// Sets a node's value.
    Write(String, Vec<u8>),
    /// Removes a node and all below it.
    Remove(String),
    /// Waits until a node has a value (`None`: until it is gone), answers [`Answer::Value`] with what it is at last.
    WaitFor {
        /// The node.
        path: String,
        /// The awaited value.
        value: Option<Vec<u8>>,
        /// How long at most.
        deadline_ms: u32,
    },
}

/// Echo requests to one address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ping {
    /// Whom to ask.
    pub address: Ipv4Addr,
    /// How many requests.
    pub count: u16,
    /// Time from one request to the next, in microseconds.
    pub interval_us: u32,
    /// Bytes of data in each request.
    pub size_bytes: u16,
    /// How long to wait for stragglers after the last request.
    pub patience_ms: u32,
}

/// What became of a [`Ping`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingResult {
    /// Requests that left.
    pub sent: u32,
    /// Different requests answered with the right data.
    pub received: u32,
    /// Answers beyond the first to a request.
    pub duplicates: u32,
    /// Answers whose data differs from the request's.
    pub corrupted: u32,
    /// Fastest and slowest answer and the mean, in microseconds.
    pub round_trip_us: [u32; 3],
}

/// Many connections to an echo server, each: connect, send, read back, close.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TcpConnections {
    /// The server.
    pub address: SocketAddrV4,
    /// How many connections in all.
    pub count: u32,
    /// How many at the same time.
    pub parallel: u32,
    /// Bytes sent and read back on each.
    pub size_bytes: u32,
    /// Longest time for any one step.
    pub patience_ms: u32,
}

/// What became of [`TcpConnections`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpConnectionsResult {
    /// Connections that carried all bytes back unchanged and were closed in order by both sides.
    pub succeeded: u32,
    /// All others.
    pub failed: u32,
    /// Why the first of them failed.
    pub first_error: Option<String>,
    /// From the first connect to the last close, in microseconds.
    pub elapsed_us: u64,
}

/// A long pseudo-random stream to an echo server, read back while it is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TcpStream {
    /// The server.
    pub address: SocketAddrV4,
    /// Bytes to send, and to expect back; without a number it goes on until [`Request::EndStreams`].
    pub size_bytes: Option<u64>,
    /// Of the pattern.
    pub seed: u64,
    /// Longest time without any progress.
    pub patience_ms: u32,
}

/// What became of a [`TcpStream`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpStreamResult {
    /// Bytes handed to the connection.
    pub sent_bytes: u64,
    /// Bytes that came back and were right.
    pub received_bytes: u64,
    /// Offset of the first byte that was wrong.
    pub first_wrong_byte: Option<u64>,
    /// Why it ended early.
    pub error: Option<String>,
    /// From the first byte sent to the last received, in microseconds.
    pub elapsed_us: u64,
}

/// Datagrams to an echo server, one after the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UdpEcho {
    /// The server.
    pub address: SocketAddrV4,
    /// How many datagrams.
    pub count: u32,
    /// Bytes in each.
    pub size_bytes: u16,
    /// How long to wait for each answer.
    pub patience_ms: u32,
}

/// What became of a [`UdpEcho`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpEchoResult {
    /// Datagrams that left.
    pub sent: u32,
    /// Datagrams that came back unchanged.
    pub received: u32,
    /// Datagrams that came back different.
    pub corrupted: u32,
}

/// Ethernet frames to send on one of dom0's interfaces, right or wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Frames {
    /// The interface's name.
    pub interface: String,
    /// The frames from their destination address on, without the checksum at their end.
    pub frames: Vec<Vec<u8>>,
    /// How many times all of them are sent.
    pub rounds: u32,
}

/// What became of [`Frames`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramesResult {
    /// Frames that left.
    pub sent: u32,
    /// Frames that Linux did not take, such as those longer than the interface's MTU.
    pub refused: u32,
}

/// Messages to a TCP echo server over one connection, one after the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TcpRoundTrips {
    /// The server.
    pub address: SocketAddrV4,
    /// How many messages.
    pub count: u32,
    /// Bytes in each.
    pub size_bytes: u32,
    /// Longest time for any one step.
    pub patience_ms: u32,
}

/// The start of a guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    /// What starts it, for `/bin/sh -c`.
    pub script: String,
    /// The guest's name, which is also that of its console's log.
    pub guest: String,
    /// The address at which it answers echo requests.
    pub address: Ipv4Addr,
    /// How long to wait for the answer.
    pub patience_ms: u32,
}

/// What became of a [`Launch`]; times from its beginning on, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchResult {
    /// How the script ended, and what it printed.
    pub script: Option<Output>,
    /// When the script had ended.
    pub script_us: Option<u64>,
    /// When the console had its first line.
    pub console_us: Option<u64>,
    /// When the first answer came.
    pub answer_us: Option<u64>,
}

/// CPU times of domains.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuTimes {
    /// dom0's clock, from some moment on.
    pub clock_ns: u64,
    /// For each domain, in the order of the question.
    pub used_ns: Vec<u64>,
}

/// A look at counters, twice, while data flows to or from guests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Flow {
    /// The guests' domains.
    pub domains: Vec<u16>,
    /// Whether to count what goes to the guests, instead of what comes from them.
    pub to_guests: bool,
    /// Data flows when so many bytes have moved.
    pub begun_bytes: u64,
    /// From then to the first look.
    pub settle_ms: u32,
    /// From the first look to the second.
    pub length_ms: u32,
    /// Longest wait for data to flow.
    pub patience_ms: u32,
}

/// What has changed from one look to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowResult {
    /// CPU time of all the guests.
    pub guests_ns: u64,
    /// CPU time of dom0.
    pub dom0_ns: u64,
    /// Bytes through the guests' interfaces, without what Ethernet adds.
    pub bytes: u64,
    /// Packets; a segment that a card would divide is one.
    pub packets: u64,
    /// Events of the interfaces that reached dom0.
    pub events: u64,
}

/// What the agent says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// dom0 and its toolstack are up. The first message.
    Ready {
        /// dom0's uptime, in milliseconds.
        uptime_ms: u64,
    },
    /// A log of a guest grew.
    Log {
        /// Whose console, or whose toolstack log.
        source: LogSource,
        /// What was added.
        bytes: Vec<u8>,
    },
    /// A session's program printed something.
    Output {
        /// The number of the [`Request::Session`].
        session: u32,
        /// Which of its outputs.
        stream: Stream,
        /// What it printed.
        bytes: Vec<u8>,
    },
    /// A session's program, and all that held its outputs, have ended.
    Ended {
        /// The number of the [`Request::Session`].
        session: u32,
        /// Exit status; 128 + signal when a signal ended it, as shells say it.
        status: Result<i32, String>,
    },
    /// The end of a call.
    Answer {
        /// The call's number.
        id: u32,
        /// Its result, or what prevented it.
        answer: Result<Answer, String>,
    },
}

/// One of a program's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output, or all that a terminal shows.
    Output,
    /// Standard error.
    Error,
}

/// Where a piece of log comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogSource {
    /// The console of the guest of this name.
    Console(String),
    /// What `xl` says about the guest of this name.
    Toolstack(String),
}

/// A call's result.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is done and there is nothing to say.
    Done,
    /// A script ended.
    Exited(Output),
    /// A file's content.
    Bytes(Vec<u8>),
    /// The value of a xenstore node, if there is one.
    Value(Option<Vec<u8>>),
    /// Names below a xenstore node.
    Names(Vec<String>),
    /// See [`Ping`].
    Ping(PingResult),
    /// See [`TcpConnections`].
    TcpConnections(TcpConnectionsResult),
    /// See [`TcpStream`].
    TcpStream(TcpStreamResult),
    /// See [`UdpEcho`].
    UdpEcho(UdpEchoResult),
    /// See [`Frames`].
    Frames(FramesResult),
    /// See [`TcpRoundTrips`]: the time of each, in microseconds.
    RoundTrips(Vec<u32>),
    /// See [`Launch`].
    Launch(LaunchResult),
    /// See [`Request::CpuTimes`].
    CpuTimes(CpuTimes),
    /// See [`Flow`].
    Flow(FlowResult),
}

/// How a script ended and what it printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Exit status; 128 + signal when a signal ended it, as shells say it.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Writes one frame and flushes.
///
/// # Errors
/// What the writer reports.
pub fn write_frame<T: Serialize>(writer: &mut impl Write, value: &T) -> io::Result<()> {
    let body = postcard::to_allocvec(value).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(&body)?;
    writer.flush()
}

/// Reads one frame; `None` at the stream's end.
///
/// # Errors
/// What the reader reports, an end within a frame, or a frame that says something unknown.
pub fn read_frame<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match reader.read(&mut length)? {
        0 => return Ok(None),
        read => reader.read_exact(&mut length[read..])?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LARGEST_FRAME_BYTES {
        return Err(io::Error::other(format!("a frame of {length} bytes: the two sides lost step")));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    postcard::from_bytes(&body).map(Some).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that hands out one byte at a time, as a slow serial line would.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    fn stream() -> Vec<u8> {
        let mut stream = Vec::new();
        let log = Message::Log { source: LogSource::Console("hello".into()), bytes: vec![0xfe, 0, 0x80, b'\n'] };
        write_frame(&mut stream, &log).unwrap();
        write_frame(&mut stream, &Message::Answer { id: 7, answer: Err("no such file".into()) }).unwrap();
        stream
    }

    #[test]
    fn frames_survive_a_stream_that_splits_them_anywhere() {
        let stream = stream();
        let mut reader = Trickle(&stream);
        let Some(Message::Log { source, bytes }) = read_frame(&mut reader).unwrap() else { panic!("not a log") };
        assert_eq!((source, bytes), (LogSource::Console("hello".into()), vec![0xfe, 0, 0x80, b'\n']));
        let Some(Message::Answer { id: 7, answer: Err(error) }) = read_frame(&mut reader).unwrap() else {
            panic!("not an answer")
        };
        assert_eq!(error, "no such file");
        assert!(read_frame::<Message>(&mut reader).unwrap().is_none());
    }

    #[test]
    fn an_end_within_a_frame_is_an_error() {
        let stream = stream();
        for end in 1..8 {
            assert!(read_frame::<Message>(&mut &stream[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn an_impossible_length_is_an_error_and_allocates_nothing() {
        let error = read_frame::<Message>(&mut &[0xff; 8][..]).unwrap_err();
        assert!(error.to_string().contains("lost step"), "{error}");
    }
}
