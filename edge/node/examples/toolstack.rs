//! Drives the toolstack of a board by hand, without a node: `toolstack IMAGE [network] [xl]`, then commands on standard
//! input, each answered by one line. With `xl`, that alone makes guests. The scenarios of the test bed use it; on a board it is a way to look.
//!
//! | command | answer |
//! |---|---|
//! | `create N [NAME=VALUE ...]` | makes guest N of the image, 4 MiB, paused |
//! | `unpause N`, `destroy N` | |
//! | `wait N` | waits for its end; which end |
//! | `ended N` | what it left: `report BYTES`, `error ...` or nothing, then its last lines |
//! | `guests` | each guest and what it does |
//! | `free` | Xen's free memory in KiB |
//! | `console N` | what is kept of what it printed, and how much was before that |

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use node::toolstack::{Choice, Dom0, Options};
use node::{GuestId, GuestSpec, Key, Life, Toolstack};
use protocol::{Cpu, Digest, Parameters};

/// What each guest boots.
struct Image {
    file: PathBuf,
    network: bool,
}

type Answer = Result<String, Box<dyn std::error::Error>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = PathBuf::from(arguments.next().ok_or("toolstack IMAGE [network] [xl]")?);
    let words: Vec<String> = arguments.collect();
    let has = |word: &str| words.iter().any(|given| given == word);
    let network = has("network");
    let toolstack = if has("xl") { Choice::Xl } else { Choice::Auto };
    let options = Options { toolstack, ..Options::default() };
    let (changed, changes) = channel();
    let image = Image { file, network };
    let mut xl = Dom0::new(options, move || {
        // When nobody listens any more, the program ends.
        let _ = changed.send(());
    })?;
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line?;
        let start = Instant::now();
        let answer = answer(&mut xl, &changes, &image, &line).unwrap_or_else(|error| format!("error: {error}"));
        println!("{answer} ({} ms)", start.elapsed().as_millis());
    }
    Ok(())
}

fn answer(xl: &mut Dom0, changes: &Receiver<()>, image: &Image, line: &str) -> Answer {
    let mut words = line.split_whitespace();
    let command = words.next().unwrap_or_default();
    let key = |number: Option<&str>| -> Result<Key, Box<dyn std::error::Error>> {
        let number: u32 = number.ok_or("which guest?")?.parse()?;
        Ok(Key { tenant: "tenant".parse()?, id: format!("guest-{number}").parse()? })
    };
    let id = |number| key(number).map(|key| GuestId::of(&key, Digest::of(b""), 1));
    match command {
        "create" => {
            let number = words.next();
            let id = id(number)?;
            let mut parameters = BTreeMap::new();
            for word in words {
                let (name, value) = word.split_once('=').ok_or("NAME=VALUE")?;
                parameters.insert(name.parse()?, value.to_owned());
            }
            let spec = GuestSpec {
                id,
                key: key(number)?,
                image: Digest::of(b""),
                network: image.network,
                memory_mib: 4,
                cpu: Cpu { weight: 256, cap_percent: 0 },
                parameters: Parameters(parameters),
                nodes: Vec::new(),
            };
            xl.create(&spec, &image.file)?;
            Ok("made".into())
        }
        "unpause" => xl.unpause(id(words.next())?).map(|()| "runs".into()).map_err(Into::into),
        "destroy" => xl.destroy(id(words.next())?).map(|()| "gone".into()).map_err(Into::into),
        "wait" => wait(xl, changes, id(words.next())?),
        "ended" => {
            let left = xl.ended(id(words.next())?)?;
            let report = left.report.map_or(String::new(), |report| format!("report {} ", report.len()));
            let error = left.error.map_or(String::new(), |error| format!("error {error} "));
            Ok(format!("{report}{error}{:?}", String::from_utf8_lossy(&left.console)))
        }
        "guests" => {
            let guests = xl.guests()?.into_iter().map(|guest| format!("{:?}", guest.life)).collect::<Vec<_>>();
            Ok(format!("{} {}", guests.len(), guests.join(" ")))
        }
        "free" => Ok(xl.memory_free_kib()?.to_string()),
        "console" => {
            let printed = xl.consoles().read(id(words.next())?, 0).ok_or("there is no such guest")?;
            Ok(format!("{} {:?}", printed.from, String::from_utf8_lossy(&printed.bytes)))
        }
        _ => Err("create, unpause, wait, ended, destroy, guests, free or console".into()),
    }
}

/// Waits until a guest has ended.
fn wait(xl: &mut Dom0, changes: &Receiver<()>, id: GuestId) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(100);
    loop {
        let guest = xl.guests()?.into_iter().find(|guest| guest.id == id).ok_or("there is no such guest")?;
        match guest.life {
            Life::Ended(end) => return Ok(format!("{end:?}")),
            life if Instant::now() >= deadline => return Err(format!("still {life:?}").into()),
            // That nothing changed in time is seen by the next look.
            _ => {
                let _ = changes.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        }
    }
}
