//! A part of the packages that a build is about, for jobs side by side: cargo-nextest's words for tests.

use std::fmt;
use std::str::FromStr;

use plugin_oci::values::digest::Digest;

/// One of several parts, counted from 1. All of them together are all packages, each in one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    by: By,
    part: u64,
    of: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// In turns, by name: parts differ by one package at most.
    Slice,
    /// By the hash of the name: a package stays in its part when others come and go.
    Hash,
}

impl Partition {
    /// Whether the package of this name, at this position among all of them in order, is in the part.
    pub fn holds(&self, position: usize, name: &str) -> bool {
        let number = match self.by {
            By::Slice => position as u64,
            By::Hash => {
                let hex = Digest::of(name.as_bytes()).hex().get(..15).unwrap_or_default().to_owned();
                u64::from_str_radix(&hex, 16).unwrap_or_default()
            }
        };
        number % self.of == self.part - 1
    }
}

impl FromStr for Partition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "want slice:I/N or hash:I/N, with I from 1 to N";
        let (by, numbers) = text.split_once(':').ok_or(WANTED)?;
        let (part, of) = numbers.split_once('/').ok_or(WANTED)?;
        let by = match by {
            "slice" => By::Slice,
            "hash" => By::Hash,
            _ => return Err(WANTED),
        };
        match (part.parse(), of.parse()) {
            (Ok(part), Ok(of)) if (1..=of).contains(&part) => Ok(Self { by, part, of }),
            _ => Err(WANTED),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            By::Slice => "slice",
            By::Hash => "hash",
        };
        write!(f, "{by}:{}/{}", self.part, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_and_whole() {
        let names: Vec<String> = (0..100).map(|number| format!("plugin-{number:02}")).collect();
        for by in ["slice", "hash"] {
            for of in [1, 2, 3, 7, 150] {
                let parts: Vec<Partition> = (1..=of).map(|part| format!("{by}:{part}/{of}").parse().unwrap()).collect();
                for (position, name) in names.iter().enumerate() {
                    let holding = parts.iter().filter(|part| part.holds(position, name)).count();
                    assert_eq!(holding, 1, "{by} {of} {name}");
                }
            }
        }
        let part: Partition = "hash:2/3".parse().unwrap();
        assert_eq!(part.to_string(), "hash:2/3");
        assert!((0..9).all(|position| part.holds(position, "greeter") == part.holds(0, "greeter")));
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for bad in
            ["", "slice", "slice:", "slice:1", "slice:0/2", "slice:3/2", "slice:1/0", "count:1/2", "slice:-1/2", "slice:1/2/3"]
        {
            assert!(bad.parse::<Partition>().is_err(), "{bad}");
        }
    }
}
