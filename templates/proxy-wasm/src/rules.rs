//! The rules: what the configuration says, and what each does to a header. Knows nothing of the proxy.

use std::{error::Error, fmt};

/// One change of a header. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The header has this value, and no other.
    Set {
        /// The header's name.
        name: String,
        /// Its only value.
        value: String,
    },
    /// The header is absent.
    Remove {
        /// The header's name.
        name: String,
    },
}

impl Rule {
    /// The name of the header that changes.
    #[must_use]
    pub fn header(&self) -> &str {
        match self {
            Self::Set { name, .. } | Self::Remove { name } => name,
        }
    }

    /// Its new value; none when it is removed.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Set { value, .. } => Some(value),
            Self::Remove { .. } => None,
        }
    }
}

/// A line that is no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from one; 0 when the whole is unreadable.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.reason)
    }
}

impl Error for Problem {}

/// Reads one rule a line; blank lines and those starting with `#` are none.
///
/// # Errors
/// Names the first line that is neither.
pub fn parse(configuration: &[u8]) -> Result<Vec<Rule>, Problem> {
    let text = std::str::from_utf8(configuration).map_err(|_| Problem {
        line: 0,
        reason: "not UTF-8",
    })?;
    let mut rules = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        rules.push(rule(line).map_err(|reason| Problem {
            line: index + 1,
            reason,
        })?);
    }
    Ok(rules)
}

fn rule(line: &str) -> Result<Rule, &'static str> {
    match line.split_once(char::is_whitespace) {
        Some(("set", rest)) => {
            let (header, value) = rest.split_once(':').ok_or("`set` needs `name: value`")?;
            Ok(Rule::Set {
                name: name(header)?,
                value: value.trim().to_owned(),
            })
        }
        Some(("remove", rest)) => Ok(Rule::Remove { name: name(rest)? }),
        _ => Err("a rule begins with `set` or `remove`"),
    }
}

/// A header's name in lower case, as HTTP/2 demands, if it is one (RFC 9110, section 5.6.2).
fn name(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_token) {
        return Err("that is no header name");
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_in_order() {
        let rules = parse(b"# who\nset X-Served-By:  {{name}} \n\nremove Server\n").unwrap();
        let changes: Vec<_> = rules
            .iter()
            .map(|rule| (rule.header(), rule.value()))
            .collect();
        assert_eq!(
            changes,
            [("x-served-by", Some("{{name}}")), ("server", None)]
        );
    }

    #[test]
    fn values_may_hold_colons() {
        let rules = parse(b"set location: https://example.com/").unwrap();
        assert_eq!(rules[0].value(), Some("https://example.com/"));
    }

    #[test]
    fn no_configuration_is_no_rules() {
        assert_eq!(parse(b""), Ok(Vec::new()));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line) in [
            (&b"remove a\nadd b: c"[..], 2),
            (b"set b", 1),
            (b"set b c: d", 1),
            (b"remove", 1),
            (b"\xff", 0),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
