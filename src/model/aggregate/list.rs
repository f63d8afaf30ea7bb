//! The request of one source as texts, as a query string has them: `group=day:date(created),user` and
//! `values=count(),revenue:sum(total)`, or either as JSON, as the body of a request of several has it.
//!
//! An expression without a name is named by the letters, digits and `_` of its text, what lies between them as one `_`:
//! `date(created)` is `date_created`, `count()` is `count`.

use super::read::Reader;
use super::{Aggregation, Named, Source, is_name};
use crate::error::Result;
use crate::limits;
use crate::model::expr::Modifier;
use crate::model::faults::Faults;

/// The texts of a request of one source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// Expressions.
    pub group: Option<&'a str>,
    /// Expressions.
    pub values: Option<&'a str>,
    /// Of records.
    pub filter: Option<&'a str>,
    /// Of groups.
    pub having: Option<&'a str>,
    /// Names.
    pub sort: Option<&'a str>,
    /// `2s`.
    pub timeout: Option<&'a str>,
    /// `usize::MAX` for all.
    pub limit: usize,
    /// Whether what failed of it is told beside the rest.
    pub partial: bool,
    /// Whether to say how it was done.
    pub explain: bool,
}

/// Reads a request of one source. Without `group` and `values` it is `count()` of all.
///
/// # Errors
/// `Invalid` with all faults.
pub fn of_texts(collection: &str, texts: Texts<'_>) -> Result<Aggregation> {
    let mut faults = Faults::default();
    let mut reader = Reader { faults: &mut faults };
    let owned = |text: Option<&str>| text.filter(|text| !text.trim().is_empty()).map(Into::into);
    let mut source = Source::named("source");
    source.collection = collection.into();
    source.filter = owned(texts.filter);
    source.having = owned(texts.having);
    source.group = texts.group.map_or(Vec::new(), |text| reader.list("group", text));
    source.values = match texts.values {
        Some(text) => reader.list("values", text),
        None => vec![Named { name: "count".into(), text: "count()".into() }],
    };
    reader.check_names("", &source);
    let mut request = Aggregation { sources: vec![source], limit: texts.limit, ..Aggregation::default() };
    request.sort = texts.sort.map_or(Vec::new(), |text| reader.sort(text));
    request.timeout = texts.timeout.and_then(|text| reader.timeout(text)).unwrap_or(request.timeout);
    (request.partial, request.explain) = (texts.partial, texts.explain);
    faults.into_result("the request has faults")?;
    Ok(request)
}

impl Reader<'_> {
    fn list(&mut self, path: &str, text: &str) -> Vec<Named> {
        if text.trim_start().starts_with('{') {
            return self.named(path, text);
        }
        let mut named: Vec<Named> = Vec::new();
        for part in parts(text) {
            let (name, text) = match part.split_once(':') {
                Some((name, rest)) if is_name(name.trim()) && !is_modifier(rest) => (name.trim().into(), rest.trim()),
                _ => (name_of(part), part),
            };
            self.check_name(path, &name);
            if named.iter().any(|known| known.name == name) {
                let message =
                    format!("has two expressions with the name {name}: give one another, as in name:expression");
                self.faults.add(path, "duplicate_key", message);
            }
            if text.is_empty() {
                self.faults.add(path, "required", "must be expressions, joined by commas");
            }
            if named.len() == limits::AGGREGATE_NAMES_MAX || self.faults.full() {
                self.faults.add(path, "too_many", format!("must have {} at most", limits::AGGREGATE_NAMES_MAX));
                break;
            }
            named.push(Named { name, text: text.into() });
        }
        named
    }
}

/// What lies between commas that are in no bracket and no quotes.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut quote, mut escaped) = (0usize, None, false);
    let is_end = move |letter: char| {
        if let Some(open) = quote {
            if letter == open && !escaped {
                quote = None;
            }
            escaped = letter == '\\' && !escaped;
            return false;
        }
        match letter {
            '\'' | '"' => (quote, escaped) = (Some(letter), false),
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    };
    text.split(is_end).map(str::trim)
}

/// Whether what stands behind a colon belongs to the name before it: `tags:each`.
fn is_modifier(rest: &str) -> bool {
    let word = rest.trim_start();
    let end = word.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(word.len());
    Modifier::named(&word[..end]).is_some() && !word[end..].starts_with('(')
}

fn name_of(text: &str) -> Box<str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let name = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
    let begins_with_digit = name.starts_with(|letter: char| letter.is_ascii_digit());
    let name = if begins_with_digit { format!("_{name}") } else { name };
    // All of it is ASCII.
    name[..name.len().min(limits::NAME_BYTES_MAX)].into()
}
