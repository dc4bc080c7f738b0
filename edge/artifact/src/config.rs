//! What an artifact says about its task.

use description::Description;
use postcard_schema::schema::owned::OwnedNamedType;
use protocol::{Document, NameError, TaskName, Version};
use serde::{Deserialize, Serialize};

/// What a task takes and gives, and what it needs of a board: the config of each CPU's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The format's version.
    pub version: Version<1>,
    /// The task's name.
    pub task: TaskName,
    /// The version of its package.
    pub task_version: String,
    /// The struct of its parameters, as the image's section `.spore.schema` has it.
    pub parameters: OwnedNamedType,
    /// The type of its report.
    pub report: OwnedNamedType,
    /// The memory that its guest needs at least, in MiB.
    pub memory_mib: u32,
    /// What the board must have for it.
    pub features: Vec<Feature>,
    /// What the guest's log frames say, as [`console::strings`] gives it; none when it logs nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_strings: Option<String>,
}

impl Document for Config {
    const NAME: &'static str = "task's config";
    const MOST_BYTES: usize = 256 * 1024;
}

/// Something that a board may have or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// A network card for the guest: a bridge in dom0.
    Network,
}

impl Config {
    /// That of a task which says this of itself, needs so much, and logs nothing.
    ///
    /// # Errors
    /// Its name is none.
    pub fn new(description: Description, memory_mib: u32, features: Vec<Feature>) -> Result<Self, NameError> {
        let Description { task, version, parameters, report } = description;
        let task = task.parse()?;
        let log_strings = None;
        Ok(Self {
            version: Version,
            task,
            task_version: version,
            parameters,
            report,
            memory_mib,
            features,
            log_strings,
        })
    }

    /// What checks parameters and prints reports.
    #[must_use]
    pub fn description(&self) -> Description {
        Description {
            task: self.task.to_string(),
            version: self.task_version.clone(),
            parameters: self.parameters.clone(),
            report: self.report.clone(),
        }
    }

    /// Whether the task needs this.
    #[must_use]
    pub fn needs(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}
