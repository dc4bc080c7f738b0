//! A turn: look at what is there, decide, do.
//!
//! Deciding ([`crate::Node`]) belongs to whoever owns the journal; doing is slow and may hang, so it may be on another
//! thread: [`Desk`] is what lies between.

use std::path::PathBuf;

use crate::reconcile::{Effect, Observed};
use crate::toolstack::{End, Ended, Inside, Toolstack};
use crate::{GuestId, GuestSpec, NodeError};

/// What came of an effect, as far as the journal must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// A guest could not be made, and why.
    NotStarted(GuestId, String),
    /// A running guest shows this.
    Looked(GuestId, Inside),
    /// A guest has ended in this way and left this.
    Ended(GuestId, End, Ended),
}

/// Where decisions are made.
pub trait Desk {
    /// See [`crate::Node::plan`].
    ///
    /// # Errors
    /// The journal fails.
    fn plan(&mut self, observed: Observed) -> Result<(Vec<Effect>, bool), NodeError>;

    /// See [`crate::Node::settle`].
    ///
    /// # Errors
    /// The journal fails.
    fn settle(&mut self, settled: Settled) -> Result<(), NodeError>;
}

/// What a turn needs to know of its board.
#[derive(Debug)]
pub struct Board<I> {
    /// Which boot of the board this is.
    pub boot: String,
    /// Memory of Xen's that is not given to guests, in KiB.
    pub reserve_kib: u64,
    /// The file of a guest's image, after its digest was compared once more; or why there is none.
    pub image: I,
}

/// Looks at what is there and does the next thing for each command; whether there was anything to do.
///
/// # Errors
/// The first thing that failed; the rest was done. What failed is tried again by the next turn.
pub fn turn<T: Toolstack>(
    desk: &mut impl Desk,
    toolstack: &mut T,
    board: &Board<impl Fn(&GuestSpec) -> Result<PathBuf, String>>,
) -> Result<bool, NodeError> {
    let free_kib = toolstack.memory_free_kib().map_err(failed("asking for free memory"))?;
    let observed = Observed {
        guests: toolstack.guests().map_err(failed("listing the guests"))?,
        free_kib: free_kib.saturating_sub(board.reserve_kib),
        boot: board.boot.clone(),
    };
    let (effects, written) = desk.plan(observed)?;
    // A look changes nothing that a next turn could find.
    let busy = written || effects.iter().any(|effect| !matches!(effect, Effect::LookInto(_)));
    let mut first_error = None;
    for effect in effects {
        match act(effect, desk, toolstack, board) {
            // Nothing may be done that is not on disk.
            Err(error @ NodeError::Journal(_)) => return Err(error),
            Err(error) => first_error = first_error.or(Some(error)),
            Ok(()) => {}
        }
    }
    first_error.map_or(Ok(busy), Err)
}

fn act<T: Toolstack>(
    effect: Effect,
    desk: &mut impl Desk,
    toolstack: &mut T,
    board: &Board<impl Fn(&GuestSpec) -> Result<PathBuf, String>>,
) -> Result<(), NodeError> {
    match effect {
        Effect::Create(spec) => {
            let image = (board.image)(&spec);
            let made = image.and_then(|path| toolstack.create(&spec, &path).map_err(|error| error.to_string()));
            made.or_else(|why| desk.settle(Settled::NotStarted(spec.id, why)))
        }
        Effect::Unpause(id) => toolstack.unpause(id).map_err(failed(format!("unpausing guest {id}"))),
        Effect::Feed(feed) => toolstack.feed(&feed).map_err(failed(format!("feeding guest {}", feed.guest))),
        Effect::SetCpu(id, cpu) => toolstack.set_cpu(id, cpu).map_err(failed(format!("giving guest {id} its CPUs"))),
        Effect::Destroy(id) => toolstack.destroy(id).map_err(failed(format!("destroying guest {id}"))),
        Effect::LookInto(id) => {
            let inside = toolstack.look_into(id).map_err(failed(format!("looking into guest {id}")))?;
            desk.settle(Settled::Looked(id, inside))
        }
        Effect::Conclude(id, end) => {
            let left = toolstack.ended(id).map_err(failed(format!("reading what guest {id} left")))?;
            desk.settle(Settled::Ended(id, end, left))
        }
    }
}

/// For `map_err`: what was tried.
fn failed<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> NodeError {
    let what = what.into();
    move |reason| NodeError::Toolstack { what, reason: reason.to_string() }
}
