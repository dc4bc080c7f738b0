//! `bed`: a machine with real Xen, for experiments by hand or by a script.

use std::io::{IsTerminal, Read, Write, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use qemu_tests::protocol::{Stream, TerminalSize};
use qemu_tests::session::{Input, News, Session};
use qemu_tests::{Bed, BedOptions, tools};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::SIGWINCH;

use crate::arch::Arch;
use crate::interrupt::Interrupt;
use crate::terminal;
use crate::workspace::{Task, Workspace};
use crate::{guest, image, setup};

/// How long to wait for output before Ctrl-C and the terminal's size are asked about.
const LOOK: Duration = Duration::from_millis(200);
/// Ended by Ctrl-C, or by `~.`.
const INTERRUPTED: u8 = 130;
/// The size of a terminal that does not tell it.
const USUAL_SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };

/// Boot real Xen in QEMU and give you a shell in its dom0, or run a command there.
///
/// dom0 has xl, busybox, ip, ss, tc, tcpdump and dnsmasq, and in /root/TASK the image and the configuration of each task that
/// was built, as on a board: cd hello; xl create -c hello.cfg. The folder target/bed/share of this machine is /share there,
/// for files in and out. Guests and dom0 (10.0.2.200) are on the bridge xenbr0; this machine is 10.0.2.2.
///
/// The machine ends with the shell (exit), or when you type ~. on a line of its own. With a command after --, its output is
/// printed as it comes, input is passed on, and the exit status is the command's; several words are joined by spaces, as
/// ssh does.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The processor.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
    /// Build this task's image first; may be given several times.
    #[arg(long = "task", value_name = "TASK")]
    tasks: Vec<String>,
    /// The folder of this machine that is /share in dom0, instead of target/bed/share.
    #[arg(long, value_name = "FOLDER")]
    share: Option<PathBuf>,
    /// Lead a port of this machine's loopback interface to one of the first guest that asks for an address, such as 7007:7.
    #[arg(long = "forward", value_name = "HOST:GUEST")]
    forwards: Vec<String>,
    /// Let a debugger control the machine through this port of the loopback interface; see CONTRIBUTING.md.
    #[arg(long = "gdb", value_name = "PORT")]
    gdb_port: Option<u16>,
    /// What to run instead of a shell.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let machine = arguments.arch.machine();
    let forwards = guest::forwards(&arguments.forwards, &[])?;
    let tasks = arguments.tasks.iter().map(|name| workspace.task(name)).collect::<Result<Vec<_>>>()?;
    setup::for_tools(arguments.arch)?;
    for task in &tasks {
        image::build_and_say(&workspace, task, arguments.arch)?;
    }
    let share = arguments.share.clone().unwrap_or_else(|| workspace.root.join("target/bed/share"));
    std::fs::create_dir_all(&share).with_context(|| format!("making {}", share.display()))?;
    let interrupt = Interrupt::listen()?;
    let options =
        BedOptions { forwards, share: Some(share.clone()), gdb_port: arguments.gdb_port, ..BedOptions::new(machine) };
    let bed = guest::boot_bed_with(options, &interrupt)?;
    tools::bring(&bed, machine)?;
    let images = bring_images(&bed, &workspace, arguments.arch)?;
    match arguments.command.is_empty() && stdin().is_terminal() && stdout().is_terminal() {
        true => {
            say_where_things_are(&images, &share);
            by_hand(&bed, &interrupt)
        }
        false => by_script(&bed, &arguments.command, &interrupt),
    }
}

/// Puts the images that were built into dom0, each with its configuration in a folder of its name; returns the names.
fn bring_images(bed: &Bed, workspace: &Workspace, arch: Arch) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for Task { name, .. } in workspace.tasks()? {
        let files = ["img", "cfg"].map(|extension| format!("{name}.{extension}"));
        let folder = workspace.images(arch, &name);
        if files.iter().any(|file| !folder.join(file).exists()) {
            continue;
        }
        for file in files {
            let path = folder.join(&file);
            let content = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            bed.put(&format!("{}/{name}/{file}", tools::HOME), &content)?;
        }
        names.push(name);
    }
    Ok(names)
}

fn say_where_things_are(images: &[String], share: &Path) {
    let images = match images {
        [] => "no task was built; --task NAME builds one".to_owned(),
        names => format!("{}: for example cd {}; xl create -c {}.cfg", names.join(", "), names[0], names[0]),
    };
    terminal::say(format_args!("images   {images}"));
    terminal::say(format_args!("files    {} is {} of this machine", tools::SHARE, share.display()));
    terminal::say("network  bridge xenbr0, dom0 10.0.2.200, this machine 10.0.2.2");
    terminal::say("the end  exit, or ~. on a line of its own\n");
}

/// A shell with the person's own terminal.
fn by_hand(bed: &Bed, interrupt: &Interrupt) -> Result<ExitCode> {
    let mut wanted = tools::shell(None, Some(size()));
    wanted.environment.push(("TERM".to_owned(), std::env::var("TERM").unwrap_or_else(|_| "vt100".to_owned())));
    let session = bed.start(wanted)?;
    let resized = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGWINCH, Arc::clone(&resized)).context("listening for the terminal's size")?;
    let left = Arc::new(AtomicBool::new(false));
    let (input, leave) = (session.input(), Arc::clone(&left));
    let _raw = Raw::begin()?;
    std::thread::spawn(move || {
        type_into(&input);
        leave.store(true, Ordering::Relaxed);
    });
    let input = session.input();
    converse(session, || {
        if resized.swap(false, Ordering::Relaxed) {
            // A shell that has just ended has no terminal any more.
            let _ = input.resize(size());
        }
        interrupt.pressed() || left.load(Ordering::Relaxed)
    })
}

/// A command, or a shell that reads what comes from standard input.
fn by_script(bed: &Bed, words: &[String], interrupt: &Interrupt) -> Result<ExitCode> {
    let session = bed.start(tools::shell((!words.is_empty()).then(|| words.join(" ")), None))?;
    let input = session.input();
    // It ends with the process: nothing else ends a read.
    std::thread::spawn(move || pass_on(&input));
    converse(session, || interrupt.pressed())
}

/// Prints what the session prints, until it ends or `leave` says so.
fn converse(mut session: Session, mut leave: impl FnMut() -> bool) -> Result<ExitCode> {
    loop {
        match session.next(LOOK)? {
            News::Printed(Stream::Output, bytes) => show(&mut stdout(), &bytes)?,
            News::Printed(Stream::Error, bytes) => show(&mut stderr(), &bytes)?,
            News::Ended(status) => return Ok(ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))),
            News::Nothing => {}
        }
        if leave() {
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
}

fn show(to: &mut impl Write, bytes: &[u8]) -> Result<()> {
    to.write_all(bytes).and_then(|()| to.flush()).context("printing what dom0 printed")
}

/// Passes standard input on to its end. A program that reads none of it, or no more, is no error.
fn pass_on(input: &Input) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(length @ 1..) = stdin().lock().read(&mut piece) {
        if input.write(&piece[..length]).is_err() {
            return;
        }
    }
    let _ = input.end();
}

/// Passes on what is typed, until `~.` or the terminal's end.
fn type_into(input: &Input) {
    let mut escape = Escape::default();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = stdin().lock().read(&mut piece) {
        let Typed { bytes, leave } = escape.typed(&piece[..length]);
        if input.write(&bytes).is_err() || leave {
            return;
        }
    }
}

/// The way out of a shell that does not answer: `~.` at the beginning of a line, as in ssh.
#[derive(Debug, Default)]
struct Escape(Position);

/// Where in a line the next key is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Position {
    #[default]
    Beginning,
    AfterTilde,
    Within,
}

/// What becomes of typed bytes.
#[derive(Debug, PartialEq, Eq)]
struct Typed {
    /// What is passed on.
    bytes: Vec<u8>,
    /// Whether the person wants to leave.
    leave: bool,
}

impl Escape {
    fn typed(&mut self, keys: &[u8]) -> Typed {
        let mut bytes = Vec::with_capacity(keys.len());
        for key in keys {
            match (self.0, key) {
                (Position::AfterTilde, b'.') => return Typed { bytes, leave: true },
                (Position::Beginning, b'~') => {
                    self.0 = Position::AfterTilde;
                    continue;
                }
                // Typed twice it stands for itself.
                (Position::AfterTilde, b'~') | (Position::Beginning | Position::Within, _) => bytes.push(*key),
                (Position::AfterTilde, _) => bytes.extend([b'~', *key]),
            }
            self.0 = if matches!(key, b'\r' | b'\n') { Position::Beginning } else { Position::Within };
        }
        Typed { bytes, leave: false }
    }
}

/// The size of the terminal.
fn size() -> TerminalSize {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => TerminalSize { rows: size.ws_row, columns: size.ws_col },
        _ => USUAL_SIZE,
    }
}

/// While it lives, the terminal passes on each key and shows each byte as it is; then it is again as it was.
struct Raw(Termios);

impl Raw {
    fn begin() -> Result<Self> {
        let before = tcgetattr(stdin()).context("asking the terminal how it is set")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).context("setting the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::Escape;

    fn typed(pieces: &[&str]) -> (String, bool) {
        let mut escape = Escape::default();
        let mut passed = String::new();
        for piece in pieces {
            let typed = escape.typed(piece.as_bytes());
            passed += &String::from_utf8(typed.bytes).unwrap();
            if typed.leave {
                return (passed, true);
            }
        }
        (passed, false)
    }

    #[test]
    fn a_tilde_and_a_dot_leave_only_at_the_beginning_of_a_line() {
        assert_eq!(typed(&["~", "."]), (String::new(), true));
        assert_eq!(typed(&["ls\r~.more"]), ("ls\r".into(), true));
        assert_eq!(typed(&["ls ~.\r"]), ("ls ~.\r".into(), false));
    }

    #[test]
    fn other_tildes_are_passed_on_and_two_are_one() {
        assert_eq!(typed(&["~/x\r~", "~\r~\r~."]), ("~/x\r~\r~\r".into(), true));
        assert_eq!(typed(&["~a."]), ("~a.".into(), false));
    }
}
