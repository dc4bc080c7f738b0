//! The start of a guest, timed where it happens: the line to the host and `xl` itself would both add to what is
//! measured.

use super::ping;
use crate::follow;
use crate::protocol::{Launch, LaunchResult};
use crate::run::Scripts;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// From one echo request to the next, and from one look at the console to the next. dom0 shares its CPU with the guest:
/// what it does while the guest starts must be little.
const INTERVAL: Duration = Duration::from_millis(20);

/// Runs the script and asks for the guest until it answers and has printed a line, or the time is over.
///
/// # Errors
/// There is no ICMP socket, or the script could not be started.
pub fn launch(id: u32, wanted: &Launch, scripts: &Scripts) -> Result<LaunchResult, String> {
    let socket = ping::socket().map_err(|error| format!("ping: {error}"))?;
    let [console, _] = follow::logs_of(&wanted.guest);
    let start = Instant::now();
    let deadline = start + Duration::from_millis(wanted.patience_ms.into());
    thread::scope(|scope| {
        let (ended, end) = channel();
        let script = scope.spawn(move || {
            let output = scripts.run(id, &wanted.script);
            let succeeded = output.as_ref().is_ok_and(|output| output.status == 0);
            // The receiver lives as long as the scope.
            let _ = ended.send((start.elapsed(), succeeded));
            output
        });
        let mut result = watch(&socket, wanted, &console, &end, start, deadline);
        result.script = Some(script.join().map_err(|_| "the thread of the script panicked".to_owned())??);
        if let Ok((time, _)) = end.try_recv() {
            result.script_us = Some(microseconds(time));
        }
        Ok(result)
    })
}

/// Asks and looks, until there is an answer and a line, or the script has failed.
fn watch(
    socket: &UdpSocket,
    wanted: &Launch,
    console: &Path,
    script: &Receiver<(Duration, bool)>,
    start: Instant,
    deadline: Instant,
) -> LaunchResult {
    let mut result = LaunchResult::default();
    let mut buffer = [0; 128];
    for number in 0_u16.. {
        if result.answer_us.is_none() {
            // Nobody may be there yet.
            let _ = socket.send_to(&ping::request(number, 0), (wanted.address, 0));
        }
        let next = Instant::now() + INTERVAL;
        while let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            let _ = socket.set_read_timeout(Some(left));
            let from_guest = |from: SocketAddr| from.ip() == wanted.address;
            // Errors are the network's word that nobody is there.
            let received = socket.recv_from(&mut buffer);
            if received.is_ok_and(|(length, from)| from_guest(from) && ping::is_reply(&buffer[..length])) {
                result.answer_us.get_or_insert(microseconds(start.elapsed()));
            }
        }
        if result.console_us.is_none() && has_line(console) {
            result.console_us = Some(microseconds(start.elapsed()));
        }
        if let Ok((time, succeeded)) = script.try_recv() {
            result.script_us = Some(microseconds(time));
            if !succeeded {
                break;
            }
        }
        if (result.answer_us.is_some() && result.console_us.is_some()) || Instant::now() > deadline {
            break;
        }
    }
    result
}

fn has_line(console: &Path) -> bool {
    fs::read(console).is_ok_and(|text| text.contains(&b'\n'))
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_when_it_has_ended() {
        let path = std::env::temp_dir().join(format!("launch-{}", std::process::id()));
        assert!(!has_line(&path));
        for (text, line) in [("spore", false), ("spore: hello\n", true)] {
            fs::write(&path, text).unwrap();
            assert_eq!(has_line(&path), line);
        }
        fs::remove_file(path).unwrap();
    }
}
