//! What an image says about its task: the types of its parameters and of its report.
//!
//! They are read from the ELF file's section `.spore.schema`, whose layout kernel/src/schema.rs describes. With them,
//! parameters are checked before a boot ([`parameters`]) and a report is printed without knowing the task ([`report`]).

#![forbid(unsafe_code)]

pub mod parameters;
pub mod report;

use anyhow::{Context, Result, bail};
use object::File;
use object::{Object, ObjectSection};
use postcard_schema::schema::owned::OwnedNamedType;

/// The section's name.
const SECTION: &str = ".spore.schema";

/// The layout of the section that is understood here; kernel/src/schema.rs calls it FORMAT.
const FORMAT: u8 = 1;

/// A task's name, version, parameters and report.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The task's name.
    pub task: String,
    /// The package's version.
    pub version: String,
    /// The struct of its parameters.
    pub parameters: OwnedNamedType,
    /// What it returns.
    pub report: OwnedNamedType,
}

impl Description {
    /// Reads the section of an image's ELF file.
    ///
    /// # Errors
    /// When the file has none, or one of another layout.
    pub fn from_elf(elf: &[u8]) -> Result<Self> {
        let file = File::parse(elf).context("not an ELF file")?;
        let section = file
            .section_by_name(SECTION)
            .with_context(|| format!("the ELF file has no section {SECTION}: its main.rs needs platform::main!"))?;
        Self::from_section(section.data()?)
    }

    fn from_section(bytes: &[u8]) -> Result<Self> {
        let (format, rest) = bytes.split_first().with_context(|| format!("the section {SECTION} is empty"))?;
        if *format != FORMAT {
            bail!("the section {SECTION} has the layout {format}, this program knows {FORMAT}: build the image again");
        }
        let (task, version, parameters, report) =
            postcard::from_bytes(rest).with_context(|| format!("the section {SECTION} is damaged"))?;
        Ok(Self { task, version, parameters, report })
    }

    /// The description of a task with these types, as a program that has them knows it; the version is 0.0.0.
    pub fn of<P: postcard_schema::Schema, R: postcard_schema::Schema>(task: &str) -> Self {
        Self {
            task: task.to_owned(),
            version: "0.0.0".to_owned(),
            parameters: P::SCHEMA.into(),
            report: R::SCHEMA.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Description;

    #[test]
    fn a_section_gives_back_what_was_put_in() {
        let description = Description::of::<(u8, String), f64>("adder");
        let tuple = (1u8, &description.task, &description.version, &description.parameters, &description.report);
        let section = postcard::to_stdvec(&tuple).unwrap();
        assert_eq!(Description::from_section(&section).unwrap(), description);
    }

    #[test]
    fn another_layout_and_a_damaged_section_are_said() {
        let error = Description::from_section(&[9, 1, 2]).unwrap_err().to_string();
        assert_eq!(error, "the section .spore.schema has the layout 9, this program knows 1: build the image again");
        let error = Description::from_section(&[1, 200]).unwrap_err().to_string();
        assert_eq!(error, "the section .spore.schema is damaged");
    }
}
