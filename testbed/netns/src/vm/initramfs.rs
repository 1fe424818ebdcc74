//! The machine's root: an archive (cpio, "newc") that the kernel unpacks into memory.

use super::files::MachineFiles;
use super::modules;
use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What the machine's kernel loads when it boots.
const MODULES: [&str; 8] = [
    "virtio_pci",
    "virtio_net",
    "ip_gre",
    "ip6_gre",
    "act_pedit",
    "act_csum",
    "cls_flower",
    "sch_ingress",
];

/// What lies in `/modules/switch` until it is wanted: Open vSwitch brings connection tracking with
/// it, which drops all but one of the first packets of a flow if they come in one batch.
const SWITCH: [&str; 2] = ["openvswitch", "vport_gre"];

/// What runs in it; the shell and all small things are busybox.
const PROGRAMS: [&str; 7] = [
    "sbin/ip",
    "sbin/tc",
    "sbin/ethtool",
    "usr/bin/ovsdb-tool",
    "usr/bin/ovs-vsctl",
    "usr/sbin/ovsdb-server",
    "usr/lib/openvswitch-switch/ovs-vswitchd",
];

const SCHEMA: &str = "usr/share/openvswitch/vswitch.ovsschema";

const PROGRAM: u32 = 0o100_755;
const FOLDER: u32 = 0o040_755;

/// The archive, whole.
pub(super) fn build(files: &MachineFiles) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.file("init", include_bytes!("init.sh"));
    archive.copy("bin/busybox", &files.file("bin/busybox")?)?;
    let (_, folder) = files.kernel()?;
    let boot = modules::in_order(&folder, &MODULES)?;
    let switch = modules::in_order(&folder, &SWITCH)?;
    let later = switch.iter().filter(|module| !boot.contains(module));
    let all = boot.iter().map(|module| ("modules", module));
    let all = all.chain(later.map(|module| ("modules/switch", module)));
    for (number, (folder, module)) in all.enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.copy(&format!("{folder}/{number:02}-{name}"), module)?;
    }
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS {
        let file = files.file(program)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        archive.copy(&format!("sbin/{name}"), &file)?;
        libraries.extend(files.libraries(&file)?);
    }
    for library in libraries {
        let name = library.file_name().unwrap_or_default().to_string_lossy();
        // The loader's place is written in every program; all else is found by name.
        let folder = if name.starts_with("ld-") {
            "lib64"
        } else {
            "lib"
        };
        archive.copy(&format!("{folder}/{name}"), &library)?;
    }
    archive.copy(SCHEMA, &files.file(SCHEMA)?)?;
    for folder in ["dev", "proc", "sys"] {
        archive.folder(folder);
    }
    Ok(archive.close())
}

/// Entry by entry: a header of 110 hexadecimal digits, the name, the bytes.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let bytes = fs::read(from).with_context(|| from.display().to_string())?;
        self.file(path, &bytes);
        Ok(())
    }

    fn file(&mut self, path: &str, bytes: &[u8]) {
        for (at, _) in path.match_indices('/') {
            self.folder(&path[..at]);
        }
        self.entry(path, PROGRAM, bytes);
    }

    fn folder(&mut self, path: &str) {
        if self.folders.insert(path.to_owned()) {
            self.entry(path, FOLDER, &[]);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, bytes: &[u8]) {
        self.entries += 1;
        let (inode, name) = (self.entries, path.len() + 1);
        let size = bytes.len();
        // Magic; inode, mode, owner, group, links, time; size; four numbers of devices; length of
        // the name; no checksum.
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}\
             {0:08x}{0:08x}{0:08x}{0:08x}{name:08x}{0:08x}",
            0, 1
        );
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        let whole = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(whole, 0);
    }

    fn close(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lies_behind_its_folders_and_everything_on_four_bytes() {
        let mut archive = Archive::default();
        archive.file("lib/a", b"xyz");
        archive.file("lib/b", b"");
        let bytes = archive.close();
        let text = String::from_utf8(bytes).unwrap();
        let folder = text.find("lib\0").unwrap();
        let file = text.find("lib/a\0").unwrap();
        assert_eq!(folder, 110);
        assert!(folder < file && text.matches("lib\0").count() == 1);
        // The header of `lib/a`: a file of three bytes with a name of six.
        let header = &text[file - 110..file];
        assert!(header.starts_with("070701") && header[14..22].ends_with("81ed"));
        assert_eq!(
            (&header[54..62], &header[94..102]),
            ("00000003", "00000006")
        );
        assert_eq!(&text[file + 6..file + 10], "xyz\0");
        assert_eq!(text.len() % 4, 0);
        assert!(text.contains("TRAILER!!!"));
    }
}
