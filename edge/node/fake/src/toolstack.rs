//! Guests as files: one each, named by its id, with what it is to do and how it is.
//!
//! What a guest does is its parameter `act`: `finish` ends at once with `number` as its report; `fail` ends with an
//! error; `crash` crashes; `silent` ends without a report; `hold` runs until the file `release` is there, and then
//! finishes; `stay` runs for ever; `save` saves a step more than the guest before it and crashes, and finishes with
//! `number` steps. A test commands the toolstack by files too: `create-fails`, `list-fails` and `garbage` while they are
//! there, and `hang`, during which every call waits. What running guests save and count are the files `saved` and
//! `counters`. What a guest was told to feed to another is a file in `contracts`, `<its domain>-<the other's>`.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kernel::checkpoint::{self, Checkpoint};
use node::daemon::Waker;
use node::{End, Ended, Feed, Guest, GuestId, GuestSpec, Inside, Life, Piece, ReadConsole, Toolstack};
use postcard_schema::Schema;
use protocol::Cpu;
use serde::{Deserialize, Serialize};

/// The parameters of the task that guests run.
#[derive(Debug, Schema)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct Parameters {
    act: String,
    number: Option<u32>,
    bytes: Option<u32>,
}

/// Its report.
#[derive(Debug, Serialize, Schema)]
pub struct Report {
    /// The parameter `number`.
    pub answer: u32,
    /// As long as the parameter `bytes` says.
    pub text: String,
}

/// A guest's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct FakeGuest {
    act: String,
    number: u32,
    bytes: u32,
    memory_mib: u32,
    domid: u16,
    is_running: bool,
    cpu: Cpu,
    fed_by: Option<u16>,
    /// The number and the bytes of what it has saved, or was given.
    checkpoint: Option<(u64, Vec<u8>)>,
}

impl FakeGuest {
    /// The steps that it was given.
    fn steps(&self) -> usize {
        self.checkpoint.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint.clone().map(|(number, bytes)| Checkpoint { number, bytes })
    }
}

/// A toolstack whose guests are files.
#[derive(Debug)]
pub struct Fake {
    folder: PathBuf,
    waker: Waker,
    next_domid: u16,
}

/// What a guest logs when it begins and when it ends: message 1, after five microseconds, with the number 80. In rzCOBS,
/// which leaves zeros out and marks their places in a last byte.
const LOG_FRAME: &[u8] = &[0xfe, 1, 5, 80, 0b0111_0010, 0];
/// The log frame `LOG_FRAME` as a line.
pub const LOG_LINE: &str = "0.000005 info  port 80 is open";

/// The log strings of the task's image, in the form of [`artifact::Config`].
pub(crate) fn log_strings() -> String {
    let entry = |tag: &str, string: &str| {
        let string = serde_json::json!({ "tag": tag, "string": string });
        serde_json::json!({ "string": string, "raw_symbol": "none" })
    };
    let entries = serde_json::json!({ "1": entry("Info", "port {=u8} is open") });
    let timestamp = entry("Timestamp", "{=u8:us}");
    serde_json::json!({ "timestamp": timestamp, "entries": entries, "bitflags": {}, "encoding": "Rzcobs" }).to_string()
}

/// Memory for guests in all, in KiB.
pub const MEMORY_KIB: u64 = 1024 * 1024;

impl Fake {
    /// A toolstack with the guests that an earlier one left.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path, waker: Waker) -> Result<Self, String> {
        for part in ["guests", "consoles", "contracts"] {
            fs::create_dir_all(folder.join(part)).map_err(|error| error.to_string())?;
        }
        let mut fake = Self { folder: folder.to_owned(), waker, next_domid: 1 };
        // Xen gives a number again only after all others.
        let guests = if folder.join("list-fails").exists() { Ok(Vec::new()) } else { fake.guests() };
        let last = guests.map_err(|error| error.to_string())?.iter().map(|guest| guest.domid).max();
        fake.next_domid = last.map_or(1, |last| last + 1);
        Ok(fake)
    }

    fn contract(&self, feeder: u16, task: u16) -> PathBuf {
        self.folder.join("contracts").join(format!("{feeder}-{task}"))
    }

    /// Removes what a guest that goes was told, and what others were told of it.
    fn forget_contracts(&self, domid: u16) -> io::Result<()> {
        for file in fs::read_dir(self.folder.join("contracts"))? {
            let file = file?;
            if file.file_name().to_string_lossy().split('-').any(|part| part == domid.to_string()) {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }

    /// Waits or fails, when a test wants it.
    fn trouble(&self, fault: &str) -> io::Result<()> {
        while self.folder.join("hang").exists() {
            // What hangs here is a program outside; there is nothing that could be waited for.
            thread::sleep(Duration::from_millis(5));
        }
        if self.folder.join(fault).exists() { Err(io::Error::other(format!("fake: {fault}"))) } else { Ok(()) }
    }

    fn path(&self, id: GuestId) -> PathBuf {
        self.folder.join("guests").join(id.to_string())
    }

    fn read(&self, id: GuestId) -> io::Result<FakeGuest> {
        serde_json::from_slice(&fs::read(self.path(id))?).map_err(io::Error::other)
    }

    /// Writes a guest's file as a whole: a test or another life of the program may read it at any time.
    fn write(&self, id: GuestId, guest: &FakeGuest) -> io::Result<()> {
        let new = self.folder.join("new");
        fs::write(&new, serde_json::to_vec(guest)?)?;
        fs::rename(new, self.path(id))
    }

    fn life(&self, guest: &FakeGuest) -> Life {
        if !guest.is_running {
            return Life::Paused;
        }
        match guest.act.as_str() {
            "stay" => Life::Running,
            "hold" if !self.folder.join("release").exists() => Life::Running,
            "crash" => Life::Ended(End::Crash),
            "save" if guest.steps() < guest.number as usize => Life::Ended(End::Crash),
            _ => Life::Ended(End::PowerOff),
        }
    }
}

impl Toolstack for Fake {
    type Error = io::Error;

    fn guests(&mut self) -> io::Result<Vec<Guest>> {
        self.trouble("list-fails")?;
        let mut guests = Vec::new();
        for file in fs::read_dir(self.folder.join("guests"))? {
            let name = file?.file_name();
            let Ok(id) = name.to_string_lossy().parse() else { continue };
            let guest = self.read(id)?;
            guests.push(Guest {
                id,
                life: self.life(&guest),
                running_for: Duration::ZERO,
                domid: guest.domid,
                memory_kib: u64::from(guest.memory_mib) * 1024,
                cpu_time: Duration::ZERO,
                cpu: Some(guest.cpu),
                fed_by: guest.fed_by,
            });
        }
        Ok(guests)
    }

    fn memory_free_kib(&mut self) -> io::Result<u64> {
        let used: u64 = self.guests()?.iter().map(|guest| guest.memory_kib + node::admission::OVERHEAD_KIB).sum();
        Ok(MEMORY_KIB.saturating_sub(used))
    }

    fn create(&mut self, spec: &GuestSpec, image: &Path) -> io::Result<()> {
        self.trouble("create-fails")?;
        let parameter = |name: &str| spec.parameters.0.get(&name.parse().ok()?);
        let number = |name: &str| parameter(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let act = parameter("act").cloned().unwrap_or_default();
        assert!(!self.path(spec.id).exists(), "guest {} is made twice", spec.id);
        let guest = FakeGuest {
            number: number("number"),
            bytes: number("bytes"),
            memory_mib: spec.memory_mib,
            domid: self.next_domid,
            is_running: false,
            cpu: spec.cpu,
            fed_by: None,
            checkpoint: given(&spec.nodes),
            act,
        };
        self.next_domid += 1;
        let console = format!("booting {} for {}\n", fs::read_to_string(image)?, spec.key);
        let console = [console.as_bytes(), LOG_FRAME].concat();
        fs::write(self.folder.join("consoles").join(spec.id.to_string()), console)?;
        self.write(spec.id, &guest)?;
        // A guest that is made is counted for ever: the tests compare.
        let mut made = fs::File::options().create(true).append(true).open(self.folder.join("made"))?;
        io::Write::write_all(&mut made, format!("{} {}\n", spec.key, spec.id).as_bytes())
    }

    fn unpause(&mut self, id: GuestId) -> io::Result<()> {
        self.trouble("unpause-fails")?;
        let guest = self.read(id)?;
        self.write(id, &FakeGuest { is_running: true, ..guest })?;
        self.waker.wake();
        Ok(())
    }

    fn feed(&mut self, feed: &Feed) -> io::Result<()> {
        self.trouble("feed-fails")?;
        let (guest, feeder) = (self.read(feed.guest)?, self.read(feed.feeder)?);
        fs::write(self.contract(feeder.domid, guest.domid), &feed.contract)?;
        self.write(feed.guest, &FakeGuest { fed_by: Some(feeder.domid), ..guest })
    }

    fn set_cpu(&mut self, id: GuestId, cpu: Cpu) -> io::Result<()> {
        let guest = self.read(id)?;
        self.write(id, &FakeGuest { cpu, ..guest })
    }

    fn look_into(&mut self, id: GuestId) -> io::Result<Inside> {
        let counters = fs::read(self.folder.join("counters")).ok();
        let saved = fs::read(self.folder.join("saved")).ok();
        let checkpoint = saved.map(|bytes| Checkpoint { number: bytes.len() as u64, bytes });
        Ok(Inside { checkpoint: checkpoint.or(self.read(id)?.checkpoint()), counters })
    }

    fn ended(&mut self, id: GuestId) -> io::Result<Ended> {
        self.trouble("ended-fails")?;
        let guest = self.read(id)?;
        let report = Report { answer: guest.number, text: "x".repeat(guest.bytes as usize) };
        let console = [b"last words\n".as_slice(), LOG_FRAME].concat();
        if self.folder.join("garbage").exists() {
            return Ok(Ended { report: Some(vec![0xff; 3]), console, ..Ended::default() });
        }
        let left = Ended { console, checkpoint: guest.checkpoint(), ..Ended::default() };
        Ok(match guest.act.as_str() {
            "fail" => Ended { error: Some("no such sensor".to_owned()), ..left },
            "save" if guest.steps() < guest.number as usize => {
                let (number, mut bytes) = guest.checkpoint.unwrap_or_default();
                bytes.push(b'x');
                Ended { checkpoint: Some(Checkpoint { number: number + 1, bytes }), ..left }
            }
            "silent" | "crash" => left,
            _ => Ended { report: postcard::to_stdvec(&report).ok(), ..left },
        })
    }

    fn destroy(&mut self, id: GuestId) -> io::Result<()> {
        self.trouble("destroy-fails")?;
        if let Ok(guest) = self.read(id) {
            self.forget_contracts(guest.domid)?;
        }
        for path in [self.path(id), self.folder.join("consoles").join(id.to_string())] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn consoles(&self) -> Arc<dyn ReadConsole> {
        Arc::new(Consoles(self.folder.join("consoles")))
    }

    fn xen_version(&self) -> String {
        "fake".to_owned()
    }
}

/// The checkpoint that a guest is given.
fn given(nodes: &[(String, Vec<u8>)]) -> Option<(u64, Vec<u8>)> {
    let read = |path: &str| Ok(nodes.iter().find(|(name, _)| name == path).map(|(_, value)| value.clone()));
    let Ok(newest) = checkpoint::newest::<Infallible>(read);
    newest.map(|newest| (newest.number, newest.bytes))
}

/// Consoles as files.
#[derive(Debug)]
struct Consoles(PathBuf);

impl ReadConsole for Consoles {
    fn read(&self, guest: GuestId, from: u64) -> Option<Piece> {
        let bytes = fs::read(self.0.join(guest.to_string())).ok()?;
        let rest = bytes.get(usize::try_from(from).ok()?..)?;
        Some(Piece { from, bytes: rest.to_vec() })
    }
}
