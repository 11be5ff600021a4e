//! Licences as packages state them, as SPDX expressions where they are such.

/// The SPDX expression of what a manifest says; `None` where that is none. Cargo's old way of writing a choice, a slash, is
/// an `OR`.
pub fn expression(stated: &str) -> Option<String> {
    let text = match spdx::Expression::canonicalize(stated) {
        Ok(canonical) => canonical.unwrap_or_else(|| stated.to_owned()),
        Err(_) => return None,
    };
    spdx::Expression::parse_mode(&text, spdx::ParseMode { allow_deprecated: true, ..spdx::ParseMode::STRICT }).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_is_not_passed_off_as_one() {
        assert_eq!(expression("MIT/Apache-2.0").as_deref(), Some("MIT OR Apache-2.0"));
        assert_eq!(expression("(MIT OR Apache-2.0) AND Unicode-3.0").as_deref(), Some("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert_eq!(expression("GPL-2.0").as_deref(), Some("GPL-2.0-only"));
        for other in ["", "proprietary", "MIT OR", "LICENSE.txt", "MIT AND nothing-known"] {
            assert_eq!(expression(other), None, "{other}");
        }
    }
}
