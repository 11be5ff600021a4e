//! The house keeps its floors: imports point down, rooms on one floor have no cycle, and the map in `src/lib.rs` is whole.
//!
//! A room is a top-level module (`src/x.rs` or `src/x/`). Within a room, files may know each other. Every path is looked
//! at, `use` or inline, through `crate::` or `super::`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

#[test]
fn no_file_imports_from_a_higher_floor() {
    let house = House::survey();
    let mut broken = Vec::new();
    for (room, imports) in &house.imports {
        for (other, file) in imports {
            if house.floor(other) > house.floor(room) {
                broken.push(format!(
                    "{file}: {room} (floor {}) imports {other} (floor {})",
                    house.floor(room),
                    house.floor(other)
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn rooms_on_one_floor_have_no_cycle() {
    let house = House::survey();
    for room in house.imports.keys() {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = house.neighbours(room);
        while let Some(at) = next.pop() {
            assert_ne!(at, room, "a cycle of imports leads from {room} back to itself through {seen:?}");
            if seen.insert(at.clone()) {
                next.extend(house.neighbours(at));
            }
        }
    }
}

#[test]
fn the_map_names_every_room_and_only_those() {
    let house = House::survey();
    let mapped: BTreeSet<&String> = house.floors.keys().collect();
    let built: BTreeSet<&String> = house.imports.keys().collect();
    assert_eq!(mapped, built, "the floors table of src/lib.rs and the modules in src/ differ");
}

#[test]
fn long_files_are_reported() {
    for file in sources() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        if lines > 500 {
            eprintln!("{} has {lines} lines: is it one concern?", file.display());
        }
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
    floors: BTreeMap<String, u8>,
    imports: BTreeMap<String, BTreeSet<(String, String)>>,
}

impl House {
    fn survey() -> Self {
        let root = source_root();
        let map = fs::read_to_string(root.join("lib.rs")).unwrap();
        let mut floors = BTreeMap::new();
        for line in map.lines().filter_map(|line| line.strip_prefix("//! | ")) {
            let mut cells = line.split('|').map(str::trim);
            let (Some(Ok(floor)), Some(_), Some(rooms)) = (cells.next().map(str::parse), cells.next(), cells.next()) else {
                continue;
            };
            for room in rooms.split(',') {
                let name = room.trim().trim_matches(['[', ']', '`']);
                floors.insert(name.trim_start_matches("mod@").to_owned(), floor);
            }
        }
        let mut imports: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
        for file in sources() {
            let relative = file.strip_prefix(&root).unwrap();
            let module = module_path(relative);
            let Some(room) = module.first().cloned() else { continue };
            let syntax = syn::parse_file(&fs::read_to_string(&file).unwrap()).unwrap();
            let mut paths = Paths { module, found: BTreeSet::new() };
            paths.visit_file(&syntax);
            let name = relative.display().to_string();
            let found = paths.found.into_iter().filter(|other| *other != room && floors.contains_key(other));
            imports.entry(room.clone()).or_default().extend(found.map(|other| (other, name.clone())));
        }
        Self { floors, imports }
    }

    fn floor(&self, room: &str) -> u8 {
        *self.floors.get(room).unwrap_or_else(|| panic!("`{room}` is missing from the map in src/lib.rs"))
    }

    fn neighbours(&self, room: &str) -> Vec<&String> {
        let floor = self.floor(room);
        self.imports[room].iter().map(|(other, _)| other).filter(|other| self.floor(other) == floor).collect()
    }
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(source_root()).sort_by_file_name();
    files.into_iter().map(|entry| entry.unwrap().into_path()).filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}

/// `store/layout/mod.rs` is `[store, layout]`; `lib.rs` and `main.rs` belong to no room.
fn module_path(relative: &Path) -> Vec<String> {
    let mut parts: Vec<String> = relative.iter().map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned()).collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
        parts.pop();
    }
    parts
}

/// Collects the first module name of every path into this crate.
struct Paths {
    module: Vec<String>,
    found: BTreeSet<String>,
}

impl Paths {
    fn take(&mut self, segments: &[String]) {
        let mut at: Vec<String> = match segments.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        for segment in segments {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => {
                    at.pop();
                }
                name => at.push(name.to_owned()),
            }
        }
        self.found.extend(at.into_iter().next());
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
