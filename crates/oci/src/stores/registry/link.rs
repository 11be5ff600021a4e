//! `Link` (RFC 8288), from text that is hostile: where a listing goes on.

/// A header that cannot be read: what it says may matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The first target whose relation is `next`. A target without its angle brackets is taken too, as some servers write it.
pub(super) fn next_link(header: &str) -> Result<Option<&str>, Unreadable> {
    let mut rest = header.trim_start_matches([',', ' ', '\t']);
    if rest.trim().is_empty() {
        return Err(Unreadable);
    }
    while !rest.is_empty() {
        let (target, after) = target(rest)?;
        let end = unquoted(after, ',').unwrap_or(after.len());
        let relations = relations(&after[..end]).ok_or(Unreadable)?;
        if relations.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next")) {
            return Ok(Some(target));
        }
        rest = after[end..].trim_start_matches([',', ' ', '\t']);
    }
    Ok(None)
}

/// The target at the start, and what comes after it.
fn target(text: &str) -> Result<(&str, &str), Unreadable> {
    if let Some(bracketed) = text.strip_prefix('<') {
        return bracketed.split_once('>').ok_or(Unreadable);
    }
    let (target, after) = text.split_at(text.find(';').ok_or(Unreadable)?);
    let target = target.trim_end();
    let is_url = target.starts_with('/') || target.starts_with("http://") || target.starts_with("https://");
    if is_url && !target.contains(char::is_whitespace) { Ok((target, after)) } else { Err(Unreadable) }
}

/// What the parameter `rel` says; `None` where there is none.
fn relations(mut parameters: &str) -> Option<&str> {
    while let Some((_, after)) = parameters.split_once(';') {
        let end = unquoted(after, ';').unwrap_or(after.len());
        let (name, value) = after[..end].split_once('=').unwrap_or((&after[..end], ""));
        if name.trim().eq_ignore_ascii_case("rel") {
            return Some(value.trim().trim_matches('"'));
        }
        parameters = &after[end..];
    }
    None
}

/// Where a character first stands outside of quotes.
fn unquoted(text: &str, wanted: char) -> Option<usize> {
    let mut quoted = false;
    text.char_indices().find_map(|(at, character)| {
        quoted ^= character == '"';
        (character == wanted && !quoted).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_however_it_is_written() {
        for header in [
            r#"</v2/x/tags/list?last=b&n=2>; rel="next""#,
            "</v2/x/tags/list?last=b&n=2>;rel=next",
            r#"</v2/x/tags/list?last=b&n=2>; title="a, b; rel=prev"; REL="prev Next""#,
            r#"</v2/x>; rel="first", </v2/x/tags/list?last=b&n=2>; rel="next""#,
            r#"/v2/x/tags/list?last=b&n=2; rel="next""#,
        ] {
            assert_eq!(next_link(header), Ok(Some("/v2/x/tags/list?last=b&n=2")), "{header}");
        }
        assert_eq!(next_link("</v2/x>; rel=\"last\", </v2/y>; rel=first"), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_the_end() {
        for header in
            ["", " , ", "<", "</v2/x", "</v2/x>", "next", "/v2/x", "x y; rel=next", "</a>; rel=last, ?", "</a>; title=x"]
        {
            assert_eq!(next_link(header), Err(Unreadable), "{header}");
        }
    }
}
