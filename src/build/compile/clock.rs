//! Build scripts that read the clock, told by what they left: no two builds of such sources are equal.
//!
//! Cargo says which variables a script set for the compiler and where its files are. One that holds the time at which the
//! script ran (as seconds, or as a date) got it from the clock: `SOURCE_DATE_EPOCH`, which every script is given, is
//! another. This is a guess about text, so that it only warns.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cargo_metadata::BuildScript;

use plugin_oci::fs::sorted_listing;
use plugin_oci::progress::{Event, Progress};

/// The most files of one script that are looked at, and the most bytes of each: what it writes for `include!` is small.
const MOST_FILES: usize = 64;
const FILE_LIMIT: u64 = 64 << 10;
const DAY: Duration = Duration::from_hours(24);

/// Warns of each script with its cure.
pub(super) fn warn(scripts: &[BuildScript], progress: &dyn Progress) {
    let found: BTreeSet<String> = scripts.iter().filter_map(clock_read).collect();
    for text in found {
        let hint = "let it take the time from SOURCE_DATE_EPOCH, which is set for build scripts, or leave it out".to_owned();
        progress.event(Event::Hazard { rule: "clock", text, hint });
    }
}

fn clock_read(script: &BuildScript) -> Option<String> {
    let run = Run::of(script.out_dir.as_std_path())?;
    let told = |what: String, found: &str| {
        format!("the build script of {} reads the clock: {what} holds `{found}`", name(&script.package_id.repr))
    };
    let variable = script.env.iter().find_map(|(name, value)| Some(told(format!("the variable {name}"), run.within(value)?)));
    variable.or_else(|| {
        let files = sorted_listing(script.out_dir.as_std_path()).ok()?;
        files.iter().take(MOST_FILES).find_map(|file| {
            let path = script.out_dir.as_std_path().join(file);
            let found = path.symlink_metadata().ok().filter(|found| found.is_file() && found.len() <= FILE_LIMIT)?;
            // Cargo leaves what an earlier run of the script has written.
            let of_this_run = found.modified().is_ok_and(|modified| modified >= run.began);
            let text = if of_this_run { fs::read_to_string(&path).ok()? } else { return None };
            Some(told(format!("its file {}", file.display()), run.within(&text)?))
        })
    })
}

/// When a script ran.
struct Run {
    began: SystemTime,
    /// From its first second to its last.
    seconds: RangeInclusive<u64>,
    /// That day, and for the sake of time zones those beside it.
    days: Vec<[String; 3]>,
}

impl Run {
    /// By the files that cargo writes beside a script's own, before it and after it.
    fn of(out_dir: &Path) -> Option<Self> {
        let time = |name: &str| fs::metadata(out_dir.with_file_name(name)).ok()?.modified().ok();
        Self::between(time("invoked.timestamp")?, time("root-output")?)
    }

    fn between(began: SystemTime, ended: SystemTime) -> Option<Self> {
        let days = [began.checked_sub(DAY)?, began, ended, ended.checked_add(DAY)?].map(spellings);
        let seconds = |time: SystemTime| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs());
        Some(Self { began, seconds: seconds(began)?..=seconds(ended)?, days: days.into() })
    }

    /// What of a text is this time.
    fn within<'a>(&self, text: &'a str) -> Option<&'a str> {
        let numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|run| run.get(..10).map(|seconds| (run, seconds)));
        let number = numbers.filter(|(_, seconds)| seconds.parse().is_ok_and(|seconds| self.seconds.contains(&seconds)));
        let number = number.map(|(run, _)| run).next();
        // The 5th is not in `25 Nov`.
        let whole = |at: usize| !text[..at].ends_with(|c: char| c.is_ascii_digit());
        number.or_else(|| {
            let found = self.days.iter().flatten().flat_map(|day| text.match_indices(day.as_str()));
            found.into_iter().find(|(at, _)| whole(*at)).map(|(_, day)| day)
        })
    }
}

/// A day as ISO 8601, RFC 2822 and `date` write it.
fn spellings(time: SystemTime) -> [String; 3] {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let iso: String = humantime::format_rfc3339_seconds(time).to_string().chars().take(10).collect();
    let month = iso[5..7].parse::<usize>().ok().and_then(|number| MONTHS.get(number - 1)).copied().unwrap_or_default();
    let day = iso[8..].trim_start_matches('0').to_owned();
    [format!("{day} {month} {}", &iso[..4]), format!("{month} {day:>2} "), iso]
}

/// The package's name in cargo's id: `registry+url#name@1.0.0`, or `path+file:///dir/name#1.0.0`.
fn name(id: &str) -> &str {
    let (place, version) = id.rsplit_once('#').unwrap_or((id, id));
    version.split_once('@').map_or_else(|| place.rsplit('/').next().unwrap_or(place), |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-05T01:02:03Z.
    const SECONDS: u64 = 1_793_840_523;

    fn within(text: &str) -> Option<&str> {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        Run::between(at(SECONDS - 60), at(SECONDS)).unwrap().within(text)
    }

    #[test]
    fn the_time_is_found_however_it_is_written() {
        for (text, found) in [
            ("1793840523", "1793840523"),
            ("const AT: u128 = 1793840499123456789;", "1793840499123456789"),
            ("built 2026-11-05T01:02:01Z", "2026-11-05"),
            ("Thu, 5 Nov 2026 01:02:03 +0000", "5 Nov 2026"),
            ("Thu Nov  5 01:02:03 UTC 2026", "Nov  5 "),
            ("a zone ahead: 2026-11-06", "2026-11-06"),
        ] {
            assert_eq!(within(text), Some(found), "{text}");
        }
        for text in ["", "0", "1793839000", "1793840600", "1700000000", "2025-11-05", "1.95.0", "17938405", "25 Nov 2026"] {
            assert_eq!(within(text), None, "{text}");
        }
    }

    #[test]
    fn the_name_is_in_every_kind_of_id() {
        assert_eq!(name("registry+https://example.org/index#itoa@1.0.0"), "itoa");
        assert_eq!(name("path+file:///ws/p#0.1.0"), "p");
        assert_eq!(name("path+file:///ws/dir#p@0.1.0"), "p");
    }
}
