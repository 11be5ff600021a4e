//! The one time that ends up in an image.
//!
//! `SOURCE_DATE_EPOCH` (<https://reproducible-builds.org/specs/source-date-epoch/>) when set, otherwise 0. Nothing else
//! in this crate may put a time into bytes.

use std::time::{Duration, UNIX_EPOCH};

use crate::failure::{Class, Failure};

/// Seconds since 1970-01-01T00:00:00Z, at most the last second of the year 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Epoch(u64);

impl Epoch {
    /// 9999-12-31T23:59:59Z: RFC 3339 ends here.
    pub const MAX: u64 = 253_402_300_799;

    /// Reads the value of `SOURCE_DATE_EPOCH`: strict non-negative decimal.
    pub fn parse(text: &str) -> Result<Self, EpochError> {
        let bad = || EpochError { value: text.chars().take(80).collect() };
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        match text.parse::<u64>() {
            Ok(seconds) if seconds <= Self::MAX => Ok(Self(seconds)),
            _ => Err(bad()),
        }
    }

    /// Seconds since the Unix epoch.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// This time, or that many seconds since the epoch where it is earlier.
    #[must_use]
    pub fn no_earlier_than(self, seconds: u64) -> Self {
        Self(self.0.max(seconds.min(Self::MAX)))
    }

    /// The same as RFC 3339 in UTC, in whole seconds.
    pub fn rfc3339(self) -> String {
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.0)).to_string()
    }
}

/// `SOURCE_DATE_EPOCH` holds something else than a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SOURCE_DATE_EPOCH is `{value}`, which is not a number of seconds from 0 to {}", Epoch::MAX)]
pub struct EpochError {
    value: String,
}

impl Failure for EpochError {
    fn class(&self) -> Class {
        Class::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strict_decimals_up_to_the_year_9999_are_dates() {
        assert_eq!(Epoch::parse("0").unwrap().rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(Epoch::parse("253402300799").unwrap().rfc3339(), "9999-12-31T23:59:59Z");
        for bad in ["", "abc", "-1", "+1", " 1", "1.0", "253402300800", "9223372036854775808", "99999999999999999999999"] {
            assert!(Epoch::parse(bad).is_err(), "{bad}");
        }
    }
}
