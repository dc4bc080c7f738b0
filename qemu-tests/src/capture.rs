//! The last packets that went over a machine's network card, in the form that Wireshark and tcpdump read.
//!
//! QEMU's `filter-dump` writes each packet into a pipe; what is read from it is kept in memory, up to a limit, until
//! somebody asks for it. So a machine that runs for hours costs no more than one that runs for seconds, and nothing is
//! written to disk unless it is wanted.
//!
//! The format: a header of 24 bytes, then for each packet a header of 16 bytes, whose third word is the number of bytes
//! that follow. Source: the file format of libpcap, pcap-savefile(5).

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Length of the file's header.
const FILE_HEADER_BYTES: usize = 24;
/// Length of a packet's header.
const PACKET_HEADER_BYTES: usize = 16;
/// Where in it the number of bytes that follow is.
const LENGTH_AT: usize = 8;
/// No packet is longer: QEMU cuts them at this length.
pub const LONGEST_PACKET_BYTES: usize = 2048;

/// A capture that goes on while its machine runs.
#[derive(Debug, Clone)]
pub struct Capture(Arc<Mutex<Kept>>);

/// What is kept of a capture.
#[derive(Debug)]
struct Kept {
    header: Vec<u8>,
    packets: VecDeque<Vec<u8>>,
    bytes: usize,
    most_bytes: usize,
}

impl Capture {
    /// Reads a capture in a thread that ends with it, and keeps the last packets of no more than `most_bytes` in all.
    #[must_use]
    pub fn read(mut from: impl Read + Send + 'static, most_bytes: usize) -> Self {
        let capture =
            Self(Arc::new(Mutex::new(Kept { header: Vec::new(), packets: VecDeque::new(), bytes: 0, most_bytes })));
        let reading = capture.clone();
        thread::spawn(move || {
            // It ends with the machine, in whatever packet that happens.
            let _ = reading.fill(&mut from);
            // A capture that cannot be understood is read to its end all the same: QEMU would wait for room in the
            // pipe.
            let _ = io::copy(&mut from, &mut io::sink());
        });
        capture
    }

    /// Forgets the packets up to now.
    pub fn forget(&self) {
        let mut kept = self.kept();
        kept.packets.clear();
        kept.bytes = 0;
    }

    /// The packets since they were last forgotten, or the last ones of these, as a file. Nothing when there are none.
    #[must_use]
    pub fn file(&self) -> Option<Vec<u8>> {
        let kept = self.kept();
        if kept.packets.is_empty() {
            return None;
        }
        Some(std::iter::once(&kept.header).chain(&kept.packets).flatten().copied().collect())
    }

    fn fill(&self, from: &mut impl Read) -> io::Result<()> {
        let mut header = vec![0; FILE_HEADER_BYTES];
        from.read_exact(&mut header)?;
        self.kept().header = header;
        loop {
            let mut packet = vec![0; PACKET_HEADER_BYTES];
            from.read_exact(&mut packet)?;
            let mut length = [0; 4];
            length.copy_from_slice(&packet[LENGTH_AT..LENGTH_AT + 4]);
            // In the byte order of who writes it, which is this machine.
            let length = u32::from_ne_bytes(length) as usize;
            if length > LONGEST_PACKET_BYTES {
                return Err(io::Error::other(format!("a packet of {length} bytes in a capture")));
            }
            packet.resize(PACKET_HEADER_BYTES + length, 0);
            from.read_exact(&mut packet[PACKET_HEADER_BYTES..])?;
            self.kept().add(packet);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, packet: Vec<u8>) {
        self.bytes += packet.len();
        self.packets.push_back(packet);
        while self.bytes > self.most_bytes {
            let Some(oldest) = self.packets.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    const HEADER: [u8; FILE_HEADER_BYTES] = [7; FILE_HEADER_BYTES];

    fn packet(byte: u8, length: u32) -> Vec<u8> {
        let mut packet = vec![byte; PACKET_HEADER_BYTES];
        packet[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_ne_bytes());
        packet.resize(PACKET_HEADER_BYTES + length as usize, byte);
        packet
    }

    /// Waits until the last packet of a capture is this one.
    fn wait_for(capture: &Capture, last: &[u8]) -> Vec<u8> {
        loop {
            match capture.file() {
                Some(file) if file.ends_with(last) => return file,
                _ => thread::yield_now(),
            }
        }
    }

    #[test]
    fn the_last_packets_are_kept_whole_and_older_ones_make_room() {
        let (mut qemu, ours) = UnixStream::pair().unwrap();
        let capture = Capture::read(ours, 250);
        assert_eq!(capture.file(), None);
        let packets = [packet(1, 100), packet(2, 60), packet(3, 100)];
        qemu.write_all(&[HEADER.as_slice(), &packets.concat()].concat()).unwrap();
        assert_eq!(wait_for(&capture, &packets[2]), [HEADER.as_slice(), &packets[1], &packets[2]].concat());
        capture.forget();
        assert_eq!(capture.file(), None);
        qemu.write_all(&packets[0]).unwrap();
        assert_eq!(wait_for(&capture, &packets[0]), [HEADER.as_slice(), &packets[0]].concat());
    }

    #[test]
    fn what_cannot_be_understood_is_read_and_not_kept() {
        let (mut qemu, ours) = UnixStream::pair().unwrap();
        let capture = Capture::read(ours, 250);
        qemu.write_all(&[HEADER.as_slice(), &packet(1, 3000)].concat()).unwrap();
        // More than a socket holds: it is taken, or this never ends.
        qemu.write_all(&vec![0; 4 << 20]).unwrap();
        assert_eq!(capture.file(), None);
    }
}
