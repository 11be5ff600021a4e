//! Texts in the data of two programs that only one of them holds.
//!
//! rustc puts literals one after the other without an end between them, so that a text here is a run of printable characters,
//! and of two runs only the stretch that differs is told, with a few characters around it.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use tempfile::SpooledTempFile;

use super::Difference;
use super::ranges::Range;

/// The most bytes of one section that are looked at.
const LIMIT: u64 = 16 << 20;
/// The shortest run that is a text.
const SHORTEST: usize = 6;
/// The most texts that are told.
const MOST_TOLD: usize = 5;
/// The characters around what differs.
const AROUND: usize = 24;

/// Whether a section holds constant data.
pub(super) fn are_in(section: &str) -> bool {
    let name = section.split(" #").next().unwrap_or(section);
    [".rodata", ".data", ".rdata", "__const", "__cstring", "__data"]
        .iter()
        .any(|known| name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        || name == "data"
}

/// Tells the texts of sections that differ.
pub(super) fn compare(
    files: [&mut SpooledTempFile; 2],
    sections: &[[Option<Range>; 2]],
    chain: &str,
) -> io::Result<Vec<Difference>> {
    let [first, second] = files;
    let mut texts: [Vec<String>; 2] = Default::default();
    for [one, other] in sections {
        texts[0].extend(runs(first, *one)?);
        texts[1].extend(runs(second, *other)?);
    }
    let counted = texts.each_ref().map(|texts| count(texts));
    let only = |side: usize| -> Vec<&String> {
        let other = &counted[1 - side];
        texts[side]
            .iter()
            .filter(|text| other.get(text.as_str()).is_none_or(|count| *count < counted[side][text.as_str()]))
            .collect()
    };
    let [mine, theirs] = [only(0), only(1)];
    let mut told = Vec::new();
    for at in 0..mine.len().max(theirs.len()) {
        told.extend(match (mine.get(at), theirs.get(at)) {
            (Some(mine), Some(theirs)) => {
                let (beside, texts) = parted(mine, theirs);
                Some((beside, Difference::changed(chain, "string", "", texts)))
            }
            (Some(mine), None) => Some((false, Difference::only(chain, "string", 0, mine.as_str()))),
            (None, theirs) => theirs.map(|text| (false, Difference::only(chain, "string", 1, text.as_str()))),
        });
    }
    told.sort_by_key(|(beside, _)| *beside);
    let mut told: Vec<Difference> = told.into_iter().map(|(_, told)| told).collect();
    if told.len() > MOST_TOLD {
        told.truncate(MOST_TOLD);
        told.push(Difference::note(chain, "more", "more texts differ"));
    }
    Ok(told)
}

/// The runs of printable characters, in their order.
fn runs(file: &mut SpooledTempFile, range: Option<Range>) -> io::Result<Vec<String>> {
    let Some(range) = range else { return Ok(Vec::new()) };
    file.seek(SeekFrom::Start(range.offset))?;
    let mut bytes = Vec::new();
    file.by_ref().take(range.size.min(LIMIT)).read_to_end(&mut bytes)?;
    let parts = bytes.split(|byte| !(byte.is_ascii_graphic() || *byte == b' '));
    Ok(parts.filter(|run| run.len() >= SHORTEST).map(|run| String::from_utf8_lossy(run).into_owned()).collect())
}

fn count(texts: &[String]) -> BTreeMap<&str, usize> {
    let mut counted = BTreeMap::new();
    for text in texts {
        *counted.entry(text.as_str()).or_insert(0) += 1;
    }
    counted
}

/// What differs of two texts, with a little around it, and whether it may be a number that lies beside a text. Both are
/// ASCII.
fn parted(one: &str, other: &str) -> (bool, [String; 2]) {
    const NUMBER: usize = 2;
    let (a, b) = (one.as_bytes(), other.as_bytes());
    let front = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let back = a[front..].iter().rev().zip(b[front..].iter().rev()).take_while(|(a, b)| a == b).count();
    let beside = (front == 0 || back == 0) && a.len().max(b.len()) - front - back <= NUMBER;
    let start = front.saturating_sub(AROUND);
    let texts = [one, other].map(|text| {
        let end = (text.len() - back + AROUND).min(text.len());
        let dots = |cut: bool| if cut { "..." } else { "" };
        format!("{}{}{}", dots(start > 0), text.get(start..end).unwrap_or(text), dots(end < text.len()))
    });
    (beside, texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stretch_that_differs_is_told() {
        let around = "x".repeat(100);
        let texts = parted(&format!("{around}good morning{around}"), &format!("{around}good evening{around}")).1;
        let x = "x".repeat(19);
        assert_eq!(texts[0], format!("...{x}good morning{}...", "x".repeat(20)));
        assert!(are_in(".rodata") && are_in(".data.rel.ro") && are_in("data") && !are_in(".text") && !are_in("data count"));
    }
}
