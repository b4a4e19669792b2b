//! Which of the known words someone probably meant.

/// "; did you mean `x`?" when one of the `known` words is close to `word`, else "; known are ...".
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let closest = known.iter().map(|candidate| (distance(word, candidate), candidate)).min();
    match closest {
        // A third of the letters may be wrong: more makes wild guesses.
        Some((distance, candidate)) if distance <= word.chars().count().max(3) / 3 => {
            format!("; did you mean `{candidate}`?")
        }
        Some(_) => format!("; known are {}", known.join(", ")),
        None => String::new(),
    }
}

/// Letters to insert, drop, replace or swap with a neighbour (optimal string alignment distance,
/// Boytsov 2011, "Indexing methods for approximate dictionary searching", section 2.1).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("depend_on", "depends_on", 1),
            ("tol", "tool", 1),
            ("naem", "name", 1),
            ("kitten", "sitting", 3),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_close_words_are_suggested() {
        let known = ["name", "depends_on", "tool"];
        assert_eq!(did_you_mean("dependson", known), "; did you mean `depends_on`?");
        assert_eq!(did_you_mean("banana", known), "; known are name, depends_on, tool");
        assert_eq!(did_you_mean("banana", []), "");
    }
}
