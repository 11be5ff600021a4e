//! The plugin's log: one JSON object a line on stderr, as hclog in the router reads it.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{self, Write},
    time::{SystemTime, UNIX_EPOCH},
};

/// How loud a log line is. The router shows those at or above its own level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Writes one line to the router's log. Never fails: there is no one left to tell.
pub fn log(level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
    let mut line = entry(level, message, fields, SystemTime::now());
    line.push('\n');
    // One write for the whole line, so that lines of several threads do not mix.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// One object as hclog reads it: the keys with `@` are its own, and must be strings.
fn entry(level: Level, message: &str, fields: &[(&str, &dyn Display)], now: SystemTime) -> String {
    let level = match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut object: BTreeMap<&str, String> = fields
        .iter()
        .map(|&(key, value)| (key, value.to_string()))
        .collect();
    object.insert("@level", level.to_owned());
    object.insert("@message", message.to_owned());
    object.insert("@timestamp", timestamp(now));
    serde_json::to_string(&object).unwrap_or_default()
}

/// UTC with microseconds, as in `2024-02-29T12:00:00.000000Z`.
fn timestamp(now: SystemTime) -> String {
    let elapsed = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (elapsed.as_secs(), elapsed.subsec_micros());
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    // Years are counted from March, so that a leap day is the last of its year; 400 years have 146097 days.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year_of_era + carry;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_log_line_is_one_object_with_string_level_and_message() {
        let now = UNIX_EPOCH + Duration::from_micros(1_709_208_000_000_001);
        let line = entry(Level::Warn, "two\nlines", &[("count", &3)], now);
        assert_eq!(
            line,
            r#"{"@level":"warn","@message":"two\nlines","@timestamp":"2024-02-29T12:00:00.000001Z","count":"3"}"#
        );
    }

    #[test]
    fn timestamps_are_right_around_leap_days_and_centuries() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_868_799, "2000-02-29T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(
                timestamp(UNIX_EPOCH + Duration::from_secs(seconds)),
                expected
            );
        }
    }
}
