//! The environment a program is given: an allow-list of the worker's own, what the owner passes on, and what the step sets.

use std::collections::BTreeMap;

/// Of the worker's own environment, always passed on. A name that ends in `*` stands for all that begin so.
const ALWAYS: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_*", "TZ", "TMPDIR"];

/// Names with this prefix are Regatta's, the worker's token among them: never passed on, never set by a step.
const OURS: &str = "REGATTA_";

/// The part of the worker's environment that programs inherit.
#[derive(Debug, Clone, Default)]
pub struct Inherited(Vec<(String, String)>);

impl Inherited {
    /// What of `own` the list [`ALWAYS`] and these patterns name. What is not UTF-8 is left out.
    pub fn new(own: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>, patterns: &[String]) -> Self {
        let wanted = |name: &str| {
            let mut all = ALWAYS.iter().copied().chain(patterns.iter().map(String::as_str));
            !name.starts_with(OURS) && all.any(|pattern| matches(pattern, name))
        };
        Self(
            own.into_iter()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter(|(name, _)| wanted(name))
                .collect(),
        )
    }

    /// The environment of a program: what is inherited, over it what the step sets.
    ///
    /// # Errors
    /// A sentence for a name that a step may not set. With `restricted` (the owner allows only some programs) those are refused
    /// too that would make an allowed program load another's code.
    pub fn with(&self, set: BTreeMap<String, String>, restricted: bool) -> Result<Vec<(String, String)>, String> {
        for (name, value) in &set {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!(
                    "env: {name:?} cannot be set; a name is not empty and has no '=', and neither it nor its value has U+0000"
                ));
            }
            if name.starts_with(OURS) {
                return Err(format!("env: {name:?} cannot be set; names that begin with {OURS} are the worker's own"));
            }
            if restricted && (name == "PATH" || name.starts_with("LD_")) {
                return Err(format!("env: {name:?} cannot be set where the worker's owner allows only some programs"));
            }
        }
        let mut all: BTreeMap<String, String> = self.0.iter().cloned().collect();
        all.extend(set);
        Ok(all.into_iter().collect())
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        [
            ("PATH", "/bin"),
            ("HOME", "/root"),
            ("LC_ALL", "C"),
            ("SECRET", "s"),
            ("ANTHROPIC_API_KEY", "k"),
            ("REGATTA_TOKEN", "rgw_secret"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec()
    }

    fn names(patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|&one| one.to_owned()).collect();
        let env = Inherited::new(own(), &patterns).with(BTreeMap::new(), false);
        env.unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn only_what_is_listed_is_inherited_and_the_token_never() {
        assert_eq!(names(&[]), ["HOME", "LC_ALL", "PATH"]);
        assert_eq!(
            names(&["ANTHROPIC_*", "REGATTA_*", "REGATTA_TOKEN", "*"]),
            ["ANTHROPIC_API_KEY", "HOME", "LC_ALL", "PATH", "SECRET"]
        );
    }

    #[test]
    fn a_step_sets_its_own_but_not_ours() {
        let inherited = Inherited::new(own(), &[]);
        let set = |name: &str| BTreeMap::from([(name.to_owned(), "v".to_owned())]);
        let env = inherited.with(set("HOME"), false).unwrap();
        assert!(env.contains(&("HOME".into(), "v".into())));
        for refused in ["REGATTA_TOKEN", "", "A=B", "A\0"] {
            assert!(inherited.with(set(refused), false).is_err(), "{refused:?}");
        }
        assert!(inherited.with(set("LD_PRELOAD"), false).is_ok());
        for refused in ["LD_PRELOAD", "PATH"] {
            assert!(inherited.with(set(refused), true).is_err(), "{refused:?}");
        }
    }
}
