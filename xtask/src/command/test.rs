//! `test`: everything that can be tested on this machine.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::arch::Arch;
use crate::image::barriers;
use crate::part::{self, Part};
use crate::workspace::Workspace;
use crate::{host_tests, image, process, setup, terminal};

/// Run all tests: those of every crate on this machine, then each task on real Xen in QEMU.
///
/// The parts: the crates' own tests, some of them under Miri where that is installed; for each processor the images (each
/// within its size, and on ARM with all the barriers that the source asks for) and the scenarios in the bed; for ARMv7
/// also some on a 64-bit Xen. A part that fails does not keep the others from running. Logs of scenarios that fail are
/// kept in target/bed/logs.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run only the scenarios in the bed.
    #[arg(long)]
    bed: bool,
    /// Of the scenarios, run only those whose names contain one of these.
    #[arg(value_name = "PART OF NAME", requires = "bed")]
    filters: Vec<String>,
    /// Run every scenario on every processor; without it those that take long run on one, unless one is named.
    #[arg(long)]
    all: bool,
    /// Build images and run scenarios for this processor only.
    #[arg(long, value_enum)]
    arch: Option<Arch>,
}

/// What runs on machines of the bed that are not a guest's own: one guest that does nothing but print, one with all drivers.
const ELSEWHERE: [&str; 2] = ["hello: prints its line", "echo: answers 700 pings"];

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let all = Arch::chosen(arguments.arch);
    all.iter().try_for_each(|arch| setup::for_tests(*arch))?;
    let mut parts = Vec::new();
    if !arguments.bed {
        parts.extend(host_tests::run(&workspace));
    }
    let images: Vec<_> = all.into_iter().map(|arch| (arch, build(&workspace, arch))).collect();
    parts.extend(on_xen(&workspace, images, arguments));
    Ok(part::summary(&parts))
}

/// The images for each processor, and the scenarios with them: the processors side by side, because an emulated machine
/// uses one processor of ours, and each line of a scenario names the machine.
fn on_xen(workspace: &Workspace, images: Vec<(Arch, Part)>, arguments: &Arguments) -> Vec<Part> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = images
            .into_iter()
            .map(|(arch, images)| {
                scope.spawn(move || {
                    let built = images.passed();
                    let mut parts = vec![images];
                    for machine in arch.machines() {
                        parts.extend(on_machine(workspace, arch, machine, built, arguments));
                    }
                    parts
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a part that fails says so")).collect()
    })
}

/// The scenarios on one machine, unless the filters leave none for it.
fn on_machine(
    workspace: &Workspace,
    arch: Arch,
    machine: qemu_tests::Arch,
    built: bool,
    arguments: &Arguments,
) -> Option<Part> {
    let filters = &arguments.filters;
    let mut words = match machine == arch.machine() {
        true => filters.clone(),
        false if filters.is_empty() => ELSEWHERE.map(str::to_owned).to_vec(),
        false => return None,
    };
    // Whoever names a processor runs no other, which could have some for itself.
    if arguments.all || arguments.arch.is_some() {
        words.push("--all".to_owned());
    }
    Some(Part::run(format!("scenarios on Xen for {}", machine.name()), || match built {
        true => scenarios(workspace, machine, &words),
        false => bail!("not run, because an image is missing"),
    }))
}

fn build(workspace: &Workspace, arch: Arch) -> Part {
    Part::run(format!("images for {arch}"), || images(workspace, arch))
}

fn images(workspace: &Workspace, arch: Arch) -> Result<()> {
    let (mut failed, mut elfs) = (Vec::new(), Vec::new());
    for task in workspace.tasks()? {
        match image::build_and_say(workspace, &task, arch) {
            Ok(image) => elfs.push(image.elf()?),
            Err(error) => {
                terminal::say(format_args!("{error:#}"));
                failed.push(task.name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("no image of: {}", failed.join(", "));
    }
    match arch {
        Arch::Armv7 => barriers::check(&workspace.root, &elfs),
        // Most fences are no instruction on x86, which keeps reads and writes in order by itself.
        Arch::X86_64 => Ok(()),
    }
}

fn scenarios(workspace: &Workspace, machine: qemu_tests::Arch, words: &[String]) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.current_dir(&workspace.root).args(["test", "--package", "qemu-tests", "--test", "scenarios", "--"]);
    cargo.args(["--arch", machine.name()]).args(words);
    process::run(&mut cargo)
}
