//! `spore task`.

use anyhow::Result;
use protocol::Purpose;
use protocol::api::{TaskList, TaskStatus};

use crate::node::{Node, Options};
use crate::output::{self, Format, say, table};

/// What is done with the board's tasks.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List them, the one that was used last at the end.
    Ls(Options),
}

/// Lists the tasks that the board keeps.
///
/// # Errors
/// The node does not answer.
pub fn run(options: &Options, format: Format) -> Result<()> {
    let list: TaskList = Node::connect(options, Purpose::Read)?.get("/v1/tasks")?;
    if let Format::Json = format {
        return output::json(&list);
    }
    let head = ["TENANT", "TASK", "VERSION", "MEMORY", "BYTES", "DIGEST"].map(str::to_owned);
    let row = |task: &TaskStatus| {
        [
            task.tenant.to_string(),
            task.task.to_string(),
            task.version.clone(),
            format!("{} MiB", task.memory_mib),
            task.image_bytes.to_string(),
            task.digest.to_string(),
        ]
    };
    say(&table(&std::iter::once(head).chain(list.tasks.iter().map(row)).collect::<Vec<_>>()))
}
