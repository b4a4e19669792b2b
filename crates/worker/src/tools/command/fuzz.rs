//! What programs print and what steps say, spoiled: a result, or a sentence. `REGATTA_FUZZ_CASES`, `REGATTA_FUZZ_SEED`.

use std::path::Path;

use regatta_api::{JsonObject, JsonText, limits};

use super::input::Step;
use super::lines::{Splitter, text};
use super::output::{LINE_KEPT, OutputFile, Printed};
use super::{check, template};

#[path = "../../../../server/tests/it/fuzz/mutate.rs"]
mod mutate;

use mutate::{Mutator, seeds};

const PRINTED: &str = "compiling ...\n{\"progress\": 10}\n\u{1b}[31mred\u{1b}[0m text\r\n  {\"words\": 7, \"deep\": [{\"a\": [1.5, null]}]}\ndone\n";

#[test]
fn no_output_breaks_its_reader() {
    let folder = tempfile::tempdir().unwrap();
    let (mut objects, mut texts) = (0_u64, 0_u64);
    for seed in seeds() {
        let mut mutator = Mutator::new(seed);
        let mut bytes = mutator.text(PRINTED).into_bytes();
        mutator.spoil_bytes(&mut bytes);
        let file = OutputFile::temporary(folder.path(), &seed.to_string());
        if mutator.one_in(3) {
            std::fs::write(file.path(), mutator.text(PRINTED.lines().nth(3).unwrap())).unwrap();
        }
        let (mut printed, mut splitter, mut lines) = (Printed::default(), Splitter::new(LINE_KEPT), 0_usize);
        let size = 1 + mutator.below(40);
        for chunk in bytes.chunks(size) {
            printed.bytes(chunk);
            splitter.push(chunk, |line| {
                printed.line(&line);
                assert!(!text(line.kept).contains(['\n', '\0']), "seed {seed}");
                lines += 1;
            });
        }
        splitter.finish(|line| {
            printed.line(&line);
            lines += 1;
        });
        // Each line came once, however the bytes were cut.
        let breaks = bytes.iter().filter(|byte| **byte == b'\n').count();
        assert!((breaks..=breaks + 1).contains(&lines), "seed {seed}: {lines} lines of {breaks} breaks");
        match printed.result(&file) {
            Ok((result, _)) => {
                let json = serde_json::to_string(&result).unwrap();
                assert!(json.len() <= limits::RESULT_BYTES && !json.contains("\\u0000"), "seed {seed}: {json}");
                let counted = if result.contains_key("stdout") { &mut texts } else { &mut objects };
                *counted += 1;
            }
            Err(error) => assert!(error.contains("a result has at most"), "seed {seed}: {error}"),
        }
    }
    println!("{objects} objects, {texts} texts");
    assert!(objects > 0 && texts > 0);
}

#[test]
fn no_input_breaks_a_step() {
    let good: JsonObject = serde_json::from_str(
        r#"{"argv": ["sh", "-c", "echo {{ input.a | quote }} {% for x in input.list %}{{ x }}{% endfor %}"],
            "env": {"A": "{{ context.Split.parts[0] }}", "B": 1}, "cwd": "{{ input.a }}", "stdin": "{{ description }}",
            "output_file": "out.json", "timeout": 3}"#,
    )
    .unwrap();
    let (mut fits, mut told) = (0_u64, 0_u64);
    for seed in seeds() {
        let mut mutator = Mutator::new(seed);
        let bytes = mutator.spoiled(&good.clone().into());
        let spoiled = String::from_utf8_lossy(&bytes).into_owned();
        match Step::parse(&JsonText::from_valid(spoiled.as_str())) {
            Ok(_) => fits += 1,
            Err(error) => {
                assert!(!error.is_empty(), "seed {seed}");
                told += 1;
            }
        }
        if let Ok(object) = serde_json::from_str::<JsonObject>(&spoiled)
            && let Err(error) = check(&object)
        {
            assert!(!error.message.is_empty(), "seed {seed}");
        }
        let text = mutator.text(good["argv"][2].as_str().unwrap());
        // Beyond, the template engine's count of columns overflows: a panic where overflow is checked, as here, and a
        // wrong column in an error where it is not, as in a release.
        if text.lines().all(|line| line.len() < usize::from(u16::MAX)) {
            let _ = template::check(&text);
        }
    }
    println!("{fits} steps, {told} told what is wrong");
    assert!(told > 0);
    assert!(!Path::new("out.json").exists());
}
