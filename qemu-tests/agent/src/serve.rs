//! The agent: takes the host's calls from the virtio-serial port and answers them, each in a thread of its own.

use crate::client::{frames, launch, ping, tcp, udp};
use crate::cpu_time;
use crate::flow;
use crate::follow;
use crate::init::uptime_ms;
use crate::protocol::{Answer, Call, Message, PORT_NAME, Request, read_frame, write_frame};
use crate::run::Scripts;
use crate::session::{Session, Sessions};
use crate::xenstore;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The writing half of the port. A frame is written under the lock, so frames never mix.
#[derive(Clone)]
struct Host(Arc<Mutex<File>>);

impl Host {
    fn send(&self, message: &Message) -> io::Result<()> {
        write_frame(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), message)
    }
}

/// What the host has started and not seen the end of.
#[derive(Default)]
struct Programs {
    scripts: Scripts,
    sessions: Sessions,
}

/// Serves until the host closes the port.
///
/// # Errors
/// The port is missing or fails, or the logs cannot be followed.
pub fn serve() -> io::Result<()> {
    let port = OpenOptions::new().read(true).write(true).open(port_device()?)?;
    let host = Host(Arc::new(Mutex::new(port.try_clone()?)));
    let programs = Arc::new(Programs::default());
    let logs = host.clone();
    thread::spawn(move || {
        let outcome =
            follow::follow(|source, bytes| logs.send(&Message::Log { source: source.clone(), bytes: bytes.to_vec() }));
        println!("bed-agent: following logs ended: {outcome:?}");
    });
    host.send(&Message::Ready { uptime_ms: uptime_ms() })?;
    let mut calls = BufReader::new(port);
    while let Some(Call { id, request }) = read_frame(&mut calls)? {
        let (host, programs) = (host.clone(), programs.clone());
        thread::spawn(move || {
            let message = Message::Answer { id, answer: answer(id, request, &programs, &host) };
            if let Err(error) = host.send(&message) {
                println!("bed-agent: call {id}: {error}");
            }
        });
    }
    Ok(())
}

/// The device of the port with our name. The kernel adds ports in its own time, so a missing one is awaited.
fn port_device() -> io::Result<PathBuf> {
    let watch = inotify::init(CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, "/dev", WatchFlags::CREATE)?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    loop {
        for entry in fs::read_dir("/sys/class/virtio-ports")? {
            let entry = entry?;
            let device = Path::new("/dev").join(entry.file_name());
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if name.trim_end() == PORT_NAME && device.exists() {
                return Ok(device);
            }
        }
        events.next()?;
    }
}

fn answer(id: u32, request: Request, programs: &Arc<Programs>, host: &Host) -> Result<Answer, String> {
    let Programs { scripts, sessions } = &**programs;
    match request {
        Request::Run { script } => scripts.run(id, &script).map(Answer::Exited),
        Request::Kill { id } => {
            scripts.kill(id);
            sessions.kill(id);
            Ok(Answer::Done)
        }
        Request::Session(wanted) => {
            let session = sessions.start(id, &wanted)?;
            let (programs, host) = (programs.clone(), host.clone());
            thread::spawn(move || follow_session(id, session, &programs.sessions, &host));
            Ok(Answer::Done)
        }
        Request::Input { session, bytes } => sessions.input(session, &bytes).map(|()| Answer::Done),
        Request::Resize { session, size } => sessions.resize(session, size).map(|()| Answer::Done),
        Request::Write { path, bytes } => {
            write(Path::new(&path), &bytes).map(|()| Answer::Done).map_err(|error| format!("{path}: {error}"))
        }
        Request::Read { path } => fs::read(&path).map(Answer::Bytes).map_err(|error| format!("{path}: {error}")),
        Request::ForgetLogs { guest } => {
            forget_logs(&guest).map(|()| Answer::Done).map_err(|error| format!("logs of {guest}: {error}"))
        }
        Request::Xenstore(operation) => xenstore::perform(&operation),
        Request::Ping(wanted) => ping::ping(&wanted).map(Answer::Ping).map_err(|error| format!("ping: {error}")),
        Request::TcpConnections(wanted) => Ok(Answer::TcpConnections(tcp::connections(&wanted))),
        Request::TcpStream(wanted) => Ok(Answer::TcpStream(tcp::stream(&wanted))),
        Request::EndStreams => {
            tcp::end_streams();
            Ok(Answer::Done)
        }
        Request::Frames(wanted) => {
            frames::send_all(&wanted).map(Answer::Frames).map_err(|error| format!("frames: {error}"))
        }
        Request::UdpEcho(wanted) => udp::echo(&wanted).map(Answer::UdpEcho).map_err(|error| format!("udp: {error}")),
        Request::TcpRoundTrips(wanted) => {
            tcp::round_trips(&wanted).map(Answer::RoundTrips).map_err(|error| format!("round trips: {error}"))
        }
        Request::Launch(wanted) => launch::launch(id, &wanted, scripts).map(Answer::Launch),
        Request::CpuTimes { domains } => {
            cpu_time::of(&domains).map(Answer::CpuTimes).map_err(|error| format!("CPU times: {error}"))
        }
        Request::Flow(wanted) => flow::watch(&wanted).map(Answer::Flow).map_err(|error| format!("flow: {error}")),
    }
}

/// Sends what a session's program prints, then its end.
fn follow_session(id: u32, session: Session, sessions: &Sessions, host: &Host) {
    let output = |stream, bytes: &[u8]| host.send(&Message::Output { session: id, stream, bytes: bytes.to_vec() });
    let status = sessions.follow(session, output);
    if let Err(error) = host.send(&Message::Ended { session: id, status }) {
        println!("bed-agent: session {id}: {error}");
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, bytes)
}

fn forget_logs(guest: &str) -> io::Result<()> {
    for path in follow::logs_of(guest) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
