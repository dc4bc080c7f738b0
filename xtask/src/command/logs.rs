//! `logs`: a console's raw bytes as text.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use console::{Line, LogStream};

use crate::arch::Arch;
use crate::symbols::Symbols;
use crate::workspace::Workspace;

/// Decode a console's log file, such as Xen's /var/log/xen/console/guest-<name>.log, with the image's ELF file.
///
/// Text passes as it is; addresses in a crash report are followed by their source lines. Log messages are shown with time and level; their format strings are in the ELF file, so it must
/// be the one that was built together with the image.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The log file; - is standard input.
    file: PathBuf,
    /// The ELF file.
    #[arg(long, value_name = "FILE", required_unless_present = "task", conflicts_with = "task")]
    elf: Option<PathBuf>,
    /// The task, whose ELF file was built here.
    #[arg(long, value_name = "TASK")]
    task: Option<String>,
    /// The processor that the task's image was built for.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let elf = elf(arguments)?;
    let bytes = std::fs::read(&elf).with_context(|| format!("reading the ELF file {}", elf.display()))?;
    let stream = LogStream::new(&bytes).with_context(|| format!("{}", elf.display()))?;
    let symbols = Symbols::new(&bytes).with_context(|| format!("{}", elf.display()))?;
    let mut input: Box<dyn Read> = match arguments.file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => {
            let file = std::fs::File::open(&arguments.file);
            Box::new(file.with_context(|| format!("opening the log file {}", arguments.file.display()))?)
        }
    };
    let undecoded = copy(stream, &|line| symbols.places(line), &mut input, &mut std::io::stdout().lock())?;
    if undecoded > 0 {
        bail!("{undecoded} log messages could not be decoded: is {} the image's own ELF file?", elf.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The ELF file that the arguments name.
fn elf(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(elf) = &arguments.elf {
        return Ok(elf.clone());
    }
    let workspace = Workspace::load()?;
    let task = workspace.task(arguments.task.as_deref().unwrap_or_default())?;
    let elf = workspace.images(arguments.arch, &task.name).join(format!("{}.elf", task.name));
    if !elf.exists() {
        bail!("there is no {}: cargo xtask build-image {} makes it", workspace.shown(&elf), task.name);
    }
    Ok(elf)
}

/// Decodes all input, adds the places that crash reports speak of, and returns how many frames could not be decoded.
fn copy(
    mut stream: LogStream,
    places: &dyn Fn(&str) -> Vec<String>,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<usize> {
    let mut undecoded = 0;
    let mut print = |lines: Vec<Line>| -> Result<()> {
        for line in lines {
            undecoded += usize::from(matches!(line, Line::Undecoded { .. }));
            let text = line.to_string();
            let notes = if let Line::Text(text) = &line { places(text) } else { Vec::new() };
            for text in std::iter::once(text).chain(notes) {
                writeln!(output, "{text}").context("writing to standard output")?;
            }
        }
        Ok(())
    };
    let mut buffer = [0; 4096];
    loop {
        let count = input.read(&mut buffer).context("reading the log file")?;
        if count == 0 {
            break;
        }
        print(stream.push(&buffer[..count]))?;
    }
    print(stream.finish())?;
    Ok(undecoded)
}

#[cfg(test)]
mod tests {
    use console::LogStream;

    use super::copy;

    #[test]
    fn text_passes_and_frames_of_an_unknown_image_are_counted() {
        let mut output = Vec::new();
        let places = |line: &str| vec![format!("place of {line}")].into_iter().filter(|_| line == "b").collect();
        let input = b"a\r\n\xfe\x01\x02\0b\n";
        let count = copy(LogStream::without_strings(), &places, &mut &input[..], &mut output).unwrap();
        assert_eq!(count, 1);
        assert_eq!(String::from_utf8(output).unwrap(), "a\n(a log frame of 2 bytes, not decoded)\nb\nplace of b\n");
    }
}
