//! Stories and simulations: what happens on the wire, and which counters move, and no others.
//!
//! The stories are in `tests/`; each runs in a [lab](../sim/index.html) of memory.
