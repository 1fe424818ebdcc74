//! What things cost, and how we know.
//!
//! The benches in `benches/` measure one part in memory each; each says in its header what is
//! paid, in what unit, and what would be a surprise. What more than one of them needs is here.

pub mod load;
