//! The house keeps its floors: imports point down, no files know each other in a circle, and the maps in both `lib.rs` are
//! whole.
//!
//! A file's floor is that of the longest row that its module's path begins with. A parent and the files below it may know
//! each other: that is one thing in several files. Every path is looked at, `use` or inline, through `crate::`, `self::` or
//! `super::`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// The sources of the crates.
const HOUSES: [&str; 3] = ["src", "crates/oci/src", "crates/registry/src"];

#[test]
fn no_file_imports_from_a_higher_floor() {
    let mut broken = Vec::new();
    for house in HOUSES.map(House::survey) {
        for (module, others) in &house.imports {
            for other in others {
                let (from, to) = (house.floor(module), house.floor(other));
                if to > from {
                    broken.push(format!("{}: floor {from} imports {other}, floor {to}", house.files[module].display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_files_know_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for house in HOUSES.map(House::survey) {
        for module in house.imports.keys() {
            let mut ways: Vec<Vec<&String>> = vec![vec![module]];
            let mut seen = BTreeSet::new();
            while let Some(way) = ways.pop() {
                for next in house.strangers(way[way.len() - 1]) {
                    if next == module {
                        let names: Vec<&str> = way.iter().map(|module| module.as_str()).collect();
                        circles.push(names.join(" -> "));
                    } else if seen.insert(next) {
                        ways.push([&way[..], &[next]].concat());
                    }
                }
            }
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn the_maps_name_every_room_and_only_those() {
    for house in HOUSES.map(House::survey) {
        for row in house.floors.keys() {
            assert!(house.files.contains_key(row), "the floors table names `{row}`, and there is no such module");
        }
        for module in house.files.keys().filter(|module| !module.is_empty()) {
            house.floor(module);
        }
    }
}

#[test]
fn no_file_is_longer_than_500_lines() {
    for (file, _) in ["src", "crates", "tests", "benches", "fuzz/fuzz_targets"].iter().flat_map(|root| sources(root)) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines: it is more than one concern", file.display());
    }
}

#[test]
fn every_test_file_is_part_of_the_binary() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = fs::read_to_string(dir.join("main.rs")).unwrap();
    for entry in walkdir::WalkDir::new(&dir).min_depth(1).max_depth(1) {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(name == "main" || main.contains(&format!("mod {name};")), "tests/it/main.rs forgets `mod {name};`");
    }
}

struct House {
    /// Rows of the map.
    floors: BTreeMap<String, u8>,
    /// Where each module is written.
    files: BTreeMap<String, PathBuf>,
    /// The modules whose files each module's file names.
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl House {
    fn survey(root: &str) -> Self {
        let map = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(root).join("lib.rs")).unwrap();
        let mut floors = BTreeMap::new();
        for line in map.lines().filter_map(|line| line.strip_prefix("//! | ")) {
            let mut cells = line.split('|').map(str::trim);
            let (Some(Ok(floor)), Some(rooms)) = (cells.next().map(str::parse), cells.next()) else { continue };
            floors.extend(rooms.split(',').map(|room| (room.trim().trim_matches('`').to_owned(), floor)));
        }
        let files: BTreeMap<String, PathBuf> =
            sources(root).into_iter().map(|(file, below)| (module_path(&below).join("::"), file)).collect();
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, file) in files.iter().filter(|(module, _)| !module.is_empty()) {
            let syntax = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
            let parts = module.split("::").map(str::to_owned).collect();
            let mut paths = Paths { module: parts, found: BTreeSet::new() };
            paths.visit_file(&syntax);
            let named = paths.found.iter().filter_map(|path| named(path, &files));
            imports.insert(module.clone(), named.filter(|other| other != module).collect());
        }
        Self { floors, files, imports }
    }

    fn floor(&self, module: &str) -> u8 {
        let rows = std::iter::successors(Some(module), |at| at.rsplit_once("::").map(|(above, _)| above));
        { rows }
            .find_map(|row| self.floors.get(row))
            .copied()
            .unwrap_or_else(|| panic!("no row of lib.rs's table is for `{module}`"))
    }

    /// What a module's file names, but for files below it.
    fn strangers(&self, module: &str) -> impl Iterator<Item = &String> {
        let below = format!("{module}::");
        self.imports[module].iter().filter(move |other| !other.starts_with(&below))
    }
}

/// The module in whose file the end of a path is written.
fn named(path: &[String], files: &BTreeMap<String, PathBuf>) -> Option<String> {
    (1..=path.len()).rev().map(|length| path[..length].join("::")).find(|module| files.contains_key(module))
}

/// Every source below a directory, absolute and relative to it.
fn sources(root: &str) -> Vec<(PathBuf, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let files = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.map(|path| (path.clone(), path.strip_prefix(&root).unwrap().to_owned())).collect()
}

/// `store/layout/mod.rs` is `[store, layout]`; `lib.rs` and `main.rs` are the root.
fn module_path(relative: &Path) -> Vec<String> {
    let mut parts: Vec<String> = relative.iter().map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
        parts.pop();
    }
    parts
}

/// Collects every path into this crate, and from the program into its library.
struct Paths {
    module: Vec<String>,
    found: BTreeSet<Vec<String>>,
}

impl Paths {
    fn take(&mut self, segments: &[String]) {
        let mut at: Vec<String> = match segments.first().map(String::as_str) {
            Some("crate" | "plugin_build") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        for segment in segments {
            match segment.as_str() {
                "crate" | "plugin_build" | "self" => {}
                "super" => {
                    at.pop();
                }
                name => at.push(name.to_owned()),
            }
        }
        self.found.insert(at);
    }

    fn take_tree(&mut self, prefix: &mut Vec<String>, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.take_tree(prefix, &path.tree);
                prefix.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.take_tree(prefix, item)),
            syn::UseTree::Name(syn::UseName { ident, .. }) | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
                prefix.push(ident.to_string());
                self.take(prefix);
                prefix.pop();
            }
            syn::UseTree::Glob(_) => self.take(prefix),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.take_tree(&mut Vec::new(), &item.tree);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.take(&segments);
        visit::visit_path(self, path);
    }
}
