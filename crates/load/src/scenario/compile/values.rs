//! Texts and JSON of a scenario, with the meaning of what stands between their braces.

use std::ops::Range;

use serde_json::Value;

use super::super::error::did_you_mean;
use super::super::file::Text;
use super::super::plan::Script;
use super::super::template::{Escape, Expression, Hole, Template, Word, json_escaped};
use super::{Builder, Located};

impl Builder<'_> {
    pub(super) fn text(&self, text: &Text, script: &mut Script) -> Located<Template> {
        self.resolve(&text.template, &text.span, script)
    }

    /// A body of JSON, in which every text may be a template.
    pub(super) fn json(&self, value: &Value, span: &Range<usize>, script: &mut Script) -> Located<Template> {
        let mut all = Template::default();
        self.json_into(value, span, script, &mut all)?;
        Ok(all)
    }

    fn json_into(&self, value: &Value, span: &Range<usize>, script: &mut Script, all: &mut Template) -> Located<()> {
        match value {
            Value::String(text) => {
                let parsed = Template::parse(text).map_err(|(_, message)| (span.clone(), message))?;
                let bare = parsed.only_hole().is_some_and(|hole| hole.json);
                let template = self.resolve(&parsed, span, script)?;
                if bare {
                    all.append(template, Escape::Plain, str::to_owned);
                } else {
                    all.push_text("\"");
                    all.append(template, Escape::JsonString, json_escaped);
                    all.push_text("\"");
                }
            }
            Value::Array(list) => {
                all.push_text("[");
                for (index, item) in list.iter().enumerate() {
                    all.push_text(if index > 0 { "," } else { "" });
                    self.json_into(item, span, script, all)?;
                }
                all.push_text("]");
            }
            Value::Object(map) => {
                all.push_text("{");
                for (index, (key, item)) in map.iter().enumerate() {
                    all.push_text(&format!("{}{}:", if index > 0 { "," } else { "" }, Value::from(key.as_str())));
                    self.json_into(item, span, script, all)?;
                }
                all.push_text("}");
            }
            other => all.push_text(&other.to_string()),
        }
        Ok(())
    }

    /// What the names between the braces mean.
    pub(super) fn resolve(
        &self,
        template: &Template<Expression>,
        span: &Range<usize>,
        script: &mut Script,
    ) -> Located<Template> {
        template.resolve(|expression| {
            let wrong = |message: String| Err((span.clone(), message));
            let hole = match &expression.word {
                Word::Random(from, to) => Hole::Random(*from, *to),
                Word::Name(space, Some(name)) if space == "env" => {
                    return match std::env::var(name) {
                        Ok(value) => Ok(Err(value.into())),
                        Err(_) => wrong(format!("the environment has no variable {name}")),
                    };
                }
                Word::Name(space, Some(name)) => {
                    let Some(table) = self.data.iter().position(|table| table.name == *space) else {
                        return wrong(format!("there is no data file called `{space}`: name it in a [[data]]"));
                    };
                    let columns = &self.data[table].columns;
                    let Some(column) = columns.iter().position(|column| column == name) else {
                        let known: Vec<&str> = columns.iter().map(String::as_str).collect();
                        return wrong(format!("`{space}` has no column `{name}`{}", did_you_mean(name, &known)));
                    };
                    script.data.push(table);
                    Hole::Data(table, column)
                }
                Word::Name(name, None) => match script.slots.iter().position(|slot| slot == name) {
                    Some(slot) => Hole::Slot(slot),
                    None => match name.as_str() {
                        "uuid" => Hole::Uuid,
                        "user" => Hole::User,
                        "iteration" => Hole::Iteration,
                        "now" => Hole::Now,
                        "run" => return Ok(Err(self.choices.run.as_str().into())),
                        _ => return wrong(unknown_variable(name, &script.slots)),
                    },
                },
            };
            Ok(Ok(hole))
        })
    }
}

pub(super) fn unknown_variable(name: &str, slots: &[String]) -> String {
    let known: Vec<&str> =
        slots.iter().map(String::as_str).chain(["uuid", "user", "iteration", "run", "now", "random(1, 9)"]).collect();
    format!("nothing sets a variable `{name}`{}", did_you_mean(name, &known))
}
