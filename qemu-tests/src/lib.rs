//! Spore.
