//! Whether every symbolic link stays in the tree, with the other links of the tree on its way.
//!
//! A target goes up first and then down: what `..` means after a name depends on whether that is a link, and who unpacks an
//! image by the strict rules (`unpack/names.rs`) sees one link at a time. Each target is then walked as a kernel would walk
//! it, with the tree as the root.

use std::collections::BTreeMap;

use super::{Entry, TreeError};

/// As many links on one way as Linux follows.
const MAX_LINKS: usize = 40;

pub(super) fn check(entries: &BTreeMap<String, Entry>) -> Result<(), TreeError> {
    for (path, entry) in entries {
        if let Entry::Symlink { target } = entry {
            let (path, target) = (path.clone(), target.clone());
            if turns(&target) {
                return Err(TreeError::LinkTurns { path, target });
            }
            match walk(entries, &path, &target) {
                End::Inside => {}
                End::Outside => return Err(TreeError::LinkLeaves { path, target }),
                End::Nowhere => return Err(TreeError::LinkLoops { path, target }),
            }
        }
    }
    Ok(())
}

/// Whether a target goes up after it went down.
fn turns(target: &str) -> bool {
    let steps = target.split('/').filter(|component| !matches!(*component, "" | "."));
    steps.skip_while(|component| *component == "..").any(|component| component == "..")
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
    use crate::layers::tree::{Mode, Tree, TreeError};

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
        with_links(&[("bin/a", "../lib/deep"), ("bin/b", "../nothing/here"), ("bin/c", "..//.//lib"), ("d", ".")]).unwrap();
    }

    #[test]
    fn a_link_that_goes_up_after_a_name_is_refused() {
        for links in [&[("bin/c", "a/../b")][..], &[("e", "bin/..")], &[("x/y/root", "../.."), ("x/y/z", "root/../lib")]] {
            assert!(matches!(with_links(links), Err(TreeError::LinkTurns { .. })), "{links:?}");
        }
    }

    #[test]
    fn links_that_leave_are_refused_also_by_way_of_other_links() {
        for links in [&[("a", "..")][..], &[("bin/a", "../../x")], &[("bin/a", "/etc/passwd")], &[("bin/a", "//")]] {
            assert!(matches!(with_links(links), Err(TreeError::LinkLeaves { .. })), "{links:?}");
        }
    }

    #[test]
    fn a_link_that_never_ends_is_refused() {
        assert!(matches!(with_links(&[("a", "b"), ("b", "a")]), Err(TreeError::LinkLoops { path, .. }) if path == "a"));
        assert!(matches!(with_links(&[("a", "a/a/a")]), Err(TreeError::LinkLoops { .. })));
    }
}
