//! "Did you mean".

/// The one of `known` that was probably meant by `word`: the most alike, if its likeness (Jaro-Winkler, 0 to 1) is above
/// `bound`.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>, bound: f64) -> Option<&'k str> {
    let alike = known.into_iter().map(|name| (strsim::jaro_winkler(name, word), name)).filter(|(likeness, _)| *likeness > bound);
    alike.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, name)| name)
}
