//! `WWW-Authenticate` (RFC 9110, section 11.6.1), from text that is hostile.
//!
//! Several challenges may stand in one header and several headers in one response. Parameters are tokens or quoted strings.
//! What cannot be parsed ends the header; what was read before it counts. At most 8 KiB are read.

/// A scheme and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case: `basic`, `bearer`.
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The first parameter of that name.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Parses the challenges of one header.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut rest = Cursor(&header[..header.floor_char_boundary(8 << 10)]);
    let mut challenges: Vec<Challenge> = Vec::new();
    loop {
        rest.skip(|c| c == ',' || c.is_ascii_whitespace());
        let Some(word) = rest.token() else { return challenges };
        rest.skip(|c| c == ' ' || c == '\t');
        if rest.0.starts_with('=') && !challenges.is_empty() {
            rest.0 = &rest.0[1..];
            rest.skip(|c| c == ' ' || c == '\t');
            let Some(value) = rest.value() else { return challenges };
            if let Some(challenge) = challenges.last_mut() {
                challenge.parameters.push((word.to_ascii_lowercase(), value));
            }
        } else {
            challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
        }
    }
}

struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(what);
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.0.strip_prefix('"') else { return self.token().map(str::to_owned) };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((position, character)) = characters.next() {
            match character {
                '"' => {
                    self.0 = &quoted[position + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                other => value.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_challenge_gives_realm_service_and_scope() {
        let found = parse(r#"Bearer realm="https://auth.test/token",service="r.test" , scope="repository:a/b:pull,push""#);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].scheme, "bearer");
        assert_eq!(found[0].parameter("realm"), Some("https://auth.test/token"));
        assert_eq!(found[0].parameter("scope"), Some("repository:a/b:pull,push"));
    }

    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        let found = parse(r#"Negotiate, Basic realm="a \"b\"", BEARER Realm=x,error=invalid_token"#);
        let schemes: Vec<&str> = found.iter().map(|c| c.scheme.as_str()).collect();
        assert_eq!(schemes, ["negotiate", "basic", "bearer"]);
        assert_eq!(found[1].parameter("realm"), Some("a \"b\""));
        assert_eq!(found[2].parameter("error"), Some("invalid_token"));
    }

    #[test]
    fn nonsense_ends_the_header_quietly() {
        for text in ["", ",,,", "=", "Bearer realm=\"open", "Bearer realm=", "\u{1b}[31m", "é é é", "a=b", "\"\"\"", "Bearer \\"]
        {
            let _ = parse(text);
        }
        assert_eq!(parse("Bearer realm=\"open")[0].parameter("realm"), None);
    }
}
