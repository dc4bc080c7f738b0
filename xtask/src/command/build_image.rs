//! `build-image`: a task's package becomes an image, an ELF file with symbols, and an xl config.

use std::process::ExitCode;

use anyhow::Result;

use crate::arch::Arch;
use crate::terminal;
use crate::workspace::Workspace;
use crate::{image, setup};

/// Build a task's image: target/images/<arch>/<task>/<task>.img, with <task>.elf, <task>.cfg and
/// <task>.licenses.txt beside it.
///
/// The .img is what xl boots. The .elf is the same with symbols, log strings and the types of parameters and result. The
/// .cfg works as it is where a bridge xenbr0 exists. The .licenses.txt has the notices that must go where the image goes.
/// Memory, network and the largest allowed size come from
/// [package.metadata.image] in the task's Cargo.toml; an image that is larger fails the build and shows what is in it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The task's package; a wrong name lists the tasks there are.
    #[arg(required = true, value_name = "TASK")]
    tasks: Vec<String>,
    /// The processor it is for.
    #[arg(long, value_enum, default_value_t = Arch::X86_64)]
    arch: Arch,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let tasks: Vec<_> = arguments.tasks.iter().map(|name| workspace.task(name)).collect::<Result<_>>()?;
    setup::for_images()?;
    for task in &tasks {
        let image = image::build_and_say(&workspace, task, arguments.arch)?;
        println!("{}", workspace.shown(&image.files.img));
        terminal::say(format_args!("  with symbols: {}", workspace.shown(&image.files.elf)));
        terminal::say(format_args!("  xl config:    {}", workspace.shown(&image.files.cfg)));
        terminal::say(format_args!("  licences:     {}", workspace.shown(&image.files.licenses)));
    }
    Ok(ExitCode::SUCCESS)
}
