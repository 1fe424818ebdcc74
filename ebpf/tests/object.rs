//! The committed object is what the source says.

use std::path::Path;
use std::process::Command;

/// How `steer.o` is built, from the crate's folder. No path of the machine gets into it.
const FLAGS: &[&str] = &[
    "-O2",
    "-g",
    "-target",
    "bpf",
    "-mcpu=v3",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fdebug-compilation-dir=.",
    "-c",
    "src/steer.c",
    "-o",
];

/// Builds the object again; panics with what to do if that cannot be.
fn build(object: &Path) {
    let folder = env!("CARGO_MANIFEST_DIR");
    let clang = Command::new("clang-14")
        .current_dir(folder)
        .arg(format!("-ffile-prefix-map={folder}=."))
        .args(FLAGS)
        .arg(object)
        .output();
    match clang {
        Ok(done) => assert!(
            done.status.success(),
            "clang-14 refused ebpf/src/steer.c:\n{}",
            String::from_utf8_lossy(&done.stderr)
        ),
        Err(error) => panic!("clang-14 does not run ({error}): apt-get install clang-14"),
    }
}

#[test]
fn the_committed_object_is_what_the_source_builds_to() {
    let object = std::env::temp_dir().join(format!("gh-steer-{}.o", std::process::id()));
    build(&object);
    let built = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();

    // Said by hand: the difference of two objects, printed, helps nobody.
    assert!(
        built == ebpf::STEER,
        "ebpf/steer.o is not what ebpf/src/steer.c builds to: in ebpf/, run\n\
         clang-14 -ffile-prefix-map=$PWD=. {} steer.o",
        FLAGS.join(" ")
    );
}

#[test]
fn no_path_of_the_machine_it_was_built_on_is_in_the_object() {
    let needle = env!("CARGO_MANIFEST_DIR").as_bytes();
    assert!(!ebpf::STEER.windows(needle.len()).any(|w| w == needle));
}

#[test]
fn the_object_is_aligned_for_a_loader_that_reads_it_in_place() {
    assert_eq!(ebpf::STEER.as_ptr().addr() % 8, 0);
    assert_eq!(&ebpf::STEER[..4], b"\x7fELF");
}
