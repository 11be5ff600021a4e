//! A dependency from crates.io without a network: what the developer's cargo has of it, because this package needs it too.

use std::fs;
use std::path::{Path, PathBuf};

/// `Cargo.lock` of a package `p` that depends on `itoa` in the version of this package's own lock file.
pub fn lock_with_itoa() -> String {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    let itoa = lock.split("[[package]]\n").find(|package| package.starts_with("name = \"itoa\"")).unwrap();
    format!(
        "version = 4\n\n[[package]]\n{}\n\n[[package]]\nname = \"p\"\nversion = \"0.1.0\"\ndependencies = [\n \"itoa\",\n]\n",
        itoa.trim_end()
    )
}

/// A program that needs it.
pub const MAIN_WITH_ITOA: &str = "fn main() { println!(\"{}\", itoa::Buffer::new().format(1)); }\n";

/// The developer's own.
#[expect(clippy::disallowed_methods, reason = "tests run in the developer's environment")]
pub fn cargo_home() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cargo"))
}

/// Copies what there is of `itoa` into a new `CARGO_HOME`.
pub fn copy_itoa(to: &Path) {
    let home = cargo_home();
    for entry in walkdir::WalkDir::new(home.join("registry")).into_iter().flatten() {
        let relative = entry.path().strip_prefix(&home).unwrap();
        let text = relative.to_string_lossy();
        let wanted =
            text.contains("itoa-1") || text.contains("/it/oa/") || text.ends_with("config.json") && text.contains("index/");
        if wanted && entry.file_type().is_file() && (text.contains("/cache/") || text.contains("/index/"))
            || text.ends_with("/.cargo-index-lock")
        {
            let file = to.join(relative);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::copy(entry.path(), file).unwrap();
        }
    }
}
