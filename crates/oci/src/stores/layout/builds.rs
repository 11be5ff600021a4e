//! Which images of a layout were built into it, the last one last: what is meant by such a layout when nobody says a tag.
//!
//! A file beside the index, a line for each build: its digest, and the tags that it was given. It is a memory and no
//! promise: what names nothing in the index any more counts for nothing, and a file that cannot be read is none. It stays
//! where it is when images are copied elsewhere.

use std::fs;

use super::{Layout, Source as _};
use crate::fs::{FileError, write_atomically};
use crate::values::digest::Digest;
use crate::values::tag::Tag;

const FILE: &str = ".plugin-build.builds";
/// More than anybody builds without removing anything.
const LIMIT: u64 = 1 << 20;

/// One build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Its root.
    pub digest: Digest,
    /// The tags that it has and no later build was given.
    pub tags: Vec<String>,
}

impl Layout {
    /// The builds that still have a tag, the last one last.
    pub fn builds(&self) -> Vec<Build> {
        let tagged = self.tags().unwrap_or_default();
        let build = |line: &str| {
            let mut words = line.split(' ');
            let digest: Digest = words.next()?.parse().ok()?;
            let has = |tag: &&str| tagged.iter().any(|tagged| tagged.tag == **tag && tagged.root.digest == digest);
            let tags: Vec<String> = words.filter(has).map(str::to_owned).collect();
            (!tags.is_empty()).then_some(Build { digest, tags })
        };
        self.remembered().lines().filter_map(build).collect()
    }

    /// The file's text; nothing where it cannot be read.
    fn remembered(&self) -> String {
        let path = self.dir().join(FILE);
        let is_small = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() <= LIMIT);
        if is_small { fs::read_to_string(&path).unwrap_or_default() } else { String::new() }
    }

    /// Remembers a build, after it was committed. Writes nothing where it is the last one already.
    pub fn remember_build(&self, digest: &Digest, tags: &[Tag]) -> Result<(), FileError> {
        let tags: Vec<String> = tags.iter().map(Tag::to_string).collect();
        let mut builds = self.builds();
        for build in &mut builds {
            build.tags.retain(|tag| !tags.contains(tag));
        }
        builds.retain(|build| !build.tags.is_empty());
        builds.push(Build { digest: digest.clone(), tags });
        let line = |build: &Build| format!("{} {}\n", build.digest, build.tags.join(" "));
        let text: String = builds.iter().map(line).collect();
        if text == self.remembered() { Ok(()) } else { write_atomically(&self.dir().join(FILE), text.as_bytes()) }
    }
}
