//! Two stacks over a wire in memory, with a clock that moves only when nobody has anything to do.

mod addresses;
mod attacks;
mod datagrams;
mod names;
mod neighbours;
mod parameters;
mod pauses;
mod streams;
mod turns;
mod wire;
mod world;
