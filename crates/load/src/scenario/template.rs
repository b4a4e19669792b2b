//! Texts with `{{ ... }}` in them.
//!
//! | Between the braces | Becomes |
//! |---|---|
//! | `name` | what an earlier step extracted, or `vars` say |
//! | `data.column` | that column of this task's row of the data file `data` |
//! | `uuid` | a new random UUID |
//! | `random(1, 100)` | a number from 1 to 100 |
//! | `user`, `iteration` | the user's number, and which task of the user this is; both from 1 |
//! | `run` | this run's id: the same for all users |
//! | `now` | milliseconds since 1970 |
//! | `env.NAME` | a variable of the environment, when the scenario is read |
//!
//! In `json` a value that is only `"{{ name | json }}"` is put in as it is, without quotes: a number, an object.

use std::ops::Range;

use rand::RngExt;

use super::compile::form_encoded;

/// A text with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template<N = Hole> {
    pieces: Vec<Piece<N>>,
}

impl<N> Default for Template<N> {
    fn default() -> Self {
        Self { pieces: Vec::new() }
    }
}

/// A piece of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<N> {
    /// As it is.
    Text(Box<str>),
    /// What goes here is known when it is sent.
    Hole(N, Escape),
}

/// What happens to a text that fills a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// Nothing.
    Plain,
    /// It stands within a JSON string.
    JsonString,
    /// It is a field of a form.
    Form,
}

/// What a file says between the braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// What stands there.
    pub word: Word,
    /// Whether `| json` follows.
    pub json: bool,
}

/// What stands between the braces, before it is known what the names mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// A name, with what follows its dot.
    Name(String, Option<String>),
    /// `random(from, to)`
    Random(i64, i64),
}

/// What fills a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hole {
    /// A variable of the user.
    Slot(usize),
    /// A column of a data file.
    Data(usize, usize),
    /// A new UUID.
    Uuid,
    /// A number from one to another.
    Random(i64, i64),
    /// The user's number.
    User,
    /// Which task of the user this is.
    Iteration,
    /// Milliseconds since 1970.
    Now,
}

/// What holes are filled from.
pub trait Values {
    /// A variable of the user, if something set it.
    fn slot(&self, slot: usize) -> Option<&str>;
    /// A cell of the current row of a data file.
    fn data(&self, table: usize, column: usize) -> &str;
    /// The user's number, and which task it is.
    fn about(&self) -> (u64, u64);
}

impl Template<Expression> {
    /// Reads a template.
    ///
    /// # Errors
    /// The bytes that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Self, (Range<usize>, String)> {
        let (mut pieces, mut at) = (Vec::new(), 0);
        while let Some(open) = text[at..].find("{{").map(|found| at + found) {
            if open > at {
                pieces.push(Piece::Text(text[at..open].into()));
            }
            let Some(close) = text[open..].find("}}").map(|found| open + found) else {
                return Err((open..text.len(), "`{{` is not closed with `}}`".to_owned()));
            };
            let expression = expression(text[open + 2..close].trim()).map_err(|message| (open..close + 2, message))?;
            pieces.push(Piece::Hole(expression, Escape::Plain));
            at = close + 2;
        }
        if at < text.len() {
            pieces.push(Piece::Text(text[at..].into()));
        }
        Ok(Self { pieces })
    }

    /// The same with the meaning of its holes.
    ///
    /// # Errors
    /// What `meaning` says of a hole that has none.
    pub fn resolve<E>(
        &self,
        mut meaning: impl FnMut(&Expression) -> Result<Result<Hole, Box<str>>, E>,
    ) -> Result<Template, E> {
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            pieces.push(match piece {
                Piece::Text(text) => Piece::Text(text.clone()),
                Piece::Hole(expression, escape) => match meaning(expression)? {
                    Ok(hole) => Piece::Hole(hole, *escape),
                    Err(text) => Piece::Text(text),
                },
            });
        }
        Ok(Template { pieces })
    }

    /// The only hole, when there is nothing else.
    pub fn only_hole(&self) -> Option<&Expression> {
        match self.pieces.as_slice() {
            [Piece::Hole(expression, _)] => Some(expression),
            _ => None,
        }
    }
}

fn expression(text: &str) -> Result<Expression, String> {
    let (word, json) = match text.split_once('|') {
        None => (text, false),
        Some((word, filter)) if filter.trim() == "json" => (word.trim(), true),
        Some((_, filter)) => return Err(format!("there is no filter `{}`; known is json", filter.trim())),
    };
    if let Some(arguments) = word.strip_prefix("random(").and_then(|rest| rest.strip_suffix(')')) {
        let numbers: Option<Vec<i64>> = arguments.split(',').map(|number| number.trim().parse().ok()).collect();
        return match numbers.as_deref() {
            Some(&[from, to]) if from <= to => Ok(Expression { word: Word::Random(from, to), json }),
            _ => Err("write `random(1, 100)` with two whole numbers, the smaller one first".to_owned()),
        };
    }
    let name = |text: &str| {
        let mut letters = text.chars();
        letters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && letters.all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    };
    let (first, second) = match word.split_once('.') {
        Some((first, second)) => (first, Some(second)),
        None => (word, None),
    };
    if !name(first) || second.is_some_and(|second| second.is_empty() || second.contains(char::is_whitespace)) {
        return Err(format!("`{text}` is neither a name nor a function; write `{{{{ name }}}}`"));
    }
    Ok(Expression { word: Word::Name(first.to_owned(), second.map(ToOwned::to_owned)), json })
}

impl<N> Template<N> {
    /// Adds a text at the end.
    pub fn push_text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => *last = format!("{last}{text}").into(),
            _ if text.is_empty() => {}
            _ => self.pieces.push(Piece::Text(text.into())),
        }
    }

    /// Adds another at the end, its texts changed, its holes escaped.
    pub fn append(&mut self, other: Self, escape: Escape, mut text: impl FnMut(&str) -> String) {
        for piece in other.pieces {
            match piece {
                Piece::Text(plain) => self.push_text(&text(&plain)),
                Piece::Hole(hole, _) => self.pieces.push(Piece::Hole(hole, escape)),
            }
        }
    }

    /// The text, when nothing in it changes.
    pub fn constant(&self) -> Option<String> {
        self.pieces.iter().map(|piece| if let Piece::Text(text) = piece { Some(&**text) } else { None }).collect()
    }
}

impl Template {
    /// Fills the holes and writes the text at the end of `out`.
    ///
    /// # Errors
    /// The variable that nothing set.
    pub fn render(&self, values: &impl Values, out: &mut String) -> Result<(), usize> {
        use std::fmt::Write;
        for piece in &self.pieces {
            // Writing to a string cannot fail.
            let _ = match piece {
                Piece::Text(text) => out.write_str(text),
                Piece::Hole(hole, escape) => match hole {
                    Hole::Slot(slot) => {
                        put(values.slot(*slot).ok_or(*slot)?, *escape, out);
                        Ok(())
                    }
                    Hole::Data(table, column) => {
                        put(values.data(*table, *column), *escape, out);
                        Ok(())
                    }
                    Hole::Uuid => write!(out, "{}", uuid::Uuid::now_v7()),
                    Hole::Random(from, to) => write!(out, "{}", rand::rng().random_range(*from..=*to)),
                    Hole::User => write!(out, "{}", values.about().0),
                    Hole::Iteration => write!(out, "{}", values.about().1),
                    Hole::Now => write!(out, "{}", jiff::Timestamp::now().as_millisecond()),
                },
            };
        }
        Ok(())
    }
}

fn put(text: &str, escape: Escape, out: &mut String) {
    match escape {
        Escape::Plain => out.push_str(text),
        Escape::JsonString => out.push_str(&json_escaped(text)),
        Escape::Form => out.push_str(&form_encoded(text)),
    }
}

/// A text as it stands within a JSON string.
pub fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Values for Fixed {
        fn slot(&self, slot: usize) -> Option<&str> {
            (slot == 0).then_some("a \"b\"")
        }
        fn data(&self, _: usize, column: usize) -> &str {
            ["x", "y"][column]
        }
        fn about(&self) -> (u64, u64) {
            (7, 3)
        }
    }

    fn resolved(text: &str) -> Template {
        let template = Template::parse(text).unwrap();
        template
            .resolve(|expression| {
                Ok::<_, ()>(Ok(match &expression.word {
                    Word::Name(name, None) if name == "user" => Hole::User,
                    Word::Name(name, None) if name == "missing" => Hole::Slot(9),
                    Word::Name(name, None) if name == "slot" => Hole::Slot(0),
                    Word::Name(_, Some(_)) => Hole::Data(0, 1),
                    Word::Random(from, to) => Hole::Random(*from, *to),
                    Word::Name(name, None) => return Ok(Err(name.to_uppercase().into())),
                }))
            })
            .unwrap()
    }

    #[test]
    fn holes_are_filled() {
        let mut out = String::new();
        resolved("/{{ user }}/{{slot}}/{{d.c}}/{{random(5,5)}}/{{fixed}}").render(&Fixed, &mut out).unwrap();
        assert_eq!(out, "/7/a \"b\"/y/5/FIXED");
        assert_eq!(resolved("{{missing}}").render(&Fixed, &mut out), Err(9));
        assert_eq!(resolved("a {{fixed}} b").constant().as_deref(), Some("a FIXED b"));
        assert_eq!(resolved("a {{user}} b").constant(), None);
    }

    #[test]
    fn within_json_they_are_escaped() {
        let mut template: Template = Template::default();
        template.push_text("\"");
        template.append(resolved("{{slot}}"), Escape::JsonString, json_escaped);
        template.push_text("\"");
        let mut out = String::new();
        template.render(&Fixed, &mut out).unwrap();
        assert_eq!(out, r#""a \"b\"""#);
    }

    #[test]
    fn mistakes_say_where() {
        for (text, at) in [("ab {{ x", 3), ("{{ }}", 0), ("a{{x|upper}}", 1), ("{{random(2,1)}}", 0), ("{{a b}}", 0)] {
            assert_eq!(Template::parse(text).unwrap_err().0.start, at, "{text}");
        }
    }
}
