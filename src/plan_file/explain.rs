//! What a server (or a check of ours) found wrong in a plan, told at the place in the file that it came from.

use std::ops::Range;

use regatta_api::FieldError;
use toml::de::{DeTable, DeValue};

use super::{PlanFile, PlanFileError};

impl PlanFile {
    /// The errors with file, line and column, one below the other; one whose field is not in the file names the field.
    pub fn explain(&self, errors: &[FieldError]) -> String {
        let table = DeTable::parse(&self.text).ok();
        let told = errors.iter().map(|error| {
            let field = self.culprit(error).unwrap_or_else(|| error.field.clone());
            let place = table.as_ref().and_then(|table| locate(table.get_ref(), &field));
            match place {
                Some(place) => {
                    let key = field.rsplit('.').next().unwrap_or(&field);
                    PlanFileError::at(&self.file, &self.text, place, format!("{key}: {}", error.message))
                }
                None => PlanFileError::of_file(&self.file, format!("{field}: {}", error.message)),
            }
            .to_string()
        });
        told.collect::<Vec<_>>().join("\n")
    }

    /// A cycle is told of the whole list; its first step is where to look.
    fn culprit(&self, error: &FieldError) -> Option<String> {
        let (_, cycle) = error.message.split_once("in a cycle: ").filter(|_| error.field == "subtasks")?;
        let first = cycle.split(" -> ").next()?;
        let at = self.task.subtasks.as_ref()?.iter().position(|step| step.name == first)?;
        Some(format!("subtasks[{at}].depends_on"))
    }
}

/// The bytes of a field such as `subtasks[3].input.argv[1]`, or of the innermost part of it that is in the file.
fn locate(table: &DeTable<'_>, field: &str) -> Option<Range<usize>> {
    let (first, rest) = parts(field).split_first().map(|(first, rest)| (first.clone(), rest.to_vec()))?;
    let found = table.get(first.as_str())?;
    let (mut value, mut place) = (found.get_ref(), found.span());
    for part in rest {
        let inner = match value {
            DeValue::Table(table) => table.get(part.as_str()),
            DeValue::Array(items) => part.parse().ok().and_then(|at: usize| items.get(at)),
            _ => None,
        };
        let Some(inner) = inner else { break };
        (value, place) = (inner.get_ref(), inner.span());
    }
    Some(place)
}

/// `a[3].b` as `a`, `3`, `b`.
fn parts(field: &str) -> Vec<String> {
    field.split(['.', '[']).map(|part| part.trim_end_matches(']').to_owned()).collect()
}
