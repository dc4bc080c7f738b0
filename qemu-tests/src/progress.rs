//! Words for whoever waits.

/// Gets a line for each thing that takes more than a second.
pub trait Progress {
    /// Says what is being done now.
    fn say(&mut self, line: &str);
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
}
