//! `size`: how large each image is, and what it is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Result;

use crate::arch::Arch;
use crate::compare::Revision;
use crate::image::{self, Image};
use crate::setup;
use crate::terminal::{self, Style, bytes};
use crate::workspace::{Task, Workspace};

/// Show how large each task's image is, against the limit in its Cargo.toml.
///
/// "image" is the stripped file that xl boots; text, rodata and data are its parts, bss is memory that starts as zero and
/// is not in the file (64 KiB of it are the stack). The exit status says whether all are within their limits.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Show what this task's image is made of: bytes by crate and the largest functions.
    #[arg(long, value_name = "TASK")]
    what: Option<String>,
    /// How many of the largest functions to show with --what.
    #[arg(long, value_name = "COUNT", default_value_t = 30)]
    top: usize,
    /// Show how the sizes differ from those of another revision, such as main or HEAD~3.
    #[arg(long, value_name = "REVISION", conflicts_with = "what")]
    compare: Option<String>,
    /// The processor they are for.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let tasks = match &arguments.what {
        Some(name) => vec![workspace.task(name)?],
        None => workspace.tasks()?,
    };
    // A wrong name is said before anything is built.
    let other = arguments.compare.as_ref().map(|name| Revision::find(&workspace, name)).transpose()?;
    setup::for_images()?;
    let mut rows = Vec::new();
    for task in tasks {
        let image = image::build_of_any_size(&workspace, &task, arguments.arch)?;
        rows.push((task, image));
    }
    match &other {
        Some(revision) => {
            let now: BTreeMap<_, _> = rows.iter().map(|(task, image)| (task.name.clone(), image.bytes)).collect();
            let before = revision.sizes(&workspace, arguments.arch)?;
            print!("{}", differences(revision.short(), &before, &now));
        }
        None => print!("{}", table(arguments.arch, &rows)),
    }
    if arguments.what.is_some() {
        println!("\n{}", rows[0].1.contents.table(arguments.top));
    }
    let limit = |task: &Task| task.settings.largest_image_bytes.bytes(arguments.arch);
    let within = rows.iter().all(|(task, image)| image.bytes <= limit(task));
    Ok(if within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line per task.
fn table(arch: Arch, rows: &[(Task, Image)]) -> String {
    let row = |cells: [&str; 8]| {
        let [task, image, limit, part, text, rodata, data, bss] = cells;
        format!("{task:<16} {image:>9} {limit:>9} {part:>6} {text:>9} {rodata:>9} {data:>9} {bss:>9}\n")
    };
    let mut table = row(["task", "image", "limit", "", "text", "rodata", "data", "bss"]);
    table = terminal::on_stdout(table.trim_end(), Style::Bold) + "\n";
    for (task, image) in rows {
        let limit = task.settings.largest_image_bytes.bytes(arch);
        let contents = &image.contents;
        table += &row([
            &task.name,
            &bytes(image.bytes),
            &bytes(limit),
            &format!("{} %", image.bytes * 100 / limit.max(1)),
            &bytes(contents.text),
            &bytes(contents.rodata),
            &bytes(contents.data),
            &bytes(contents.bss),
        ]);
    }
    table
}

/// One line per task of either side: its size at both, and what has come or gone.
fn differences(revision: &str, before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> String {
    let row = |task: &str, before: &str, now: &str, bytes: &str, share: &str| {
        let row = format!("{task:<16} {before:>9} {now:>9} {bytes:>10} {share:>9}");
        row.trim_end().to_owned() + "\n"
    };
    let mut table = terminal::on_stdout(row("image", revision, "now", "difference", "").trim_end(), Style::Bold) + "\n";
    for task in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
        table += &match (before.get(task), now.get(task)) {
            (Some(before), Some(now)) => {
                let difference = *now as f64 - *before as f64;
                let sign = if now >= before { '+' } else { '-' };
                let share = format!("{:+.2} %", difference * 100.0 / *before as f64);
                let difference = format!("{sign}{}", bytes(now.abs_diff(*before)));
                row(task, &bytes(*before), &bytes(*now), &difference, &share)
            }
            (Some(before), None) => row(task, &bytes(*before), "-", "gone", ""),
            (None, now) => row(task, "-", &bytes(now.copied().unwrap_or_default()), "new", ""),
        };
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{differences, table};
    use crate::arch::Arch;
    use crate::image::contents::Contents;
    use crate::image::{Image, ImageFiles};
    use crate::workspace::{LargestImage, Settings, Task};
    use description::Description;

    #[test]
    fn a_row_shows_the_image_its_limit_and_its_parts() {
        let largest_image_bytes = LargestImage::Each { x86_64: 1, armv7: 24576 };
        let settings = Settings { memory_mib: 4, vif: false, largest_image_bytes };
        let task = Task { name: "hello".into(), description: String::new(), settings };
        let image = Image {
            files: ImageFiles { img: "i".into(), elf: "e".into(), cfg: "c".into(), licenses: "l".into() },
            bytes: 12288,
            contents: Contents { text: 8000, rodata: 4000, data: 88, bss: 70000, ..Contents::default() },
            description: Description::of::<(), ()>("hello"),
        };
        let table = table(Arch::Armv7, &[(task, image)]);
        let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["hello", "12,288", "24,576", "50", "%", "8,000", "4,000", "88", "70,000"]);
    }

    #[test]
    fn a_row_shows_what_has_come_or_gone() {
        let sizes = |pairs: &[(&str, u64)]| pairs.iter().map(|(task, bytes)| ((*task).to_owned(), *bytes)).collect();
        let before = sizes(&[("echo", 100_000), ("hello", 19_064), ("old", 7)]);
        let now = sizes(&[("echo", 98_500), ("hello", 19_064), ("young", 30_000)]);
        let table = differences("7addbb4", &before, &now);
        let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["image", "7addbb4", "now", "difference"]);
        assert_eq!(rows[1], ["echo", "100,000", "98,500", "-1,500", "-1.50", "%"]);
        assert_eq!(rows[2], ["hello", "19,064", "19,064", "+0", "+0.00", "%"]);
        assert_eq!(rows[3], ["old", "7", "-", "gone"]);
        assert_eq!(rows[4], ["young", "-", "30,000", "new"]);
    }
}
