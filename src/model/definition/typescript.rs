//! Definitions as TypeScript: for each collection what its records are, and what makes and changes one.
//!
//! Invariant: the text depends on nothing but the schema, and every name in it is an identifier or stands in quotes, so it
//! compiles whatever collections are called.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::model::schema::{Collection, Field, FieldKind, Schema};

use super::record_schema::{embedded, name};

const HEAD: &str = "\
// Types of this server's records, as `GET /api/types.d.ts` and `millpond types` write them. Made; not to be edited.

/** What every record has. */
export interface Stored {
  id: string;
  collectionId: string;
  collectionName: string;
}

/** A place on the globe, degrees. */
export interface GeoPoint {
  lon: number;
  lat: number;
}

/** A moment in UTC, such as 2001-02-28 12:30:00.000Z. */
export type Moment = string;

/** A page of a list. */
export interface Page<T> {
  page: number;
  perPage: number;
  totalItems: number;
  totalPages: number;
  items: T[];
  nextCursor: string | null;
}

/** A change of a record: what is null is taken away; `+` and `-` behind a name add to and take from it. */
export type Patch<T> = { [K in keyof T]?: T[K] | null } & { [K in keyof T as `${K & string}+` | `${K & string}-`]?: unknown };
";

/// The types of all collections, those of the server's own too if `own`.
pub fn typescript(schema: &Schema, own: bool) -> String {
    let mut out = HEAD.to_owned();
    let shown: Vec<&Collection> = schema.iter().map(|one| &**one).filter(|one| own || !one.id.is_own()).collect();
    let names = type_names(&shown);
    for (collection, name) in shown.iter().zip(&names) {
        record(&mut out, schema, collection, name);
        create(&mut out, collection, name);
    }
    for (map, suffix, what) in [
        ("Records", "Record", "Records by their collection's name."),
        ("Creates", "Create", "What makes a record, by its collection's name."),
    ] {
        line(&mut out, format_args!("\n/** {what} */\nexport interface {map} {{"));
        for (collection, name) in shown.iter().zip(&names) {
            line(&mut out, format_args!("  {}: {name}{suffix};", quoted(&collection.name)));
        }
        out.push_str("}\n");
    }
    out
}

/// Writing to a text can't fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}

/// A name for each collection's types: `order_items` is `OrderItems`. Two that come out the same are told apart.
fn type_names(collections: &[&Collection]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let of = |collection: &&Collection| {
        let mut name: String = collection.name.split('_').map(capitalized).collect();
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            name.insert(0, '_');
        }
        while !taken.insert(name.clone()) {
            name.push('_');
        }
        name
    };
    collections.iter().map(of).collect()
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

fn record(out: &mut String, schema: &Schema, collection: &Collection, name: &str) {
    line(
        out,
        format_args!("\n/** A record of {}. */\nexport interface {name}Record extends Stored {{", collection.name),
    );
    for field in collection.fields.iter().filter(|field| !field.is_secret()) {
        remark(out, schema, collection, field);
        let (optional, nullable) = (if field.hidden { "?" } else { "" }, if field.required { "" } else { " | null" });
        line(
            out,
            format_args!("  {}{optional}: {}{nullable};", quoted(&field.name), shown_type(schema, collection, field)),
        );
    }
    out.push_str("}\n");
}

fn create(out: &mut String, collection: &Collection, name: &str) {
    line(
        out,
        format_args!(
            "\n/** What makes a record of {}. */\nexport interface {name}Create {{\n  id?: string;",
            collection.name
        ),
    );
    for field in collection.fields.iter().filter(|field| !field.is_set_by_server()) {
        // One that has other names may come under any of them.
        let is_asked = field.is_asked_for() && field.aliases.is_empty();
        let (optional, nullable) = if is_asked { ("", "") } else { ("?", " | null") };
        let names = std::iter::once(&field.name).chain(&field.aliases);
        for name in names {
            line(out, format_args!("  {}{optional}: {}{nullable};", quoted(name), plain_type(field)));
        }
        if is_password(field) {
            out.push_str("  passwordConfirm?: string;\n");
        }
    }
    line(out, format_args!("}}\n\nexport type {name}Patch = Patch<{name}Create>;"));
}

fn is_password(field: &Field) -> bool {
    matches!(field.kind, FieldKind::Password { .. })
}

/// What stands above a field: what it points at, how it is worked out.
fn remark(out: &mut String, schema: &Schema, collection: &Collection, field: &Field) {
    let target = match field.kind {
        FieldKind::Relation { collection: target, .. } if target == collection.id => Some(&*collection.name),
        FieldKind::Relation { collection: target, .. } => schema.get(target).map(|target| &*target.name),
        _ => None,
    };
    let target = target.map(|name| format!("Of {name}."));
    // An expression may hold what would end the remark.
    let computed =
        field.computed.as_ref().map(|expr| format!("Computed: {}.", expr.replace("*/", "* /").replace('\n', " ")));
    let hidden = field.hidden.then(|| "Only superusers see it.".to_owned());
    let said: Vec<String> = [target, computed, hidden].into_iter().flatten().collect();
    if !said.is_empty() {
        line(out, format_args!("  /** {} */", said.join(" ")));
    }
}

/// The type in an answer, where the definition's `output` may show parts of a related record in the place of its id.
fn shown_type(schema: &Schema, collection: &Collection, field: &Field) -> String {
    let FieldKind::Relation { collection: target, .. } = &field.kind else { return plain_type(field) };
    let own = (*target == collection.id).then_some(collection);
    let target = own.or_else(|| schema.get(*target).map(|target| &**target));
    let (Some(parts), Some(target)) = (embedded(collection, field), target) else { return plain_type(field) };
    let parts: Vec<String> =
        parts.iter().filter_map(|part| name(target, part)).map(|part| format!("{}?: unknown", quoted(part))).collect();
    listed(field, format!("string | {{ {} }}", parts.join("; ")))
}

fn plain_type(field: &Field) -> String {
    let one = match &field.kind {
        FieldKind::Number { .. } => "number".to_owned(),
        FieldKind::Bool {} => "boolean".to_owned(),
        FieldKind::Select { values, .. } => values.iter().map(|value| text(value)).collect::<Vec<_>>().join(" | "),
        FieldKind::Json { .. } => "unknown".to_owned(),
        FieldKind::GeoPoint {} => "GeoPoint".to_owned(),
        FieldKind::Date { .. } | FieldKind::Autodate { .. } => "Moment".to_owned(),
        FieldKind::Text { .. }
        | FieldKind::Editor { .. }
        | FieldKind::Relation { .. }
        | FieldKind::Email {}
        | FieldKind::Url {}
        | FieldKind::Password { .. }
        | FieldKind::Secret {} => "string".to_owned(),
    };
    listed(field, one)
}

fn listed(field: &Field, one: String) -> String {
    match (field.kind.is_list(), one.contains('|')) {
        (true, true) => format!("({one})[]"),
        (true, false) => format!("{one}[]"),
        (false, _) => one,
    }
}

/// A text as a literal: JSON's are TypeScript's.
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// A property's name: as it is where it may stand so.
fn quoted(name: &str) -> String {
    let is_plain =
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if is_plain && !name.is_empty() { name.to_owned() } else { text(name) }
}
