//! Another place and other circumstances: everything that must make no difference is different.
//!
//! | what | here | there |
//! |---|---|---|
//! | sources | the workspace | a copy of what a checkout holds (`checkout`), under a path of another length |
//! | `CARGO_HOME` | the user's | a new one, with the user's downloads and configuration |
//! | `HOME` | the user's | an empty one |
//! | target directory | inside | outside the workspace |
//! | umask | the user's | 077, or 022 where that is the user's |
//! | `TZ`, locale | the user's | 12 hours and 45 minutes off; Turkish |
//! | jobs | as many as there are processors | one |
//! | compiler wrappers | the user's | none: a cache would give back what the first build put in |
//!
//! The user's downloads are linked where they never change (crates, git objects) and copied where they may, so that no
//! network is needed and nothing that happens there can be seen here.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build::toolchain::{cargo_home, home};
use plugin_oci::environment::Environment;
use plugin_oci::failure::Error;
use plugin_oci::fs::{FileError, TempDir, create_dirs, sorted_listing};

/// Variables that decide about bytes and are in the record, or must make no difference.
const CLEARED: [&str; 20] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_BUILD_JOBS",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_INCREMENTAL",
    "CARGO_TARGET_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_WORK_TREE",
    "LANG",
    "LANGUAGE",
    "USERPROFILE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
];

/// A place to build at, removed when dropped.
pub struct Elsewhere {
    root: PathBuf,
    _dir: TempDir,
}

impl Elsewhere {
    /// Makes an empty place.
    pub fn new(env: &Environment) -> Result<Self, Error> {
        let parent = env.path("TMPDIR").map_or_else(std::env::temp_dir, |dir| env.resolve(&dir));
        let dir = TempDir::new_in(tempfile::Builder::new().prefix("plugin-build-again-"), &parent)?;
        let root = dir.path().canonicalize().map_err(FileError::at("find", dir.path()))?;
        Ok(Self { root, _dir: dir })
    }

    /// Where a group's image goes.
    pub fn layout(&self, group: usize) -> PathBuf {
        self.root.join(format!("layout-{group}"))
    }

    /// Where cargo builds.
    pub fn target_dir(&self) -> PathBuf {
        self.root.join("products")
    }

    /// The environment there; the working directory is the caller's to set.
    pub fn environment(&self, here: &Environment) -> Result<Environment, Error> {
        let mut env = here.clone();
        let names: Vec<String> = here.vars().filter_map(|(name, _)| name.to_str().map(str::to_owned)).collect();
        for name in names {
            let of_target = name.starts_with("CARGO_TARGET_") && name.ends_with("_RUSTFLAGS");
            if CLEARED.contains(&name.as_str()) || of_target || name.starts_with("CARGO_PROFILE_") || name.starts_with("LC_") {
                env.remove(&name);
            }
        }
        let homes = [self.root.join("home"), self.root.join("downloads/of/another/cargo")];
        for dir in &homes {
            create_dirs(dir)?;
        }
        // rustup finds its toolchains by the home directory unless told.
        if let Some(rustup) = home(here).map(|home| home.join(".rustup")).filter(|dir| dir.is_dir())
            && here.path("RUSTUP_HOME").is_none()
        {
            env.set("RUSTUP_HOME", rustup);
        }
        if let Some(downloads) = cargo_home(here) {
            share_downloads(&downloads, &homes[1])?;
        }
        let [home, cargo_home] = homes;
        env.set("HOME", home);
        env.set("CARGO_HOME", cargo_home);
        env.set("TZ", "<+1245>-12:45");
        env.set("LC_ALL", "tr_TR.UTF-8");
        env.set("RUSTC_WRAPPER", "");
        env.set("CCACHE_DISABLE", "1");
        Ok(env)
    }

    /// The directory in which there is nothing but a checkout.
    pub fn around_checkout(&self) -> PathBuf {
        self.root.join("another")
    }

    /// Where a checkout goes: deep, as links that lead out of it find their place around it.
    pub fn checkout(&self) -> PathBuf {
        self.around_checkout().join("checkout/of/the/same/sources")
    }
}

/// Gives a new `CARGO_HOME` what the old one has downloaded, and its configuration; nothing that is unpacked from it, no
/// credentials, no locks.
fn share_downloads(from: &Path, to: &Path) -> Result<(), FileError> {
    for name in ["registry/cache", "registry/index", "git/db"] {
        if from.join(name).is_dir() {
            share(&from.join(name), &to.join(name))?;
        }
    }
    for name in ["config", "config.toml"] {
        if from.join(name).is_file() {
            let (from, to) = (from.join(name), to.join(name));
            fs::copy(&from, &to).map_err(FileError::at("copy", &from))?;
        }
    }
    Ok(())
}

fn share(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::create_dir_all(to).map_err(FileError::at("create", to))?;
    for name in sorted_listing(from)? {
        let (file, target) = (from.join(&name), to.join(&name));
        let metadata = file.symlink_metadata().map_err(FileError::at("read", &file))?;
        if metadata.is_dir() {
            share(&file, &target)?;
        } else if metadata.is_file() && !(never_changes(&file) && fs::hard_link(&file, &target).is_ok()) {
            fs::copy(&file, &target).map_err(FileError::at("copy", &file))?;
        }
    }
    Ok(())
}

/// Crates and git objects are written once, under names that say what is in them.
fn never_changes(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "crate") || file.iter().any(|component| component == "objects")
}

/// Another umask than the caller's, as long as it lives.
#[cfg(unix)]
pub struct OtherUmask(nix::sys::stat::Mode);

#[cfg(unix)]
impl OtherUmask {
    /// Sets it for the whole process.
    pub fn set() -> Self {
        use nix::sys::stat::{Mode, umask};
        let strict = Mode::from_bits_truncate(0o077);
        let before = umask(strict);
        if before == strict {
            umask(Mode::from_bits_truncate(0o022));
        }
        Self(before)
    }
}

#[cfg(unix)]
impl Drop for OtherUmask {
    fn drop(&mut self) {
        nix::sys::stat::umask(self.0);
    }
}

/// There is no umask here.
#[cfg(not(unix))]
pub struct OtherUmask;

#[cfg(not(unix))]
impl OtherUmask {
    /// Does nothing.
    pub fn set() -> Self {
        Self
    }
}
