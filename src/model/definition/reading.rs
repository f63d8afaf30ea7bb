//! One way to read a definition: a new one, or one whose keys are put over a stored one. In steps, so that several can be
//! read that point at each other.
//!
//! What a body over a stored definition doesn't name is written as the body would have had it, in the new names, and read
//! like the rest: so a part that no longer fits is a fault with its path. What stood on a field that goes, goes with it.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::id::{CollectionId, FieldId, Generation, IndexId, Seq};
use crate::model::compiled::Compiled;
use crate::model::faults::Faults;
use crate::model::schema::{Collection, CollectionKind, Output, Rules, Schema};
use crate::time::Millis;

use super::object::Object;
use super::{auth, checks, fields, format, indexes, names, output, search};

/// What a body may say of the ids of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// Nothing: all is new.
    Refused,
    /// Which of the stored fields one is.
    Known,
    /// The same, and one that is not stored gets the id that it brings, where that was never given out: definitions are
    /// carried from server to server.
    Brought,
}

/// A definition that is being read.
pub(super) struct Reading<'a> {
    /// Its own path; empty where it is the whole body.
    at: String,
    object: Object,
    ids: Ids,
    stored: Option<&'a Collection>,
    /// Whether it is one of the server's own collections.
    own: bool,
    collection: Collection,
    /// Whether places in the body are places in the collection: nothing was left out.
    whole: bool,
}

impl<'a> Reading<'a> {
    /// Begins to read a new one.
    pub(super) fn new(
        object: Object,
        ids: Ids,
        id: CollectionId,
        own: bool,
        now: Millis,
        faults: &mut Faults,
    ) -> Reading<'static> {
        let collection = Collection {
            id,
            generation: Generation(0),
            version: Seq::ZERO,
            name: Box::default(),
            kind: CollectionKind::Base,
            auth_token: None,
            fields: Vec::new(),
            indexes: Vec::new(),
            rules: Rules::default(),
            checks: Vec::new(),
            output: Output::default(),
            search: None,
            created: now,
            updated: now,
            defined: Seq::ZERO,
            last_field: FieldId(0),
            last_index: IndexId(0),
            staged: None,
            refused: None,
        };
        let at = object.own_path().to_owned();
        let mut reading = Reading { at, object, ids, stored: None, own, collection, whole: true };
        reading.head(faults);
        reading
    }

    /// Begins to read one over a stored one.
    pub(super) fn over(
        object: Object,
        ids: Ids,
        stored: &'a Collection,
        now: Millis,
        faults: &mut Faults,
    ) -> Reading<'a> {
        let collection = Collection {
            updated: now,
            indexes: Vec::new(),
            checks: Vec::new(),
            search: None,
            staged: None,
            refused: None,
            ..stored.clone()
        };
        let at = object.own_path().to_owned();
        let mut reading =
            Reading { at, object, ids, stored: Some(stored), own: stored.id.is_own(), collection, whole: true };
        reading.head(faults);
        reading
    }

    /// Name, type, rules and, of an auth collection, what all of those have.
    fn head(&mut self, faults: &mut Faults) {
        if self.stored.is_none() || self.object.has("name") {
            self.collection.name = names::collection_name(&mut self.object, self.own, faults).into();
        }
        if self.stored.is_none() || self.object.has("type") {
            let kind = kind(&mut self.object, faults);
            if self.stored.is_some_and(|stored| stored.kind != kind) {
                self.object.fault("type", "read_only", "never changes", faults);
            } else {
                self.collection.kind = kind;
            }
        }
        auth::complete(&mut self.object, self.collection.kind, self.stored.is_some(), faults);
        if self.stored.is_none() || self.object.has("authToken") {
            self.collection.auth_token = auth::token(&mut self.object, self.collection.kind, faults);
        }
        set_by_server(&mut self.object, self.ids, faults);
        self.rules(faults);
    }

    fn rules(&mut self, faults: &mut Faults) {
        let Rules { list, view, create, update, delete } = &mut self.collection.rules;
        let all = [
            ("listRule", list),
            ("viewRule", view),
            ("createRule", create),
            ("updateRule", update),
            ("deleteRule", delete),
        ];
        for (key, rule) in all {
            if self.object.has(key) {
                *rule = self.object.text(key, faults).map(Box::from);
            }
        }
    }

    /// The fields. Their relations find their collections in `schema`.
    pub(super) fn fields(&mut self, schema: &Schema, faults: &mut Faults) {
        if self.stored.is_some() && !self.object.has("fields") {
            return;
        }
        self.collection.fields = Vec::new();
        self.whole &= fields::read(schema, &mut self.object, self.stored, self.ids, &mut self.collection, faults);
        auth::check(&self.collection, self.own, &self.path("fields"), faults);
    }

    /// All that names fields: of this collection, which are read, and of others in `schema`.
    pub(super) fn rest(&mut self, schema: &Schema, faults: &mut Faults) {
        if let Some(stored) = self.stored {
            self.keep(schema, stored);
        }
        indexes::read(&mut self.object, self.ids, &mut self.collection, faults);
        indexes::check_defaults(&self.object, &self.collection, faults);
        self.whole &= checks::read(&mut self.object, &mut self.collection, faults);
        output::read(schema, &mut self.object, &mut self.collection, faults);
        search::read(&mut self.object, self.ids, &mut self.collection, faults);
        std::mem::take(&mut self.object).finish(faults);
    }

    /// Writes what the body leaves out as it would have it.
    fn keep(&mut self, schema: &Schema, stored: &Collection) {
        let collection = &self.collection;
        let is_there = |field: FieldId| collection.field_by_id(field).is_some();
        if !self.object.has("indexes") {
            let kept = stored
                .indexes
                .iter()
                .filter(|index| !index.system && index.fields.iter().all(|part| is_there(part.field)));
            self.object
                .put("indexes", kept.map(|index| format::of_index(collection, index, &BTreeMap::new())).collect());
        }
        if !self.object.has("checks") {
            self.object.put("checks", stored.checks.iter().map(|check| format::of_check(collection, check)).collect());
        }
        if !self.object.has("output") && !collection.output.is_plain() {
            let mut kept = output::format(schema, collection);
            if let Some(names) = kept.get_mut("fields")
                && *names == json!([])
            {
                *names = Json::Null;
            }
            self.object.put("output", kept);
        }
        if !self.object.has("search")
            && let Some(mut kept) = stored.search.clone()
        {
            kept.fields.retain(|one| is_there(one.field));
            kept.facets.retain(|field| is_there(*field));
            if !kept.fields.is_empty() {
                self.object.put("search", search::format(collection, &kept, None));
            }
        }
        self.collection.output = Output::default();
    }

    /// Compiles all expressions against a schema that holds the collection already, so that they find it by its name.
    pub(super) fn compile(&self, with_it: &Schema, faults: &mut Faults) {
        if !self.whole {
            return;
        }
        if let Err(flawed) = Compiled::new(with_it, &self.collection) {
            for flaw in flawed {
                faults.add(self.path(&flaw.path), "bad_expression", flaw.message());
            }
        }
    }

    /// The path of a part of it.
    pub(super) fn path(&self, part: &str) -> String {
        if self.at.is_empty() { part.to_owned() } else { format!("{}.{part}", self.at) }
    }

    /// As far as it is read.
    pub(super) fn collection(&self) -> &Collection {
        &self.collection
    }

    /// What was read. The indexes of a new one are numbered; those of a changed one when its fields have their ids.
    pub(super) fn into_collection(mut self) -> Collection {
        if self.stored.is_none() {
            indexes::number(&mut self.collection, None);
        }
        self.collection
    }
}

fn kind(object: &mut Object, faults: &mut Faults) -> CollectionKind {
    match object.text("type", faults).as_deref() {
        None | Some("base") => return CollectionKind::Base,
        Some("auth") => return CollectionKind::Auth,
        Some("view") => object.fault("type", "not_known_yet", "this type is not known yet", faults),
        Some(_) => object.fault("type", "unknown_type", "must be base or auth", faults),
    }
    CollectionKind::Base
}

/// Parts of a definition that only the server sets: one that was read from a server has them.
fn set_by_server(object: &mut Object, ids: Ids, faults: &mut Faults) {
    for key in ["id", "created", "updated", "system", "changing", "refused"] {
        if object.take(key).is_some() && ids == Ids::Refused {
            object.fault(key, "read_only", "is set by the server", faults);
        }
    }
}
