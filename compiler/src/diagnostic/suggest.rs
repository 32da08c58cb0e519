//! What a misspelt word was meant to be.

/// The known word that is closest to a misspelt one, if it is close enough to be meant.
pub fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    const WORD_BYTES_MAX: usize = 64;
    if word.is_empty() || word.len() > WORD_BYTES_MAX {
        return None;
    }
    let folded = fold(word);
    // `Warning` is `Warn`, `Reje` is `Reject`.
    let begins = |known: &str| {
        let known = fold(known);
        let shorter = known.len().min(folded.len());
        shorter >= 3 && known[..shorter] == folded[..shorter]
    };
    if let Some(known) = known.iter().find(|known| begins(known)) {
        return Some(known);
    }
    known
        .iter()
        .map(|&known| (distance(&folded, &fold(known)), known))
        // One edit for each three letters: `Alow` is `Allow`, `gt` is not `lt`.
        .filter(|&(edits, known)| edits <= known.len().max(word.len()) / 3)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, known)| known)
}

/// `expected one of `a`, `b``, with what was meant, if that can be told.
pub fn one_of(word: &str, known: &[&str]) -> String {
    let list = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
    let expected = if known.len() == 1 {
        format!("expected {list}")
    } else {
        format!("expected one of {list}")
    };
    match closest(word, known) {
        Some(meant) => format!("{expected}; did you mean `{meant}`?"),
        None => expected,
    }
}

/// Case, `-` and `_` are the commonest slips: they cost nothing.
fn fold(word: &str) -> Vec<char> {
    word.chars().filter(|char| !"-_ ".contains(*char)).flat_map(char::to_lowercase).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut rows = vec![vec![0usize; to.len() + 1]; from.len() + 1];
    rows[0] = (0..=to.len()).collect();
    for (at, a) in from.iter().enumerate() {
        rows[at + 1][0] = at + 1;
        for (bt, b) in to.iter().enumerate() {
            let replaced = rows[at][bt] + usize::from(a != b);
            let mut best = replaced.min(rows[at][bt + 1] + 1).min(rows[at + 1][bt] + 1);
            if at > 0 && bt > 0 && from[at - 1] == *b && to[bt - 1] == *a {
                best = best.min(rows[at - 1][bt - 1] + 1);
            }
            rows[at + 1][bt + 1] = best;
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let statuses = ["Pass", "Warn", "Fail", "Unknown"];
        assert_eq!(closest("Warning", &statuses), Some("Warn"));
        assert_eq!(closest("pass", &statuses), Some("Pass"));
        assert_eq!(closest("Wran", &statuses), Some("Warn"));
        assert_eq!(closest("Critical", &statuses), None);
        assert_eq!(closest("isoneof", &["IsOneOf", "IsNoneOf"]), Some("IsOneOf"));
        assert_eq!(closest("IsNonOf", &["IsOneOf", "IsNoneOf"]), Some("IsNoneOf"));
        assert_eq!(closest("le", &["gt", "lt"]), None);
        assert_eq!(closest("", &statuses), None);
        assert_eq!(closest(&"Pass".repeat(100_000), &statuses), None);
        assert_eq!(
            one_of("Alow", &["Allow", "Reject"]),
            "expected one of `Allow`, `Reject`; did you mean `Allow`?"
        );
    }
}
