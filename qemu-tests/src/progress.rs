//! Words for whoever waits, and a bar for what has a length.

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Gets a line for each thing that takes more than a second.
pub trait Progress {
    /// Says what is being done now.
    fn say(&mut self, line: &str);

    /// Where bars are drawn: nowhere when it is no terminal.
    fn bars(&self) -> ProgressDrawTarget {
        ProgressDrawTarget::stderr()
    }
}

/// Progress as lines on standard error.
pub struct Lines;

impl Progress for Lines {
    fn say(&mut self, line: &str) {
        eprintln!("{line}");
    }
}

/// No progress, for what must be quiet.
pub struct Silence;

impl Progress for Silence {
    fn say(&mut self, _line: &str) {}

    fn bars(&self) -> ProgressDrawTarget {
        ProgressDrawTarget::hidden()
    }
}

/// How much of something with a known length is there: on a terminal a bar with bytes and the time left, elsewhere a line
/// for each quarter. It is gone when it is dropped.
pub struct Download<'p> {
    progress: &'p mut dyn Progress,
    what: String,
    bar: ProgressBar,
    /// Quarters that were said.
    said: u64,
}

impl<'p> Download<'p> {
    /// The beginning of `what`, of so many bytes.
    pub fn start(progress: &'p mut dyn Progress, what: impl Into<String>, bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), progress.bars());
        if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {bytes} of {total_bytes}, {eta} left") {
            bar.set_style(style.progress_chars("=> "));
        }
        let what = what.into();
        bar.set_message(what.clone());
        Self { progress, what, bar, said: 0 }
    }

    /// So many bytes of it are there.
    pub fn at(&mut self, bytes: u64) {
        let all = self.bar.length().unwrap_or(0);
        self.bar.set_position(bytes.min(all));
        let quarter = (bytes * 4).checked_div(all).unwrap_or(4).min(4);
        if self.bar.is_hidden() && quarter > self.said {
            self.said = quarter;
            let (there, all) = (HumanBytes(bytes.min(all)), HumanBytes(all));
            self.progress.say(&format!("{}: {there} of {all}", self.what));
        }
    }
}

impl Drop for Download<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Kept(Vec<String>);

    impl Progress for Kept {
        fn say(&mut self, line: &str) {
            self.0.push(line.to_owned());
        }

        fn bars(&self) -> ProgressDrawTarget {
            ProgressDrawTarget::hidden()
        }
    }

    #[test]
    fn where_nobody_looks_each_quarter_is_a_line() {
        let mut kept = Kept(Vec::new());
        let mut download = Download::start(&mut kept, "packages", 4096);
        [0, 1000, 1024, 1500, 4096, 9999].into_iter().for_each(|bytes| download.at(bytes));
        drop(download);
        assert_eq!(kept.0, ["packages: 1.00 KiB of 4.00 KiB", "packages: 4.00 KiB of 4.00 KiB"]);
    }

    #[test]
    fn nothing_to_download_is_all_there() {
        let mut kept = Kept(Vec::new());
        let mut download = Download::start(&mut kept, "nothing", 0);
        download.at(0);
        drop(download);
        assert_eq!(kept.0, ["nothing: 0 B of 0 B"]);
    }
}
