//! The steps of a path, one file each.

mod complete;
mod decap;
mod encap;
mod fit;
mod flood;
mod forward;
mod guard;
mod learn;

pub use complete::Complete;
pub use decap::Decap;
pub use encap::Encap;
pub use fit::Fit;
pub use flood::Flood;
pub use forward::Forward;
pub use guard::Guard;
pub use learn::Learn;
