//! Converting stored values when a field changes its type: which changes there are, and each value's.
//!
//! Invariant: nothing is lost or guessed. A value that has no clear form in the new type is refused, so that what is
//! converted there and back is what it was; an empty text, which says nothing, becomes null where a type has no empty.

use serde::de::IgnoredAny;

use crate::model::json::Flaw;
use crate::model::pipeline;
use crate::model::schema::{Collection, Field, FieldKind};
use crate::model::value::Value;

/// What values of a type have in common, whatever the bounds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Text,
    Number,
    Bool,
    Date,
    Select,
    Relation,
    Json,
    Point,
    /// No value of one ever becomes another type's, or it would be shown.
    Password,
    Secret,
}

fn family(kind: &FieldKind) -> Family {
    match kind {
        FieldKind::Text { .. } | FieldKind::Email {} | FieldKind::Url {} | FieldKind::Editor { .. } => Family::Text,
        FieldKind::Number { .. } => Family::Number,
        FieldKind::Bool {} => Family::Bool,
        FieldKind::Date { .. } | FieldKind::Autodate { .. } => Family::Date,
        FieldKind::Select { .. } => Family::Select,
        FieldKind::Relation { .. } => Family::Relation,
        FieldKind::Json { .. } => Family::Json,
        FieldKind::GeoPoint {} => Family::Point,
        FieldKind::Password { .. } => Family::Password,
        FieldKind::Secret {} => Family::Secret,
    }
}

/// Whether values of one type are stored as those of another, so that at most their bounds have to be looked at.
pub(crate) fn is_same(from: &FieldKind, to: &FieldKind) -> bool {
    let relates = match (from, to) {
        (FieldKind::Number { integer: from, .. }, FieldKind::Number { integer: to, .. }) => from == to,
        (FieldKind::Relation { collection: from, .. }, FieldKind::Relation { collection: to, .. }) => from == to,
        // Other checks than a text's, and other cleaning.
        (FieldKind::Text { .. }, FieldKind::Text { .. })
        | (FieldKind::Email {}, FieldKind::Email {})
        | (FieldKind::Url {}, FieldKind::Url {})
        | (FieldKind::Editor { .. }, FieldKind::Editor { .. }) => true,
        _ => family(from) == family(to) && family(from) != Family::Text,
    };
    relates && from.is_list() == to.is_list()
}

/// Whether there is a way from one type to another, for some values at least.
pub(crate) fn is_possible(from: &FieldKind, to: &FieldKind) -> bool {
    use Family::{Bool, Date, Json, Number, Password, Relation, Secret, Select, Text};
    match (family(from), family(to)) {
        (Relation, Relation) => match (from, to) {
            (FieldKind::Relation { collection: from, .. }, FieldKind::Relation { collection: to, .. }) => from == to,
            _ => false,
        },
        (from @ (Password | Secret), to) | (from, to @ (Password | Secret)) => from == to,
        (_, Relation) => false,
        (_, Json) | (Json, _) => true,
        (Text, Number | Bool | Date | Select) | (Number | Bool | Date | Select | Relation, Text) => true,
        (from, to) => from == to,
    }
}

/// The value of a field `from` as the field `to` of `collection` stores it; null stays null.
///
/// # Errors
/// Why it can't be one of `to`.
pub(crate) fn convert(collection: &Collection, to: &Field, value: &Value) -> Result<Value, Flaw> {
    let value = match (to.kind.is_list(), value) {
        (_, Value::Null) => return Ok(Value::Null),
        (_, value) if family(&to.kind) == Family::Json => value.clone(),
        (true, value @ Value::List(_)) => value.clone(),
        (true, Value::Json(text)) if text.starts_with('[') => value.clone(),
        (true, Value::Json(_)) => return Err(Flaw::new("wrong_type", "must be a list")),
        (true, one) => match recast(&to.kind, one)? {
            Value::Null => return Ok(Value::Null),
            one => Value::List(vec![one]),
        },
        (false, Value::List(items)) => match &items[..] {
            [] => return Ok(Value::Null),
            [one] => recast(&to.kind, one)?,
            _ => return Err(Flaw::new("too_many", format!("has {} elements, and only one fits", items.len()))),
        },
        (false, one) => recast(&to.kind, one)?,
    };
    match (&to.kind, value) {
        // The server's own has no bounds.
        (FieldKind::Autodate { .. }, value @ (Value::Date(_) | Value::Null)) => Ok(value),
        (_, value) => pipeline::conform(collection, to, value),
    }
}

/// One value in the form that the type has; its bounds are the next step's.
fn recast(to: &FieldKind, value: &Value) -> Result<Value, Flaw> {
    Ok(match (family(to), value) {
        (Family::Number | Family::Bool | Family::Date | Family::Select, Value::Text(text))
            if text.trim().is_empty() =>
        {
            Value::Null
        }
        (Family::Text, Value::Text(text)) if text.is_empty() && !matches!(to, FieldKind::Text { .. }) => Value::Null,
        (Family::Number, Value::Text(text)) => number(to, text.trim())?,
        (Family::Number, Value::Int(whole)) if matches!(to, FieldKind::Number { integer: false, .. }) => float(*whole)?,
        (Family::Bool, Value::Text(text)) => match text.trim() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(Flaw::new("wrong_type", "must be true or false")),
        },
        (Family::Date, Value::Text(text)) => pipeline::date(text.trim())?,
        (Family::Text, Value::Date(at)) => Value::text(at.to_string()),
        (Family::Text, Value::Int(_) | Value::Number(_) | Value::Bool(_)) => {
            let mut text = Vec::new();
            pipeline::write_value(value, &mut text);
            Value::text(String::from_utf8_lossy(&text))
        }
        (_, value) => value.clone(),
    })
}

/// The number that a text is, in JSON's form: of 007 or +5 the number is not all that it says.
fn number(to: &FieldKind, text: &str) -> Result<Value, Flaw> {
    let begins = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if !begins || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Err(Flaw::new("wrong_type", "must be a number"));
    }
    pipeline::number(matches!(to, FieldKind::Number { integer: true, .. }), text)
}

fn float(whole: i64) -> Result<Value, Flaw> {
    let float = whole as f64;
    if float as i128 == i128::from(whole) {
        Ok(Value::Number(float))
    } else {
        Err(Flaw::new("out_of_range", "is no number that a float holds exactly"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::CollectionId;
    use crate::model::definition;
    use crate::model::schema::Schema;
    use crate::time::Millis;

    /// A field of each type, named for it.
    fn world() -> Collection {
        let body = r#"{"name": "c", "fields": [
            {"name": "text", "type": "text", "sanitize": [], "max": 100000}, {"name": "short", "type": "text", "max": 3},
            {"name": "email", "type": "email"}, {"name": "url", "type": "url"}, {"name": "editor", "type": "editor"},
            {"name": "number", "type": "number"}, {"name": "small", "type": "number", "max": 9},
            {"name": "whole", "type": "number", "integer": true},
            {"name": "bool", "type": "bool"}, {"name": "date", "type": "date"},
            {"name": "auto", "type": "autodate", "onCreate": true},
            {"name": "select", "type": "select", "values": ["a", "b", "c", "true", "5"]},
            {"name": "selects", "type": "select", "values": ["a", "b", "c"], "maxSelect": 2},
            {"name": "relation", "type": "relation", "collection": "c"},
            {"name": "relations", "type": "relation", "collection": "c", "maxSelect": 5},
            {"name": "json", "type": "json"}, {"name": "point", "type": "geoPoint"}
        ]}"#;
        let mut collection = definition::parse(&Schema::default(), body.as_bytes(), Millis(0)).expect("sound");
        definition::number(&mut collection, CollectionId(1));
        collection
    }

    fn field<'a>(world: &'a Collection, name: &str) -> &'a Field {
        world.field(name).unwrap_or_else(|| panic!("no field {name}"))
    }

    fn shown(value: &Value) -> String {
        let mut out = Vec::new();
        pipeline::write_value(value, &mut out);
        String::from_utf8(out).expect("JSON")
    }

    #[test]
    fn values_are_converted_or_refused() {
        let text = |text: &str| Value::text(text);
        let json = |text: &str| Value::Json(text.into());
        let list = |items: &[&str]| Value::List(items.iter().map(|item| Value::text(*item)).collect());
        let table = [
            (text("42"), "number", "42"),
            (text(" -1.50e2 "), "number", "-150"),
            (text(""), "number", "null"),
            (text(" "), "date", "null"),
            (text(""), "select", "null"),
            (text(""), "selects", "null"),
            (text(""), "email", "null"),
            (text(""), "text", "\"\""),
            (text("007"), "number", "wrong_type"),
            (text("+5"), "number", "wrong_type"),
            (text("5 apples"), "number", "wrong_type"),
            (text("1e999"), "number", "out_of_range"),
            (text("10"), "small", "too_large"),
            (text("1.0"), "whole", "1"),
            (text("1.5"), "whole", "not_whole"),
            (text("true"), "bool", "true"),
            (text("yes"), "bool", "wrong_type"),
            (text("2001-02-28"), "date", "\"2001-02-28 00:00:00.000Z\""),
            (text("2001-02-29"), "date", "not_a_date"),
            (text("2001-02-28"), "auto", "\"2001-02-28 00:00:00.000Z\""),
            (text("a"), "select", "\"a\""),
            (text("z"), "select", "not_a_value"),
            (text("a"), "selects", "[\"a\"]"),
            (text("abcd"), "short", "too_long"),
            (text("ann@example.org"), "email", "\"ann@example.org\""),
            (text("ann"), "email", "not_an_email"),
            (text("https://example.org"), "url", "\"https://example.org\""),
            (text("<b>x</b><script>y</script>"), "editor", "\"<b>x</b>\""),
            (text("a \"b\""), "json", "\"a \\\"b\\\"\""),
            (Value::Int(5), "number", "5"),
            (Value::Int((1 << 53) + 1), "number", "out_of_range"),
            (Value::Int(i64::MAX), "number", "out_of_range"),
            (Value::Int(i64::MIN), "number", "-9.223372036854776e+18"),
            (Value::Int(i64::MAX), "text", "\"9223372036854775807\""),
            (Value::Number(2.5), "text", "\"2.5\""),
            (Value::Number(2.5), "whole", "not_whole"),
            (Value::Number(2.0), "whole", "2"),
            (Value::Number(2.5), "json", "2.5"),
            (Value::Bool(true), "text", "\"true\""),
            (Value::Date(Millis(0)), "text", "\"1970-01-01 00:00:00.000Z\""),
            (Value::Date(Millis(0)), "auto", "\"1970-01-01 00:00:00.000Z\""),
            (Value::Date(Millis(0)), "json", "\"1970-01-01 00:00:00.000Z\""),
            (list(&["a"]), "select", "\"a\""),
            (list(&[]), "select", "null"),
            (list(&["a", "b"]), "select", "too_many"),
            (list(&["a", "b"]), "json", "[\"a\",\"b\"]"),
            (list(&["a"]), "text", "\"a\""),
            (list(&["a"]), "relation", "\"a\""),
            (Value::Point(1.5, 2.0), "json", "{\"lon\":1.5,\"lat\":2}"),
            (json("5"), "number", "5"),
            (json("\"5\""), "number", "wrong_type"),
            (json("[\"a\",\"c\"]"), "selects", "[\"a\",\"c\"]"),
            (json("[\"a\",\"z\"]"), "selects", "not_a_value"),
            (json("\"a\""), "selects", "wrong_type"),
            (json("\"a\""), "select", "\"a\""),
            (json("{\"lat\":2,\"lon\":1}"), "point", "{\"lon\":1,\"lat\":2}"),
            (json("{}"), "text", "wrong_type"),
            (Value::Null, "number", "null"),
            (Value::Null, "relations", "null"),
        ];
        let world = world();
        for (value, to, expected) in table {
            let found = convert(&world, field(&world, to), &value);
            let found = found.map_or_else(|flaw| flaw.code.to_owned(), |value| shown(&value));
            assert_eq!(found, expected, "{value:?} as {to}");
        }
    }

    #[test]
    fn types_convert_as_the_table_says() {
        // From the row's to the column's: `=` as it is, `x` no way, `.` value by value.
        let names = [
            "text", "email", "number", "whole", "bool", "date", "auto", "select", "selects", "relation", "json",
            "point",
        ];
        let table = [
            "text      = . . . . . . . . x . x",
            "email     . = . . . . . . . x . x",
            "number    . . = . x x x x x x . x",
            "whole     . . . = x x x x x x . x",
            "bool      . . x x = x x x x x . x",
            "date      . . x x x = = x x x . x",
            "auto      . . x x x = = x x x . x",
            "select    . . x x x x x = . x . x",
            "selects   . . x x x x x . = x . x",
            "relation  . . x x x x x x x = . x",
            "relations . . x x x x x x x . . x",
            "json      . . . . . . . . . x = .",
            "point     x x x x x x x x x x . =",
        ];
        let world = world();
        for line in table {
            let mut words = line.split_whitespace();
            let from = &field(&world, words.next().expect("a name")).kind;
            for (to, expected) in names.iter().zip(words) {
                let to = &field(&world, to).kind;
                let found = match (is_same(from, to), is_possible(from, to)) {
                    (true, true) => "=",
                    (false, true) => ".",
                    (false, false) => "x",
                    (true, false) => "a fault",
                };
                assert_eq!(found, expected, "{line}: to {}", to.name());
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_converted_there_and_back_is_what_it_was(
            number in any::<f64>().prop_filter("finite", |n| n.is_finite()),
            whole in any::<i64>(),
            flag in any::<bool>(),
            at in Millis::MIN.0..=Millis::MAX.0,
            text in any::<String>(),
            choice in "[abc]",
        ) {
            let world = world();
            let table = [
                ("number", Value::Number(number + 0.0), &["text", "json", "whole"][..]),
                ("whole", Value::Int(whole), &["text", "json", "number"][..]),
                ("bool", Value::Bool(flag), &["text", "json"][..]),
                ("date", Value::Date(Millis(at)), &["text", "json", "auto"][..]),
                ("text", Value::text(&*text), &["json", "number", "bool", "select"][..]),
                ("select", Value::text(&*choice), &["text", "selects", "json"][..]),
                ("selects", Value::List(vec![Value::text(&*choice)]), &["select", "json", "text"][..]),
                ("relation", Value::text(&*choice), &["relations", "relation"][..]),
                ("json", Value::Json(serde_json::to_string(&text).expect("text").into()), &["text"][..]),
            ];
            for (from, value, ways) in table {
                for way in ways {
                    // Refused is as good as kept; an empty text says nothing, as null does.
                    let Ok(there) = convert(&world, field(&world, way), &value) else { continue };
                    if there.is_null() { continue }
                    let back = convert(&world, field(&world, from), &there);
                    if *way == "number" && from == "text" {
                        // 1.50 and 1.5 are one number.
                        let again = convert(&world, field(&world, way), &back.expect("a text"));
                        prop_assert_eq!(again.expect("a number"), there);
                    } else if from == "text" {
                        prop_assert_eq!(back.expect("the way back"), Value::text(if *way == "json" { &*text } else { text.trim() }));
                    } else if from == "json" {
                        let Value::Json(back) = back.expect("the way back") else { panic!("json") };
                        prop_assert_eq!(serde_json::from_str::<String>(&back).expect("a text"), text.clone());
                    } else {
                        prop_assert_eq!(back.expect("the way back"), value.clone(), "{} by {}", from, way);
                    }
                }
            }
        }
    }
}
