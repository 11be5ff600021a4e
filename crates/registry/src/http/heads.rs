//! What heads of requests say.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, header};
use plugin_oci::values::digest::Digest;

use crate::fault::Fault;
use crate::store::Part;

/// The query parameters; of two of a name, the first.
pub(super) type Query = BTreeMap<String, String>;

pub(super) fn query(text: Option<&str>) -> Query {
    let mut found = Query::new();
    for (name, value) in form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
        found.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    found
}

pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// How long the body is said to be. The connection has checked that nothing else says otherwise.
pub(super) fn length(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let said = text(headers, header::CONTENT_LENGTH);
    said.map(|said| number(said).ok_or_else(|| Fault::size_invalid("the length is no number"))).transpose()
}

/// A number as HTTP writes it: digits alone.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The one range that is wanted; nothing for what is to be answered whole (RFC 9110, section 14.2).
pub(super) fn range(headers: &HeaderMap, etag: &str) -> Option<Part> {
    if text(headers, header::IF_RANGE).is_some_and(|wanted| wanted != etag) {
        return None;
    }
    let (first, last) = text(headers, header::RANGE)?.strip_prefix("bytes=")?.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", last) => Some(Part::Last(number(last).filter(|_| !last.is_empty())?)),
        (first, "") => Some(Part::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Part::From(first, Some(last)))
        }
    }
}

/// Where a chunk begins, and how many bytes its head says that it has: `FIRST-LAST` (distribution-spec, "Pushing a blob in
/// chunks"), with the unit of RFC 9110 or without.
pub(super) fn chunk(headers: &HeaderMap) -> Result<Option<(u64, u64)>, Fault> {
    let Some(said) = text(headers, header::CONTENT_RANGE) else { return Ok(None) };
    let wrong = || Fault::out_of_order("the range of the chunk is none");
    let (first, last) =
        said.trim_start_matches("bytes ").split('/').next().and_then(|it| it.split_once('-')).ok_or_else(wrong)?;
    let (first, last) = (number(first).ok_or_else(wrong)?, number(last).ok_or_else(wrong)?);
    let length = last.checked_sub(first).and_then(|length| length.checked_add(1)).ok_or_else(wrong)?;
    Ok(Some((first, length)))
}

/// What has this digest, for conditions.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether a list of entity tags has this one (RFC 9110, section 13.1).
fn names(list: &str, etag: Option<&str>) -> bool {
    match etag {
        None => false,
        Some(etag) => list.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag),
    }
}

/// Whether a reader has it already.
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    text(headers, header::IF_NONE_MATCH).is_some_and(|list| names(list, Some(etag)))
}

/// What a writer makes its write depend on.
#[derive(Clone, Debug, Default)]
pub(super) struct Preconditions {
    matches: Option<String>,
    none_matches: Option<String>,
}

impl Preconditions {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let owned = |name| text(headers, name).map(str::to_owned);
        Self { matches: owned(header::IF_MATCH), none_matches: owned(header::IF_NONE_MATCH) }
    }

    /// Holds them against what is there.
    pub(super) fn check(&self, etag: Option<&str>) -> Result<(), Fault> {
        let holds = self.matches.as_deref().is_none_or(|list| names(list, etag))
            && !self.none_matches.as_deref().is_some_and(|list| names(list, etag));
        if holds { Ok(()) } else { Err(Fault::condition("it is not as it was to be")) }
    }
}
