//! Spoiled scenarios: a plan, or a sentence that says where and what. `REGATTA_FUZZ_CASES`, `REGATTA_FUZZ_SEED`.

use std::path::{Path, PathBuf};

use regatta_load::scenario::compile::{Choices, Source, load};

#[path = "../../../server/tests/it/fuzz/mutate.rs"]
mod mutate;

/// The scenarios that people begin with.
fn examples() -> (PathBuf, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/scenarios");
    let mut texts: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    texts.sort();
    assert!(texts.len() > 2);
    (folder, texts)
}

#[test]
fn no_text_breaks_the_reader_of_scenarios() {
    let (folder, texts) = examples();
    let (mut good, mut told) = (0_u64, 0_u64);
    for seed in mutate::seeds() {
        let mut mutator = mutate::Mutator::new(seed);
        let example = mutator.pick(&texts).clone();
        let text = mutator.text(&example);
        let source = Source { name: "spoiled.toml".into(), text, folder: folder.clone() };
        match load(&source, &Choices::default()) {
            Ok(_) => good += 1,
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("spoiled.toml") && error.len() > 20, "seed {seed}: {error}");
                told += 1;
            }
        }
    }
    println!("{good} scenarios, {told} told what is wrong");
    assert!(good > 0 && told > 0);
}
