//! Ctrl-C as a question that a loop asks, so that machines and brokers are ended in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Knows whether Ctrl-C was pressed. From its making on, neither Ctrl-C nor SIGTERM ends the process by itself.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Starts to listen.
    pub fn listen() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("listening for Ctrl-C")?;
        }
        Ok(Self(flag))
    }

    /// Whether it was pressed since the last call.
    pub fn pressed(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
