//! The xl config beside an image.

use std::fmt::Write;

use crate::arch::Arch;
use crate::workspace::Task;
use description::Description;

/// A config that works as it is where a bridge xenbr0 exists.
pub fn text(task: &Task, arch: Arch, description: &Description) -> String {
    let mut text = format!(
        "# {name}: {about}\n\
         #\n\
         # Run in this folder, for xl takes the path below from where it is run:\n\
         #     xl create -c {name}.cfg\n\
         # -c shows the console. Log lines on it are encoded: cargo xtask logs decodes them with {name}.elf.\n\n\
         name   = \"{name}\"\n\
         type   = \"{kind}\"\n\
         kernel = \"{name}.img\"\n\
         memory = {memory}\n\
         vcpus  = 1\n",
        name = task.name,
        about = task.description,
        kind = arch.guest_type(),
        memory = task.settings.memory_mib,
    );
    if task.settings.vif {
        text.push_str("vif    = [ \"bridge=xenbr0\" ]\n");
    }
    text.push_str(&parameters(task, description));
    text.push_str(
        "\n# A task that ends, well or not, takes its guest with it. With \"preserve\" a guest that crashed can be looked\n\
         # at afterwards; it keeps its memory and its name until xl destroy.\n\
         on_poweroff = \"destroy\"\n\
         on_reboot   = \"restart\"\n\
         on_crash    = \"destroy\"\n",
    );
    text
}

/// The task's parameters as a comment, and an `extra` to fill in, commented out: a task that lacks a parameter says which.
fn parameters(task: &Task, description: &Description) -> String {
    let mut text = String::from("\n# The task's parameters, as key=value ...:\n");
    for line in description.parameter_lines(task.settings.vif) {
        let _ = writeln!(text, "#     {line}");
    }
    let example = description.example();
    match example.is_empty() {
        true => text.push_str("# extra = \"\"\n"),
        false => {
            let _ = writeln!(text, "# extra = \"{example}\"");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use postcard_schema::Schema;

    use super::text;
    use crate::arch::Arch;
    use crate::workspace::{LargestImage, Settings, Task};
    use description::Description;

    #[derive(Schema)]
    #[allow(dead_code, reason = "only its schema is used")]
    struct Parameters {
        port: Option<u16>,
        broker: String,
    }

    #[test]
    fn a_config_names_what_xl_needs_and_what_the_task_takes() {
        let settings = Settings { memory_mib: 4, vif: true, largest_image_bytes: LargestImage::Any(1) };
        let task = Task { name: "echo".into(), description: "echoes".into(), settings };
        let config = text(&task, Arch::X86_64, &Description::of::<Parameters, ()>("echo"));
        for line in [
            "name   = \"echo\"",
            "type   = \"pv\"",
            "kernel = \"echo.img\"",
            "memory = 4",
            "vif    = [ \"bridge=xenbr0\" ]",
            "#     port=<a whole number from 0 to 65535>, may be left out",
            "#     broker=<text>",
            "# extra = \"broker=...\"",
            "on_crash    = \"destroy\"",
        ] {
            assert!(config.lines().any(|l| l == line), "{line} is not in:\n{config}");
        }
    }

    #[test]
    fn a_task_without_a_network_gets_no_interface() {
        let settings = Settings { memory_mib: 4, vif: false, largest_image_bytes: LargestImage::Any(1) };
        let task = Task { name: "hello".into(), description: String::new(), settings };
        let config = text(&task, Arch::X86_64, &Description::of::<(), ()>("hello"));
        assert!(!config.contains("vif") && !config.contains("ip="), "{config}");
        assert!(config.contains("#     (none)"), "{config}");
    }
}
