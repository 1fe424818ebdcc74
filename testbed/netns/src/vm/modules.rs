//! Which modules of a kernel are needed, and in which order they go in.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of the modules `wanted` below `folder` and of all they need, each behind those it
/// needs.
pub(super) fn in_order(folder: &Path, wanted: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = BTreeMap::new();
    collect(folder, &mut files)?;
    let mut order = Vec::new();
    for name in wanted {
        add(name, &files, &mut order)?;
    }
    Ok(order)
}

fn add(name: &str, files: &BTreeMap<String, PathBuf>, order: &mut Vec<PathBuf>) -> Result<()> {
    let file = files
        .get(name)
        .with_context(|| format!("this kernel has no module {name}"))?;
    if order.contains(file) {
        return Ok(());
    }
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    for needed in depends(&bytes) {
        add(&needed, files, order)?;
    }
    order.push(file.clone());
    Ok(())
}

/// What a module says it depends on: one of the zero-ended words of its `.modinfo`.
///
/// `modules.dep` says the same, but it is made when a kernel is installed.
fn depends(module: &[u8]) -> Vec<String> {
    const WORD: &[u8] = b"\0depends=";
    let Some(at) = module.windows(WORD.len()).position(|bytes| bytes == WORD) else {
        return Vec::new();
    };
    let rest = &module[at + WORD.len()..];
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
    let names = String::from_utf8_lossy(&rest[..end]).into_owned();
    let names = names.split(',').filter(|name| !name.is_empty());
    names.map(plain).collect()
}

/// Files are named with hyphens, modules with underscores.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            files.insert(plain(&name), path.clone());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_goes_in_behind_what_it_needs_and_once() {
        let folder = std::env::temp_dir().join(format!("gh-modules-{}", std::process::id()));
        let inner = folder.join("net");
        fs::create_dir_all(&inner).unwrap();
        let module = |name: &str, needs: &str| {
            let text = format!("\x7fELF\0license=GPL\0depends={needs}\0retpoline=Y\0");
            fs::write(inner.join(name), text).unwrap();
        };
        module("ip_gre.ko", "ip_tunnel,gre");
        module("gre.ko", "");
        module("ip_tunnel.ko", "");
        module("vport-gre.ko", "ip_gre,openvswitch");
        module("openvswitch.ko", "gre");
        let order = in_order(&folder, &["vport_gre", "ip_gre"]).unwrap();
        let names = order
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap());
        let names: Vec<_> = names.collect();
        let missing = in_order(&folder, &["nosuch"]).unwrap_err().to_string();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            names,
            ["ip_tunnel", "gre", "ip_gre", "openvswitch", "vport-gre"]
        );
        assert!(missing.contains("nosuch"));
    }
}
