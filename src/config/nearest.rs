//! "Did you mean": the known word nearest to an unknown one.

/// Edits (insertions, deletions, replacements, swapped neighbours) up to which one word is assumed
/// to be a misspelling of the other. For long words, a third of their length.
const EDITS_MAX: usize = 2;

/// Returns the nearest of `known`, if it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (edits, best) = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min_by_key(|(edits, _)| *edits)?;
    let allowed = EDITS_MAX.max(word.chars().count() / 3);
    (edits <= allowed).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_similar_word_is_suggested() {
        let known = ["data_dir", "threads", "listen"];
        assert_eq!(nearest("data_dri", known), Some("data_dir"));
        assert_eq!(nearest("thread", known), Some("threads"));
        assert_eq!(nearest("database", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
