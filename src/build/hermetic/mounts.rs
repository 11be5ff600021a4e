//! Puts up the file system that the build sees, and leaves the one outside behind.
//!
//! A file system in memory becomes the root; the places of the [`View`] are bound into it; then the old root goes away
//! with all that was in it. What is bound is read-only with every file system mounted below it, unless the view says
//! otherwise, and `nosuid`. `/proc` shows the sandbox's processes only and is read-only: as root one could else change
//! the whole system's settings there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, pivot_root};

use super::protocol::{Failure, Step};
use super::view::{Content, Item, ItemKind, View, ViewEntry};
use plugin_oci::fs::set_mode;

/// Where the new root is put together: a directory that every system has, and that nothing is read from meanwhile.
const STAGING: &str = "/proc";

/// The old root, seen from the new one.
const OLD: &str = "/.outside";

/// Files of our own making.
const MADE: &str = "/.made";

/// The devices: nothing, and randomness.
pub const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Files of `/proc` that tell of the whole system what is no build's business: keys, the kernel's memory and log.
const SECRETS: [&str; 6] = ["keys", "key-users", "kcore", "kmsg", "sysrq-trigger", "timer_list"];

/// Puts up everything, and leaves the outside.
pub fn put_up(view: &View) -> Result<(), Failure> {
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).map_err(Failure::of(Step::Mount))?;
    memory(Path::new(STAGING), "mode=0755")?;
    let old = format!("{STAGING}{OLD}");
    make_directory(Path::new(&old))?;
    pivot_root(STAGING, old.as_str()).map_err(Failure::at(Step::Mount, Path::new("/")))?;
    chdir("/").map_err(Failure::of(Step::Mount))?;

    let places = view.places();
    let table = table()?;
    for (number, place) in places.iter().enumerate() {
        put(place, number, view.stand.as_deref(), &table)?;
    }
    devices(&table)?;
    proc(&table)?;

    umount2(OLD, MntFlags::MNT_DETACH).map_err(Failure::at(Step::Mount, Path::new(OLD)))?;
    fs::remove_dir(OLD).map_err(Failure::at(Step::Mount, Path::new(OLD)))?;
    for place in places.iter().rev().filter(|place| matches!(place.content, Content::Empty | Content::Stand(_))) {
        remount(&place.path, own_flags(&place.path)? | MsFlags::MS_RDONLY | MsFlags::MS_NODEV)?;
    }
    remount(Path::new("/"), MsFlags::MS_RDONLY | MsFlags::MS_NODEV)
}

/// `table` tells the mounts outside.
fn put(place: &ViewEntry, number: usize, stand: Option<&Path>, table: &[u8]) -> Result<(), Failure> {
    let path = place.path.as_path();
    let failed = |error| Failure::at(Step::Mount, path)(error);
    let bind = |from: &Path, to: &Path, flags| bind(from, to, flags, table);
    match &place.content {
        Content::ReadOnly if outside(path).symlink_metadata().is_err() => Ok(()),
        Content::ReadOnly => bind(&outside(path), path, MsFlags::MS_RDONLY | MsFlags::MS_NODEV),
        Content::Writable | Content::WritableFile => bind(&outside(path), path, MsFlags::MS_NODEV),
        Content::Empty => {
            make_directory(path)?;
            memory(path, "mode=0755")
        }
        Content::Stand(items) => {
            make_directory(path)?;
            match stand {
                Some(stand) => bind(&free(&outside(stand))?, path, MsFlags::MS_NODEV)?,
                None => memory(path, "mode=0755")?,
            }
            items.iter().try_for_each(|item| put_item(path, item, table))
        }
        Content::Scratch => {
            make_directory(path)?;
            memory(path, "mode=1777")
        }
        Content::Text(text) if path.symlink_metadata().is_ok() => {
            make_directory(Path::new(MADE))?;
            let made = Path::new(MADE).join(number.to_string());
            fs::write(&made, text).map_err(failed)?;
            bind(&made, path, MsFlags::MS_RDONLY | MsFlags::MS_NODEV)
        }
        Content::Text(text) => {
            make_directory(path.parent().unwrap_or(path))?;
            fs::write(path, text).map_err(failed)
        }
        Content::Link(_) if path.symlink_metadata().is_ok() => Ok(()),
        Content::Link(target) => {
            make_directory(path.parent().unwrap_or(path))?;
            symlink(target, path).map_err(failed)
        }
    }
}

fn put_item(stand: &Path, item: &Item, table: &[u8]) -> Result<(), Failure> {
    let path = &stand.join(&item.name);
    let failed = |error| Failure::at(Step::Mount, path)(error);
    match &item.kind {
        // It may have gone since.
        ItemKind::Real | ItemKind::Copy if outside(path).symlink_metadata().is_err() => return Ok(()),
        ItemKind::Real => return bind(&outside(path), path, MsFlags::MS_RDONLY | MsFlags::MS_NODEV, table),
        ItemKind::Empty => return make_directory(path),
        ItemKind::Copy | ItemKind::Link(_) => make_directory(path.parent().unwrap_or(path))?,
    }
    if let ItemKind::Link(target) = &item.kind {
        return symlink(target, path).map_err(failed);
    }
    fs::copy(outside(path), path).map_err(failed)?;
    let time = outside(path).metadata().and_then(|found| found.modified()).map_err(failed)?;
    fs::File::options().write(true).open(path).and_then(|copy| copy.set_modified(time)).map_err(failed)
}

/// Makes a directory under a name that is not taken.
fn free(stand: &Path) -> Result<PathBuf, Failure> {
    for number in 0_u32.. {
        let path = stand.join(number.to_string());
        match fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => {
                made.map_err(Failure::at(Step::Mount, &path))?;
                set_mode(&path, 0o755).map_err(|error| Failure::at(Step::Mount, &path)(error.source))?;
                return Ok(path);
            }
        }
    }
    Err(Failure::at(Step::Mount, stand)(std::io::Error::from(std::io::ErrorKind::AlreadyExists)))
}

/// A place as it is outside.
fn outside(path: &Path) -> PathBuf {
    Path::new(OLD).join(path.strip_prefix("/").unwrap_or(path))
}

/// A file system in memory.
fn memory(path: &Path, options: &str) -> Result<(), Failure> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options)).map_err(Failure::at(Step::Mount, path))
}

/// Binds a file or directory with all that is mounted below it, and sets flags on each of these mounts. `outside` tells what
/// is mounted anywhere: where that is nothing below, the table is not asked again for each of many.
fn bind(from: &Path, to: &Path, flags: MsFlags, outside: &[u8]) -> Result<(), Failure> {
    let nothing: Option<&str> = None;
    if from.is_dir() {
        make_directory(to)?;
    } else if to.symlink_metadata().is_err() {
        make_directory(to.parent().unwrap_or(to))?;
        fs::write(to, "").map_err(Failure::at(Step::Mount, to))?;
    }
    mount(Some(from), to, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, nothing).map_err(Failure::at(Step::Mount, to))?;
    if mounts_below(outside, from).keys().all(|at| at == from) {
        return remount(to, own_flags(to)? | flags);
    }
    for (at, own) in mounts_below(&table()?, to) {
        remount(&at, own | flags)?;
    }
    Ok(())
}

/// The table of mounts as it is now.
fn table() -> Result<Vec<u8>, Failure> {
    let table = Path::new(OLD).join("proc/self/mountinfo");
    fs::read(&table).map_err(Failure::at(Step::Mount, &table))
}

/// The flags of a mount that must stay: the kernel lets nobody loosen those of a mount from outside.
fn own_flags(path: &Path) -> Result<MsFlags, Failure> {
    let found = statvfs(path).map_err(Failure::at(Step::Mount, path))?.flags();
    let pairs = [
        (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY),
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ];
    Ok(pairs.iter().filter(|(flag, _)| found.contains(*flag)).fold(MsFlags::empty(), |all, (_, flag)| all | *flag))
}

/// Sets flags on a mount.
fn remount(path: &Path, flags: MsFlags) -> Result<(), Failure> {
    let nothing: Option<&str> = None;
    let flags = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID;
    mount(nothing, path, nothing, flags, nothing).map_err(Failure::at(Step::Mount, path))
}

/// The mounts at and below a path, with the flags that must stay (proc(5), "mountinfo": the fifth field is the mount point, the sixth its options).
fn mounts_below(table: &[u8], path: &Path) -> BTreeMap<PathBuf, MsFlags> {
    let mut found = BTreeMap::new();
    for line in table.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ').skip(4);
        let (Some(at), Some(options)) = (fields.next(), fields.next()) else { continue };
        let at = PathBuf::from(std::ffi::OsString::from_vec(unescape(at)));
        if !at.starts_with(path) {
            continue;
        }
        let mut flags = MsFlags::empty();
        for option in options.split(|byte| *byte == b',') {
            flags |= match option {
                b"ro" => MsFlags::MS_RDONLY,
                b"nosuid" => MsFlags::MS_NOSUID,
                b"nodev" => MsFlags::MS_NODEV,
                b"noexec" => MsFlags::MS_NOEXEC,
                _ => MsFlags::empty(),
            };
        }
        // Of several at one place only the last is seen.
        found.insert(at, flags);
    }
    found
}

/// `\040` and its kin, for characters that would break a line of the table.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| byte == b'\\');
        plain.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    plain
}

/// A few devices, and the usual names of the standard streams.
fn devices(table: &[u8]) -> Result<(), Failure> {
    for name in DEVICES {
        let device = Path::new("/dev").join(name);
        bind(&outside(&device), &device, MsFlags::MS_RDONLY, table)?;
    }
    for (name, target) in [("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")] {
        let path = Path::new("/dev").join(name);
        symlink(Path::new("/proc/self").join(target), &path).map_err(Failure::at(Step::Mount, &path))?;
    }
    Ok(())
}

/// The processes of the sandbox. The kernel allows it only while the outside's is still there, uncovered.
fn proc(table: &[u8]) -> Result<(), Failure> {
    let path = Path::new("/proc");
    make_directory(path)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    let options: Option<&str> = None;
    mount(Some("proc"), path, Some("proc"), flags, options).map_err(Failure::at(Step::Proc, path))?;
    for name in SECRETS {
        let file = path.join(name);
        if file.exists() {
            bind(&outside(Path::new("/dev/null")), &file, MsFlags::MS_RDONLY, table)?;
        }
    }
    Ok(())
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    make_directory(path.parent().unwrap_or(Path::new("/")))?;
    fs::create_dir(path).map_err(Failure::at(Step::Mount, path))?;
    set_mode(path, 0o755).map_err(|error| Failure::at(Step::Mount, path)(error.source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_mounts_tells_what_lies_below_and_which_flags_must_stay() {
        let table = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                      30 27 0:9 / /w/a\\040b rw,nosuid,nodev,noatime shared:1 - tmpfs tmpfs rw\n\
                      31 27 0:9 / /w/c ro,noexec - tmpfs tmpfs rw\n\
                      32 27 0:9 / /work rw - tmpfs tmpfs rw\n";
        let below = mounts_below(table, Path::new("/w"));
        let expected = [
            (PathBuf::from("/w/a b"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV),
            (PathBuf::from("/w/c"), MsFlags::MS_RDONLY | MsFlags::MS_NOEXEC),
        ];
        assert_eq!(below, BTreeMap::from(expected));
    }
}
