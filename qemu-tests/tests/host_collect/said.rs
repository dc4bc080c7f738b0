//! What the tasks of all tests say on the console, which is the process's.

use std::cell::RefCell;
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::time::Duration;

use kernel::console::{self, Console};

static SAID: Mutex<String> = Mutex::new(String::new());
static GROWN: Condvar = Condvar::new();

thread_local! {
    /// What this thread has said of a line that has not ended.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Recorder;

impl Console for Recorder {
    fn write(&self, bytes: &[u8]) {
        LINE.with_borrow_mut(|line| {
            line.push_str(&String::from_utf8_lossy(bytes));
            if line.ends_with('\n') {
                print!("{line}");
                SAID.lock().unwrap_or_else(PoisonError::into_inner).push_str(line);
                GROWN.notify_all();
                line.clear();
            }
        });
    }
}

/// Begins to listen.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| console::attach(&Recorder));
}

/// Waits until a line with all of these texts was said, and asserts that one was.
pub fn wait(texts: &[&str], patience: Duration) {
    let missing = |said: &mut String| !said.lines().any(|line| texts.iter().all(|text| line.contains(text)));
    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let (said, waited) = GROWN.wait_timeout_while(said, patience, missing).unwrap_or_else(PoisonError::into_inner);
    assert!(!waited.timed_out(), "nobody has said {texts:?}:\n{said}");
}

/// The lines with this text that were said so far.
pub fn lines(text: &str) -> Vec<String> {
    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    said.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}
