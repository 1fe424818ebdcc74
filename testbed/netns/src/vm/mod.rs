//! A machine with a stock Debian kernel, emulated, on the underlay of a lab.
//!
//! The judge that namespaces cannot be: they have the kernel we run on, which may have no `gretap`
//! and no Open vSwitch of its own. QEMU emulates the machine in software, so it runs wherever
//! programs run; it is slow, and right.
//!
//! Nothing of it is installed: [`MachineFiles`] are Debian's packages unpacked into a folder. Its
//! root is an archive made at each boot from a kernel's modules, a busybox and the programs it is
//! to run; it has no disk. [`Machine::run`] gives its shell a line.

mod files;
mod initramfs;
mod machine;
mod modules;

pub use files::MachineFiles;
pub use machine::Machine;
