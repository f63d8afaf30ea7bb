//! Definitions that the two collections may have, as a client changes them, and what a record is in each. The model keeps
//! records in one form whatever the shape: what stands in the rows is encoded and read here, by names and never by ids.

use millpond::disk::sim::Rng;
use millpond::id::FieldId;
use millpond::model::schema::{Collection, FieldKind};
use millpond::model::value::{Fields, Value};
use serde_json::{Value as Json, json};

use super::model::{A, N, NAME, TEXT, Which};

/// `a.n` where it has a rule, at most.
const N_MAX: i64 = 3;
/// Characters of `b.text` where it has a rule, at most.
const TEXT_CHARS_MAX: usize = 300;
/// What `b.text` is where it is new.
const TEXT_DEFAULT: &str = "new";

/// The type of `a.n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Whole,
    Number,
    Text,
}

/// What `b.text` is, where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) name: &'static str,
    pub(crate) bounded: bool,
    /// It came again after it had been removed, and has a default since.
    pub(crate) filled: bool,
}

/// Both definitions, as far as they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) n: Kind,
    pub(crate) n_bounded: bool,
    pub(crate) text: Option<Text>,
}

/// The shape of [`super::model::DEFINITIONS`].
pub(crate) const FIRST: Shape =
    Shape { n: Kind::Whole, n_bounded: false, text: Some(Text { name: "text", bounded: false, filled: false }) };

impl Shape {
    /// With what one definition says in place of what was known of that collection.
    pub(crate) fn with(self, which: Which, definition: &Collection) -> Shape {
        match which {
            Which::A => {
                let field = definition.field("n").expect("it is never removed");
                let (n, n_bounded) = match field.kind {
                    FieldKind::Number { integer, max, .. } => {
                        (if integer { Kind::Whole } else { Kind::Number }, max.is_some())
                    }
                    _ => (Kind::Text, false),
                };
                Shape { n, n_bounded, ..self }
            }
            Which::B => {
                let text = ["text", "note"].into_iter().find_map(|name| {
                    let field = definition.field(name)?;
                    let bounded = matches!(field.kind, FieldKind::Text { max: Some(_), .. });
                    Some(Text { name, bounded, filled: field.default.is_some() })
                });
                Shape { text, ..self }
            }
        }
    }

    /// With one of the two as another shape has it.
    pub(crate) fn put(self, which: Which, of: Shape) -> Shape {
        match which {
            Which::A => Shape { n: of.n, n_bounded: of.n_bounded, ..self },
            Which::B => Shape { text: of.text, ..self },
        }
    }

    /// Another shape of one of the two.
    pub(crate) fn another(self, rng: &mut Rng) -> (Which, Shape) {
        let mut to = self;
        if rng.chance(50) {
            match rng.below(4) {
                0 => to.n = Kind::Whole,
                1 => to.n = Kind::Number,
                2 => to.n = Kind::Text,
                _ => to.n_bounded = !to.n_bounded,
            }
            to.n_bounded &= to.n != Kind::Text;
            return (Which::A, to);
        }
        to.text = match (self.text, rng.below(4)) {
            (None, _) => Some(Text { name: "text", bounded: rng.chance(50), filled: true }),
            (Some(_), 0) => None,
            (Some(text), 1) => Some(Text { bounded: !text.bounded, ..text }),
            (Some(text), roll) => {
                let name = if text.name == "text" { "note" } else { "text" };
                Some(Text { name, bounded: text.bounded != (roll == 2), ..text })
            }
        };
        (Which::B, to)
    }

    /// The change of a stored definition, as a client asks for it.
    pub(crate) fn body(self, which: Which, stored: &Collection) -> String {
        let fields = match which {
            Which::A => {
                let mut n = match self.n {
                    Kind::Whole => json!({"name": "n", "type": "number", "integer": true}),
                    Kind::Number => json!({"name": "n", "type": "number"}),
                    Kind::Text => json!({"name": "n", "type": "text"}),
                };
                if self.n_bounded {
                    n["max"] = json!(N_MAX);
                }
                vec![json!({"name": "name", "type": "text"}), n]
            }
            Which::B => {
                let a = json!({"name": "a", "type": "relation", "collection": "a", "onDelete": "cascade"});
                let text = self.text.map(|text| {
                    let mut field = json!({"name": text.name, "type": "text"});
                    if let Some(id) = id_in(stored, TEXT) {
                        field["id"] = json!(id.to_string());
                    }
                    if text.bounded {
                        field["max"] = json!(TEXT_CHARS_MAX);
                    }
                    if text.filled {
                        field["default"] = json!(TEXT_DEFAULT);
                    }
                    field
                });
                std::iter::once(a).chain(text).collect()
            }
        };
        json!({"fields": Json::Array(fields)}).to_string()
    }

    /// What a client of this shape sends in the place of a value; `None` where there is no such field.
    pub(crate) fn sent(self, which: Which, field: FieldId, value: &Value) -> Option<Value> {
        match (which, field) {
            (Which::A, N) if self.n_bounded => match value {
                Value::Int(n) => Some(Value::Int(*n.min(&N_MAX))),
                other => Some(other.clone()),
            },
            (Which::B, TEXT) => {
                let text = self.text?;
                Some(match value.as_text().filter(|_| text.bounded) {
                    Some(held) => Value::text(held.chars().take(TEXT_CHARS_MAX).collect::<String>()),
                    None => value.clone(),
                })
            }
            _ => Some(value.clone()),
        }
    }

    /// A whole record as a client of this shape sends it.
    pub(crate) fn sent_whole(self, which: Which, fields: &Fields) -> Fields {
        fields.iter().filter_map(|(field, value)| Some((field, self.sent(which, field, value)?))).collect()
    }

    /// A whole record with its defaults.
    pub(crate) fn filled(self, which: Which, mut fields: Fields) -> Fields {
        if which == Which::B && self.text.is_some_and(|text| text.filled) && fields.get(TEXT).is_null() {
            fields.set(TEXT, Value::text(TEXT_DEFAULT));
        }
        fields
    }

    /// What a record becomes that was of another shape; `None` if it stands against this one.
    pub(crate) fn reshaped(self, from: Shape, which: Which, record: &Fields) -> Option<Fields> {
        let mut record = record.clone();
        match which {
            Which::A => {
                let over = matches!(record.get(N), Value::Int(n) if *n > N_MAX);
                (!(self.n_bounded && over)).then_some(record)
            }
            Which::B => match self.text {
                None => {
                    record.set(TEXT, Value::Null);
                    Some(record)
                }
                Some(_) if from.text.is_none() => Some(self.filled(which, record)),
                Some(text) => {
                    let chars = record.get(TEXT).as_text().map_or(0, |text| text.chars().count());
                    (!text.bounded || chars <= TEXT_CHARS_MAX).then_some(record)
                }
            },
        }
    }
}

/// The id that a field of the model has in a definition.
pub(crate) fn id_in(definition: &Collection, field: FieldId) -> Option<FieldId> {
    let is_b = &*definition.name == "b";
    let names: &[&str] = match field {
        NAME if !is_b => &["name"],
        N if !is_b => &["n"],
        A => &["a"],
        _ => &["text", "note"],
    };
    names.iter().find_map(|name| definition.field(name)).map(|field| field.id)
}

/// Value of a field as the definition has it.
pub(crate) fn encoded(definition: &Collection, field: FieldId, value: &Value) -> Option<(FieldId, Value)> {
    let id = id_in(definition, field)?;
    let kind = &definition.field_by_id(id)?.kind;
    Some(match (kind, value) {
        (FieldKind::Text { .. }, Value::Int(n)) => (id, Value::text(n.to_string())),
        (FieldKind::Number { integer: false, .. }, Value::Int(n)) => (id, Value::Number(*n as f64)),
        (_, other) => (id, other.clone()),
    })
}

/// A row's own fields in the model's form.
///
/// # Errors
/// The value that is none of the field's type.
pub(crate) fn decoded(definition: &Collection, row: &Fields) -> Result<Fields, String> {
    let mut record = Fields::new();
    for field in [FieldId(1), FieldId(2)] {
        let Some(id) = id_in(definition, field) else { continue };
        let kind = &definition.field_by_id(id).expect("just found").kind;
        let value = row.get(id);
        let value = match (kind, value) {
            (_, Value::Null) => continue,
            (FieldKind::Number { integer: true, .. }, Value::Int(_)) => value.clone(),
            (FieldKind::Number { integer: false, .. }, Value::Number(n)) if n.fract() == 0.0 => Value::Int(*n as i64),
            (FieldKind::Text { .. }, Value::Text(text)) if definition.field("n").is_some_and(|n| n.id == id) => {
                Value::Int(text.parse().map_err(|_| format!("{text:?} was never a number"))?)
            }
            (FieldKind::Text { .. } | FieldKind::Relation { .. }, Value::Text(_)) => value.clone(),
            (kind, value) => return Err(format!("a {} is {value:?}", kind.name())),
        };
        record.set(field, value);
    }
    Ok(record)
}
