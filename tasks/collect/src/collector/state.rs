//! The state as it is saved for a run that goes on after this one was ended from outside.
//!
//! It holds all but what is said of troubles: the counts, the series with their open windows, the summaries that have
//! not arrived, the end of the input, and the session at the source. It begins with what it is good for; a run that is
//! told other windows cannot use it.

use alloc::string::String;
use alloc::vec::Vec;

use kernel::checkpoint::MAX_BYTES;

use super::Collector;
use crate::backlog::Summary;
use crate::report::Report;
use crate::window::Sensor;
use mqtt::Session;

/// What the bytes mean.
const FORMAT: u8 = 1;
/// The most that one summary takes.
const SUMMARY_BYTES: usize = 100;

/// All but the summaries: format, length of a window, name at the source, whether the input has ended, counts, series,
/// session.
type Head = (u8, u32, String, bool, Report, Vec<Sensor>, Session);

/// What of a state is not the collector's.
pub(crate) struct Others {
    /// The name at the source.
    pub(crate) client: String,
    /// The session there.
    pub(crate) session: Session,
}

impl Collector {
    /// Has summaries wait until they have been saved.
    pub(crate) fn save_first(&self) {
        self.state.0.borrow_mut().out.backlog.save_first();
    }

    /// The state, in no more bytes than a checkpoint has, but for very many series. Summaries that have no room, the
    /// oldest, will be counted as dropped by a run that goes on.
    pub(crate) fn save(&self, client: &str, session: &Session) -> Vec<u8> {
        let state = self.state.0.borrow();
        let backlog = &state.out.backlog;
        let counts = state.counts();
        // As `Head`, by reference.
        let head = (FORMAT, state.window_s, client, state.ended, &counts, state.sensors.all(), session);
        let mut bytes = Vec::new();
        append(&mut bytes, &head);
        let room = MAX_BYTES.saturating_sub(bytes.len()) / SUMMARY_BYTES;
        let summaries: Vec<Summary> = backlog.newest(room.saturating_sub(1)).collect();
        append(&mut bytes, &((backlog.len() - summaries.len()) as u64, summaries));
        bytes
    }

    /// Notes that the state has been saved as it is.
    pub(crate) fn saved(&self) {
        if self.state.0.borrow_mut().out.backlog.saved() {
            self.news.signal(());
        }
    }

    /// Whether summaries wait to be saved.
    pub(crate) fn has_unsaved(&self) -> bool {
        self.state.0.borrow().out.backlog.has_unsaved()
    }

    /// Goes on with a state that was saved; none when it is not good for this run.
    pub(crate) fn restore(&self, bytes: &[u8]) -> Option<Others> {
        let (head, rest) = postcard::take_from_bytes::<Head>(bytes).ok()?;
        let (left_out, summaries) = postcard::from_bytes::<(u64, Vec<Summary>)>(rest).ok()?;
        let (format, window_s, client, ended, counts, sensors, session) = head;
        let state = &mut *self.state.0.borrow_mut();
        let is_known = |summary: &Summary| usize::from(summary.window.sensor) < sensors.len();
        if (format, window_s) != (FORMAT, state.window_s) || !summaries.iter().all(is_known) {
            return None;
        }
        if !state.sensors.restore(sensors) {
            return None;
        }
        kernel::println!(
            "collect: goes on after {} readings of {} series, with {} summaries to deliver",
            counts.readings,
            state.sensors.all().len(),
            summaries.len()
        );
        state.out.backlog.restore(summaries, counts.dropped + left_out);
        state.out.counts = counts;
        state.ended = ended;
        Some(Others { client, session })
    }

    /// Whether an earlier run has had all of the input.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.0.borrow().ended
    }
}

fn append(bytes: &mut Vec<u8>, value: &impl serde::Serialize) {
    // Writing to a vector cannot fail, and no length here is unknown.
    if let Ok(more) = postcard::to_allocvec(value) {
        bytes.extend(more);
    }
}
