//! Patterns of names, as on a command line: `*` stands for anything, slashes too.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern of a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it is one of this name, in time linear in both.
    pub fn matches(&self, name: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else { return self.0 == name };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        let inner = name.strip_prefix(head).and_then(|name| name.strip_suffix(tail));
        let Some(mut inner) = inner else { return false };
        middle.split('*').filter(|part| !part.is_empty()).all(|part| match inner.split_once(part) {
            Some((_, after)) => {
                inner = after;
                true
            }
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, yes, no) in [
            ("a/b", vec!["a/b"], vec!["a", "a/b/c", ""]),
            ("*", vec!["", "a", "a/b"], vec![]),
            ("plugins/*", vec!["plugins/a", "plugins/a/b"], vec!["plugins", "other/plugins/a", "plugin/a"]),
            ("*-public", vec!["a-public", "a/b-public"], vec!["a-public/b"]),
            ("a*b*c", vec!["abc", "axxbyyc", "abbc"], vec!["ab", "ac", "acb"]),
            ("a*a", vec!["aa", "aba"], vec!["a"]),
        ] {
            let pattern = Pattern::new(pattern);
            assert!(yes.iter().all(|name| pattern.matches(name)), "{pattern:?}");
            assert!(!no.iter().any(|name| pattern.matches(name)), "{pattern:?}");
        }
    }
}
