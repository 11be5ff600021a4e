//! Whether every symbolic link stays in the tree, with the other links of the tree on its way.
//!
//! Counting the `..` of the target alone is not enough: a link to `a/..` leaves the root when `a` is itself a link
//! to the root. So each target is walked as a kernel would walk it, with the tree as the root.

use std::collections::BTreeMap;

use super::{Entry, TreeError};

/// As many links on one way as Linux follows.
const MAX_LINKS: usize = 40;

pub(super) fn check(entries: &BTreeMap<String, Entry>) -> Result<(), TreeError> {
    for (path, entry) in entries {
        if let Entry::Symlink { target } = entry {
            let (path, target) = (path.clone(), target.clone());
            match walk(entries, &path, &target) {
                End::Inside => {}
                End::Outside => return Err(TreeError::LinkLeaves { path, target }),
                End::Nowhere => return Err(TreeError::LinkLoops { path, target }),
            }
        }
    }
    Ok(())
}

enum End {
    Inside,
    Outside,
    Nowhere,
}

fn walk(entries: &BTreeMap<String, Entry>, link: &str, target: &str) -> End {
    let mut place: Vec<&str> = link.split('/').collect();
    place.pop();
    let mut ahead: Vec<&str> = target.rsplit('/').collect();
    let mut links = 1;
    while let Some(component) = ahead.pop() {
        match component {
            "" | "." => {}
            ".." => {
                if place.pop().is_none() {
                    return End::Outside;
                }
            }
            name => {
                place.push(name);
                if let Some(Entry::Symlink { target }) = entries.get(&place.join("/")) {
                    links += 1;
                    if links > MAX_LINKS {
                        return End::Nowhere;
                    }
                    place.pop();
                    ahead.extend(target.rsplit('/'));
                }
            }
        }
    }
    End::Inside
}

#[cfg(test)]
mod tests {
    use crate::tree::{Mode, Tree, TreeError};

    fn with_links(links: &[(&str, &str)]) -> Result<Tree, TreeError> {
        let mut builder = Tree::builder();
        builder.bytes("lib/deep/er/file", Mode::PLAIN, *b"")?;
        for (path, target) in links {
            builder.symlink(path, target)?;
        }
        builder.finish()
    }

    #[test]
    fn links_inside_the_tree_are_kept_dangling_ones_too() {
        with_links(&[("bin/a", "../lib/deep"), ("bin/b", "../nothing/here"), ("bin/c", "a/../b"), ("d", "."), ("e", "bin/..")])
            .unwrap();
    }

    #[test]
    fn links_that_leave_are_refused_also_by_way_of_other_links() {
        for links in [
            &[("a", "..")][..],
            &[("bin/a", "../../x")],
            &[("bin/a", "/etc/passwd")],
            &[("bin/a", "//")],
            &[("x/y/root", "../.."), ("x/y/z", "root/../lib")],
            &[("in", "lib/deep/er"), ("out", "in/../../../..")],
        ] {
            assert!(matches!(with_links(links), Err(TreeError::LinkLeaves { .. })), "{links:?}");
        }
    }

    #[test]
    fn a_link_that_never_ends_is_refused() {
        assert!(matches!(with_links(&[("a", "b"), ("b", "a")]), Err(TreeError::LinkLoops { path, .. }) if path == "a"));
        assert!(matches!(with_links(&[("a", "a/a/a")]), Err(TreeError::LinkLoops { .. })));
    }
}
