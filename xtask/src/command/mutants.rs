//! `mutants`: whether the tests find faults that are put into the source.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::terminal::{self, Style};
use crate::workspace::Workspace;

/// Put single faults into the source, one at a time, and see whether the tests find them (cargo-mutants).
///
/// A sample takes every so many-th fault of all that there are, so that it is spread over everything; another seed takes
/// others, and all seeds together take all. A fault costs a build and a run of the nearest tests, a quarter of a minute or
/// more; what these do not find, those of the packages that use it are asked about. Those that no test found are listed,
/// and leave exit status 1. What is left out, and why, is in .cargo/mutants.toml; what was changed and what the tests
/// said, in target/mutants.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The packages to put faults into; without any, all that there are tests for.
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    /// How many faults to try, about.
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    sample: u32,
    /// Which of the samples.
    #[arg(long, default_value_t = 0)]
    seed: u32,
    /// Only list the faults of the sample.
    #[arg(long)]
    list: bool,
}

/// Packages to put faults into, and the packages whose tests judge them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subject {
    packages: &'static [&'static str],
    /// Made for them: nearly all faults are found here, and building these is quick.
    nearest: &'static [&'static str],
    /// Of what uses them: asked about what the nearest have not found.
    others: &'static [&'static str],
}

/// Whose modules are partly for guests only, and how it says so.
const PLATFORM: &str = "xen-pv/src";
const GUEST: &str = "target_os = \"none\"";

/// What is cheap to build together is one subject: each has the tests run once without any fault, before the others.
const SUBJECTS: [Subject; 6] = [
    Subject { packages: &["xen-pv"], nearest: &["xen-pv", "xen-fake"], others: &["fuzz"] },
    Subject { packages: &["kernel"], nearest: &["kernel"], others: &["host", "xen-fake", "fuzz"] },
    Subject {
        packages: &["collect", "mqtt", "readings"],
        nearest: &["collect", "mqtt", "readings"],
        others: &["fuzz"],
    },
    Subject { packages: &["echo", "filter", "lines"], nearest: &["echo", "filter", "lines"], others: &["fuzz"] },
    Subject { packages: &["channel"], nearest: &["channel"], others: &["xen-fake", "fuzz"] },
    Subject { packages: &["store"], nearest: &["store"], others: &[] },
];

/// Which faults.
#[derive(Debug, Clone, Copy)]
enum Which<'f> {
    All,
    Shard(Shard),
    /// Those of these names.
    Named(&'f [String]),
}

impl Which<'_> {
    /// Whether a fault that was tried is one of them.
    fn has(self, fault: &str) -> bool {
        match self {
            Self::All | Self::Shard(_) => true,
            Self::Named(names) => names.iter().any(|name| name == fault),
        }
    }
}

/// Every `of`-th fault, from the `number`-th on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    number: usize,
    of: usize,
}

impl Shard {
    /// The shard with about `sample` of all the faults that belongs to a seed.
    fn new(faults: usize, sample: u32, seed: u32) -> Self {
        let of = faults.div_ceil(sample as usize).max(1);
        Self { number: seed as usize % of, of }
    }
}

/// How faults ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    found: usize,
    /// Do not compile, and say nothing about the tests.
    unviable: usize,
    survived: Vec<String>,
}

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    process::output(process::cargo().args(["mutants", "--version"]))
        .context("cargo-mutants is missing; please type: cargo install --locked cargo-mutants")?;
    let subjects = subjects(&arguments.packages)?;
    let mut all = 0;
    for (_, packages) in &subjects {
        all += faults(&workspace, packages, Which::All)?.len();
    }
    let shard = Shard::new(all, arguments.sample, arguments.seed);
    let mut outcome = Outcome::default();
    for (subject, packages) in &subjects {
        let sample = faults(&workspace, packages, Which::Shard(shard))?;
        if arguments.list {
            sample.iter().for_each(|fault| println!("{fault}"));
        } else if !sample.is_empty() {
            outcome.add(judge(&workspace, subject, packages, shard)?);
        }
    }
    let Shard { number, of } = shard;
    terminal::say(format_args!("sample {number} of 0 to {}, of {all} faults in all", of - 1));
    Ok(if arguments.list { ExitCode::SUCCESS } else { outcome.verdict() })
}

/// Subjects, each with those of its packages that are wanted.
fn subjects(wanted: &[String]) -> Result<Vec<(Subject, Vec<&'static str>)>> {
    let known = SUBJECTS.iter().flat_map(|subject| subject.packages).copied().collect::<Vec<_>>();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("no tests judge \"{unknown}\"; those judged are: {}", known.join(", "));
    }
    let is_wanted = |package: &&str| wanted.is_empty() || wanted.iter().any(|name| name == package);
    let narrowed = SUBJECTS.map(|subject| (subject, subject.packages.iter().copied().filter(is_wanted).collect()));
    Ok(narrowed.into_iter().filter(|(_, packages): &(_, Vec<_>)| !packages.is_empty()).collect())
}

/// The names of faults.
fn faults(workspace: &Workspace, packages: &[&str], which: Which<'_>) -> Result<Vec<String>> {
    let output = process::output(command(workspace, packages, which)?.arg("--list"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Judges the faults of a shard: all by the nearest tests, and by the others those that are left.
fn judge(workspace: &Workspace, subject: &Subject, packages: &[&str], shard: Shard) -> Result<Outcome> {
    let name = subject.packages[0];
    let mut outcome = judge_by(subject.nearest, name, workspace, packages, Which::Shard(shard))?;
    if !outcome.survived.is_empty() {
        let left = std::mem::take(&mut outcome.survived);
        let name = format!("{name}-others");
        outcome.add(judge_by(subject.others, &name, workspace, packages, Which::Named(&left))?);
    }
    Ok(outcome)
}

/// Judges faults by the tests of some packages; what was said is kept under `name`.
fn judge_by(
    judges: &[&str],
    name: &str,
    workspace: &Workspace,
    packages: &[&str],
    which: Which<'_>,
) -> Result<Outcome> {
    let folder = workspace.target.join("mutants");
    let (tree, output) = (folder.join("tree"), folder.join(name));
    for folder in [&tree, &output] {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let mut cargo = command(workspace, packages, which)?;
    // The copy of the source that is changed lies below target/, where its tests find Xen's headers as those of the
    // original do; what is built of others' crates stays for the next call.
    cargo.env("TMPDIR", &tree).env("CARGO_TARGET_DIR", folder.join("build")).arg("--output").arg(&output);
    for judge in judges {
        cargo.args(["--test-package", judge]);
    }
    let status = process::spawn(&mut cargo)?.wait()?;
    // 2 and 3 are its verdicts: some survived, some ran for too long.
    match status.code() {
        Some(0 | 2 | 3) => Outcome::read(&output.join("mutants.out"), which),
        _ => bail!("cargo-mutants came to no verdict ({status}); its logs are in {}", workspace.shown(&output)),
    }
}

fn command(workspace: &Workspace, packages: &[&str], which: Which<'_>) -> Result<Command> {
    let mut cargo = process::cargo();
    cargo.current_dir(&workspace.root).arg("mutants");
    match which {
        Which::All => {}
        Which::Shard(Shard { number, of }) => {
            cargo.args(["--sharding", "round-robin", "--shard", &format!("{number}/{of}")]);
        }
        Which::Named(names) => {
            cargo.args(names.iter().flat_map(|name| ["--re".to_owned(), literally(name)]));
        }
    }
    for module in guest_modules_below(&workspace.root, Path::new(PLATFORM))? {
        cargo.args(["--exclude", &format!("{module}.rs"), "--exclude", &format!("{module}/**")]);
    }
    for package in packages {
        cargo.args(["--package", package]);
    }
    Ok(cargo)
}

/// A regular expression for a name: all that is no letter, digit or space may mean something there.
fn literally(name: &str) -> String {
    let escaped = name.chars().map(|character| match character {
        character if character.is_alphanumeric() || character == ' ' => character.to_string(),
        character => format!("\\x{{{:x}}}", u32::from(character)),
    });
    format!("^{}$", escaped.collect::<String>())
}

/// The modules of a folder that are for guests only, as paths below `root` without an extension. cargo-mutants does not
/// see that they are: it looks at no `cfg` but that of tests.
fn guest_modules_below(root: &Path, folder: &Path) -> Result<Vec<String>> {
    let mut modules = Vec::new();
    let entries = fs::read_dir(root.join(folder)).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let path = folder.join(entry?.file_name());
        if root.join(&path).is_dir() {
            modules.extend(guest_modules_below(root, &path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(root.join(&path)).with_context(|| format!("read {}", path.display()))?;
            // Modules of lib.rs lie beside it, those of another file in its folder.
            let children = if path.ends_with("lib.rs") { folder.to_owned() } else { path.with_extension("") };
            modules.extend(guest_modules(&source).iter().map(|module| children.join(module).display().to_string()));
        }
    }
    Ok(modules)
}

/// The modules that a file has for guests only.
fn guest_modules(source: &str) -> Vec<&str> {
    let lines: Vec<_> = source.lines().collect();
    let guests_only = |cfg: &str| cfg.contains(GUEST) && !cfg.contains("not(") && !cfg.contains("any(");
    let pairs = lines.array_windows().filter(|[cfg, _]| cfg.starts_with("#[cfg(") && guests_only(cfg));
    pairs.filter_map(|[_, module]| module.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')).collect()
}

impl Outcome {
    /// Reads the lists that cargo-mutants leaves, a fault in each line. It tries fields that are left out whatever names
    /// it is given: those that are not among them count for nothing.
    fn read(folder: &Path, which: Which<'_>) -> Result<Self> {
        let list = |name: &str| -> Result<Vec<String>> {
            let path = folder.join(name);
            let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            Ok(text.lines().filter(|fault| which.has(fault)).map(str::to_owned).collect())
        };
        // A test that does not end has found the fault as well.
        let found = list("caught.txt")?.len() + list("timeout.txt")?.len();
        Ok(Self { found, unviable: list("unviable.txt")?.len(), survived: list("missed.txt")? })
    }

    fn add(&mut self, other: Self) {
        self.found += other.found;
        self.unviable += other.unviable;
        self.survived.extend(other.survived);
    }

    /// Prints what came of it.
    fn verdict(&self) -> ExitCode {
        for fault in &self.survived {
            println!("{} {fault}", terminal::on_stdout("survived:", Style::Red));
        }
        println!("{}", self.sum());
        if self.survived.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn sum(&self) -> String {
        let judged = self.found + self.survived.len();
        let Self { found, unviable, .. } = self;
        let share = match judged {
            0 => String::new(),
            judged => format!(" ({:.1} %)", *found as f64 * 100.0 / judged as f64),
        };
        format!("{found} of {judged} faults were found{share}; {unviable} more did not compile")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Outcome, PLATFORM, SUBJECTS, Shard, Which, guest_modules, guest_modules_below, literally, subjects};
    use crate::workspace::Workspace;

    #[test]
    fn a_sample_has_about_as_many_faults_as_wanted_and_all_seeds_together_have_all() {
        let shards: Vec<_> = (0..34).map(|seed| Shard::new(1000, 30, seed)).collect();
        assert_eq!(shards[0], Shard { number: 0, of: 34 });
        let mut numbers: Vec<_> = shards.iter().map(|shard| shard.number).collect();
        numbers.dedup();
        assert_eq!(numbers, (0..34).collect::<Vec<_>>());
        assert_eq!(Shard::new(1000, 30, 35).number, 1);
        assert_eq!(Shard::new(10, 30, 7), Shard { number: 0, of: 1 });
    }

    #[test]
    fn only_what_is_wanted_is_changed_and_a_wrong_name_lists_what_there_is() {
        let narrowed = subjects(&["lines".to_owned()]).unwrap();
        assert_eq!(narrowed, [(SUBJECTS[3], vec!["lines"])]);
        assert_eq!(subjects(&[]).unwrap().len(), SUBJECTS.len());
        let error = subjects(&["xtask".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("no tests judge \"xtask\"; those judged are: xen-pv, kernel, "), "{error}");
    }

    #[test]
    fn a_name_stands_for_itself_alone() {
        assert_eq!(literally("a.rs:1: replace + with -"), r"^a\x{2e}rs\x{3a}1\x{3a} replace \x{2b} with \x{2d}$");
    }

    #[test]
    fn modules_for_guests_are_told_from_others() {
        let root = "mod a;\n#[cfg(target_os = \"none\")]\nmod boot;\n#[cfg(feature = \"netfront\")]\npub mod netfront;\n\
                    #[cfg(all(target_os = \"none\", feature = \"xenstore\"))]\npub mod resume;\nmod b;\n\
                    #[cfg(any(target_os = \"none\", test))]\nmod ring;\n";
        assert_eq!(guest_modules(root), ["boot", "resume"]);
    }

    #[test]
    fn modules_for_guests_are_found_in_modules_for_all() {
        let root = Workspace::load().unwrap().root;
        let modules = guest_modules_below(&root, Path::new(PLATFORM)).unwrap();
        for module in ["boot", "console/channel", "memory/runs"] {
            assert!(modules.contains(&format!("{PLATFORM}/{module}")), "{modules:?}");
        }
    }

    #[test]
    fn faults_of_other_names_count_for_nothing() {
        let names = ["a", "b"].map(str::to_owned);
        assert_eq!(["a", "b", "c"].map(|fault| Which::Named(&names).has(fault)), [true, true, false]);
        assert!(Which::All.has("c") && Which::Shard(Shard::new(10, 5, 0)).has("c"));
    }

    #[test]
    fn the_share_is_of_what_compiles() {
        let mut outcome = Outcome { found: 2, unviable: 1, survived: vec!["a".into()] };
        outcome.add(Outcome { found: 1, unviable: 0, survived: vec![] });
        assert_eq!(outcome.sum(), "3 of 4 faults were found (75.0 %); 1 more did not compile");
        assert_eq!(Outcome::default().sum(), "0 of 0 faults were found; 0 more did not compile");
    }
}
