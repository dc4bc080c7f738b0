//! Spore.
fn main() {}
