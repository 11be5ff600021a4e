//! The tools that the provenance of two images names: another compiler, linker or libc explains everything below.
//!
//! They are told first, and only where something else differs: tools that made no difference are none.

use serde::Serialize;

use super::Difference;
use crate::build::Toolchain;
use crate::build::toolchain::linker::LinkerFacts;
use plugin_oci::documents::Descriptor;
use plugin_oci::stores::{Source, StoreError};
use plugin_oci::values::platform::Platform;

/// Whether the same tools were at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tools {
    /// Both provenances name the same.
    Same,
    /// They name others.
    Other,
    /// No provenance is attached, to one or to both.
    Unknown,
}

impl Tools {
    /// Whether what is told differs.
    pub const fn of(differences: &[Difference]) -> Self {
        if differences.is_empty() { Self::Same } else { Self::Other }
    }
}

/// Compares what is attached to two images, of linkers those for `platforms`.
pub(super) fn recorded(
    sources: [&dyn Source; 2],
    roots: &[Descriptor; 2],
    platforms: &[Platform],
) -> Result<(Tools, Vec<Difference>), StoreError> {
    let of = |side: usize| Toolchain::recorded(sources[side], &roots[side].digest);
    let (Some(mut first), Some(second)) = (of(0)?, of(1)?) else { return Ok((Tools::Unknown, Vec::new())) };
    let wanted =
        |target: &str| Platform::of_target(target).is_ok_and(|platform| platforms.iter().any(|wanted| platform.agrees(wanted)));
    first.linkers.retain(|target, _| platforms.is_empty() || wanted(target));
    let told = compare(&first, &second);
    Ok((Tools::of(&told), told))
}

/// Every tool that differs: the compiler, then the linkers of the targets that both know, each with its libc.
pub fn compare(first: &Toolchain, second: &Toolchain) -> Vec<Difference> {
    let mut told = Vec::new();
    tell(&mut told, "rustc", [Some(&first.rustc), Some(&second.rustc)]);
    for (target, then) in &first.linkers {
        let Some(now) = second.linkers.get(target) else { continue };
        let fact = |of: fn(&LinkerFacts) -> &Option<String>| [of(then).as_ref(), of(now).as_ref()];
        tell(&mut told, &format!("linker for {target}"), fact(|facts| &facts.version));
        tell(&mut told, &format!("libc.a for {target}"), fact(|facts| &facts.libc));
    }
    told
}

fn tell(told: &mut Vec<Difference>, what: &str, values: [Option<&String>; 2]) {
    let [first, second] = values;
    if first == second {
        return;
    }
    let [a, b] = match values {
        [Some(first), Some(second)] => parted(first, second),
        values => values.map(|value| value.cloned().unwrap_or_else(|| "unknown".to_owned())),
    };
    told.push(Difference {
        object: format!("toolchain > {what}"),
        rule: "toolchain",
        message: format!("other toolchain: {a} -> {b}", a = super::cut(&a), b = super::cut(&b)),
        first: first.cloned(),
        second: second.cloned(),
    });
}

/// The first lines that differ: of `rustc -vV` the version, or where that is the same, say, its LLVM's.
fn parted(first: &str, second: &str) -> [String; 2] {
    let mut pairs = first.lines().zip(second.lines());
    let [a, b] = pairs.find(|(a, b)| a != b).map_or([first, second], |(a, b)| [a, b]);
    [a.to_owned(), b.to_owned()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn toolchain(rustc: &str, target: &str, version: &str, libc: Option<&str>) -> Toolchain {
        let facts = LinkerFacts { version: Some(version.to_owned()), libc: libc.map(str::to_owned), libc_version: None };
        Toolchain { rustc: rustc.to_owned(), linkers: BTreeMap::from([(target.to_owned(), facts)]) }
    }

    fn messages(first: &Toolchain, second: &Toolchain) -> Vec<String> {
        compare(first, second).into_iter().map(|told| format!("{}: {}", told.object, told.message)).collect()
    }

    #[test]
    fn of_each_tool_the_first_line_that_differs_is_told() {
        let one = toolchain("rustc 1.95.0 (a)\nbinary: rustc\nLLVM version: 22.1", "t", "cc 12", Some("sha256:1"));
        assert!(compare(&one, &one).is_empty());
        let llvm = toolchain("rustc 1.95.0 (a)\nbinary: rustc\nLLVM version: 22.2", "t", "cc 12", None);
        let told = [
            "toolchain > rustc: other toolchain: LLVM version: 22.1 -> LLVM version: 22.2",
            "toolchain > libc.a for t: other toolchain: sha256:1 -> unknown",
        ];
        assert_eq!(messages(&one, &llvm), told);
        let old = toolchain("rustc 1.94.0 (b)\nbinary: rustc\nLLVM version: 22.1", "t", "cc 13", Some("sha256:1"));
        let told = [
            "toolchain > rustc: other toolchain: rustc 1.95.0 (a) -> rustc 1.94.0 (b)",
            "toolchain > linker for t: other toolchain: cc 12 -> cc 13",
        ];
        assert_eq!(messages(&one, &old), told);
    }

    #[test]
    fn linkers_of_other_targets_are_not_compared() {
        assert!(compare(&toolchain("r", "t", "cc 1", None), &toolchain("r", "u", "cc 2", None)).is_empty());
    }
}
