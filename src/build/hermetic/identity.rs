//! Which users exist in a new user namespace. Written by the parent, from the namespace outside.
//!
//! - An ordinary user may map one id: its own.
//! - Root gets all ids that exist where it is, each to itself: else it would lose its authority over files of others, a
//!   checkout that belongs to the CI's user among them. Where even root may not (a container without `CAP_SETUID`), it
//!   gets its own.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::protocol::{Failure, Step};

/// A map of users and groups.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// User and group inside.
    pub inside: (u32, u32),
    /// User and group outside.
    pub outside: (u32, u32),
    /// Whether to map every id that there is, if possible.
    pub all: bool,
}

impl Identity {
    /// Gives the user namespace of a process its ids.
    pub fn map(&self, pid: u32) -> Result<(), Failure> {
        let file = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        let write = |name: &str, text: &str| fs::write(file(name), text).map_err(Failure::at(Step::Map, &file(name)));
        let one = |inside: u32, outside: u32| format!("{inside} {outside} 1\n");
        let all = |name: &str| every_id(name).ok().filter(|_| self.all);
        let users = all("uid_map").is_some_and(|map| write("uid_map", &map).is_ok());
        if !users {
            write("uid_map", &one(self.inside.0, self.outside.0))?;
        }
        let groups = users && all("gid_map").is_some_and(|map| write("gid_map", &map).is_ok());
        if !groups {
            // Without this an ordinary user could drop a group that is denied something.
            write("setgroups", "deny")?;
            write("gid_map", &one(self.inside.1, self.outside.1))?;
        }
        Ok(())
    }
}

/// The map that gives each id of this namespace itself.
fn every_id(name: &str) -> io::Result<String> {
    let map = fs::read_to_string(format!("/proc/self/{name}"))?;
    let lines = map.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (inside, count) = (words.next()?, words.nth(1)?);
        Some(format!("{inside} {inside} {count}\n"))
    });
    Ok(lines.collect())
}
