//! Trees with golden digests: the folders in `fixtures/trees/`, and some that no repository should hold.

use std::path::{Path, PathBuf};

use plugin_oci::layers::tree::{Mode, Tree};
use walkdir::WalkDir;

/// Every tree, by name.
pub fn all() -> Vec<(&'static str, Tree)> {
    vec![
        ("site", of_folder("site")),
        ("tools", of_folder("tools")),
        ("empty", Tree::default()),
        ("long", long()),
        ("unicode", unicode()),
        ("deep", deep()),
        ("links", links()),
        ("blocks", blocks()),
    ]
}

/// Where the folders are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trees")
}

/// A folder of `fixtures/trees/`: scripts are executable, whatever the checkout made of them.
pub fn of_folder(name: &str) -> Tree {
    let root = folder().join(name);
    let mut builder = Tree::builder();
    for entry in WalkDir::new(&root).min_depth(1) {
        let entry = entry.unwrap();
        let at = entry.path().strip_prefix(&root).unwrap();
        let script = at.extension().is_some_and(|extension| extension == "sh");
        builder.disk(at, if script { Mode::EXECUTABLE } else { Mode::PLAIN }, entry.path()).unwrap();
    }
    builder.finish().unwrap()
}

/// Names around every limit of ustar.
fn long() -> Tree {
    let mut builder = Tree::builder();
    for length in [99, 100, 101, 154, 155, 156, 255] {
        let name = "n".repeat(length);
        builder.bytes(format!("flat/{name}"), Mode::PLAIN, name.as_bytes()).unwrap();
        builder.bytes(format!("{}/{name}", "p".repeat(length)), Mode::PLAIN, name.as_bytes()).unwrap();
        builder.directory(format!("empty/{name}")).unwrap();
    }
    builder.finish().unwrap()
}

/// Names beyond ASCII, some cut inside a character by ustar's limits.
fn unicode() -> Tree {
    let mut builder = Tree::builder();
    for name in ["Grüße", "日本語", "наука", "e\u{301}", "\u{e9}", "🦀", "a b", "a\\b", "'\"$*?"] {
        builder.bytes(name, Mode::PLAIN, name.as_bytes()).unwrap();
        builder.bytes(format!("long/x{}", name.repeat(60).chars().take(60).collect::<String>()), Mode::PLAIN, *b"").unwrap();
        builder.symlink(format!("links/{name}"), format!("../{name}")).unwrap();
    }
    builder.finish().unwrap()
}

/// Paths of up to 100 folders.
fn deep() -> Tree {
    let mut builder = Tree::builder();
    for depth in [1, 10, 25, 50, 100] {
        builder.bytes(format!("{}f", "directory/".repeat(depth)), Mode::PLAIN, *b"deep").unwrap();
    }
    builder.finish().unwrap()
}

/// Links of every length, dangling ones among them.
fn links() -> Tree {
    let mut builder = Tree::builder();
    builder.bytes("bin/tool-1.2", Mode::EXECUTABLE, *b"#!/bin/sh\n").unwrap();
    builder.symlink("bin/tool", "tool-1.2").unwrap();
    builder.symlink("sbin", "bin").unwrap();
    builder.symlink("lib/x/up", "../../sbin/tool").unwrap();
    for length in [99, 100, 101, 300] {
        builder.symlink(format!("dangling/{length}"), "t/".repeat(150)[..length].replace("//", "/")).unwrap();
        builder.symlink(format!("dangling/{}", "l".repeat(length.min(255))), format!("é{}", "t".repeat(length))).unwrap();
    }
    builder.finish().unwrap()
}

/// Several blocks of text, of code-like bytes, of noise, and of one byte; and sizes around the block's.
pub fn blocks() -> Tree {
    let mut builder = Tree::builder();
    let noise = noise(3 << 20);
    let text: String =
        noise.iter().take(1 << 20).map(|byte| ["the ", "plugin ", "says\n", "hello, "][usize::from(byte % 4)]).collect();
    let code: Vec<u8> = noise.iter().take(1 << 20).map(|byte| byte & (byte >> 3)).collect();
    builder.bytes("text", Mode::PLAIN, text.as_bytes()).unwrap();
    builder.bytes("code", Mode::EXECUTABLE, code).unwrap();
    builder.bytes("zeros", Mode::PLAIN, vec![0; (1 << 20) + 1]).unwrap();
    builder.bytes("noise", Mode::PLAIN, noise).unwrap();
    for size in [(512 << 10) - 1, 512 << 10, (512 << 10) + 1, 0, 1, 511, 512, 513] {
        builder.bytes(format!("sizes/{size}"), Mode::PLAIN, vec![b'x'; size]).unwrap();
    }
    builder.finish().unwrap()
}

/// Bytes that look random and are the same everywhere (xorshift64*).
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}
