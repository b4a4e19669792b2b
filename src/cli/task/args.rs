//! How arguments are read that several commands have.

/// A parser of one of the API's fixed words, which help and completions list.
macro_rules! words {
    ($word:ty) => {{
        use clap::builder::TypedValueParser as _;
        clap::builder::PossibleValuesParser::new(<$word>::ALL.iter().map(|word| word.as_str()))
            .try_map(|word| word.parse::<$word>())
    }};
}
pub(crate) use words;

/// `NAME=VALUE`.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_an_equals_sign() {
        assert_eq!(key_value("filter=a=b"), Ok(("filter".to_owned(), "a=b".to_owned())));
        assert_eq!(key_value("empty="), Ok(("empty".to_owned(), String::new())));
        assert!(key_value("=b").is_err() && key_value("b").is_err());
    }
}
