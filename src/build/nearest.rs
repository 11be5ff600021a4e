//! "Did you mean".

/// The one of `known` that was probably meant by `word`: with one slip, or else the most alike, if its likeness
/// (Jaro-Winkler, 0 to 1) is above `bound`.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>, bound: f64) -> Option<&'k str> {
    let is_slip = |name: &str| word.chars().count() > 2 && strsim::osa_distance(name, word) <= 1;
    let likeness = |name: &str| if is_slip(name) { 1.0 } else { strsim::jaro_winkler(name, word) };
    let alike = known.into_iter().map(|name| (likeness(name), name)).filter(|(likeness, _)| *likeness > bound);
    alike.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, name)| name)
}
