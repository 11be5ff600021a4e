//! Schemas made by hand: one for each rule, and some that change.

use std::fs;
use std::path::Path;

/// A schema, or several that follow each other.
pub struct Case {
    /// The file and the name in it.
    pub name: String,
    /// The schemas.
    pub steps: Vec<String>,
}

/// All of `cases/*.graphql`. There `#=== name` begins a case and `#--- then` the next schema of it.
pub fn all() -> Vec<Case> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/generate/cases");
    let mut cases = Vec::new();
    for file in walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(Result::unwrap) {
        if !file.file_type().is_file() {
            continue;
        }
        let stem = file.path().file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(file.path()).unwrap();
        for case in text.split("#=== ").skip(1) {
            let (name, schemas) = case.split_once('\n').unwrap();
            let steps = schemas.split("#--- then\n").map(str::to_owned).collect();
            cases.push(Case { name: format!("{stem}/{name}"), steps });
        }
    }
    cases
}
