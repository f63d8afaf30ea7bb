//! What an import of definitions changes, or would: told by names, for people and for scripts.

use serde_json::{Value as Json, json};

use crate::model::definition::{Import, Redefinition, Rows};
use crate::model::schema::{Collection, Schema};

/// The import as JSON: `created`, `changed`, `deleted`, `unchanged`, `dryRun`.
pub(super) fn told(schema: &Schema, import: &Import) -> String {
    let changed = import.changed.iter().filter_map(|change| Some(of_change(schema.get(change.collection.id)?, change)));
    let deleted = import.dropped.iter().filter_map(|id| Some(&schema.get(*id)?.name));
    let whole = json!({
        "created": import.created.iter().map(|made| &made.name).collect::<Vec<_>>(),
        "changed": changed.collect::<Vec<_>>(),
        "deleted": deleted.collect::<Vec<_>>(),
        "unchanged": import.unchanged,
        "dryRun": import.dry_run,
    });
    whole.to_string()
}

fn of_change(stored: &Collection, change: &Redefinition) -> Json {
    let next = &change.collection;
    let was = |name: &str| stored.field(name).map(|field| (field.id, field));
    let fields: Vec<&str> = next
        .fields
        .iter()
        .filter(|field| was(&field.name) != Some((field.id, *field)))
        .map(|field| &*field.name)
        .collect();
    let is_kept = |name: &str| {
        let known = stored.field(name).map(|field| field.id);
        let replaces = |id| change.shadows.iter().any(|shadow| shadow.replaces == Some(id));
        known.is_some_and(|id| next.field_by_id(id).is_some() || replaces(id))
    };
    let gone: Vec<&str> = stored.fields.iter().map(|field| &*field.name).filter(|name| !is_kept(name)).collect();
    let new_indexes = next.indexes.iter().filter(|index| !index.system && stored.index(index.id).is_none());
    let gone_indexes = stored.indexes.iter().filter(|index| !index.system && next.index(index.id).is_none());
    let named = stored.rules.named();
    let rules = next.rules.named().into_iter().zip(named).filter(|(now, was)| now != was).map(|(now, _)| now.0);
    json!({
        "name": stored.name,
        "newName": (next.name != stored.name).then_some(&next.name),
        "fields": fields,
        "fieldsDeleted": gone,
        "indexes": new_indexes.map(|index| &index.name).collect::<Vec<_>>(),
        "indexesDeleted": gone_indexes.map(|index| &index.name).collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
        "checks": next.checks != stored.checks,
        "output": next.output != stored.output,
        "search": next.search != stored.search,
        "records": match change.rows {
            Rows::Unseen => "unseen",
            Rows::Checked => "checked",
            Rows::Converted => "converted",
        },
    })
}
