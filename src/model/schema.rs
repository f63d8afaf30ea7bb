//! Collections as they are defined: fields with their types, indexes, rules. Pure values; reading and checking a
//! client's definition is `definition`.
//!
//! The JSON form of [`Collection`] with its ids is what the log and the state keep, so every new setting has a
//! `#[serde(default)]`. Invariant of [`Schema`]: names and ids are unique; a `Collection` in it has passed `definition`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, FieldId, Generation, IndexId, RecordId, Seq};
use crate::model::compiled::{Compiled, Flawed};
pub use crate::model::field::{DefaultValue, Field, FieldKind, OnDelete, Sanitizer};
use crate::model::guard::Action;
pub use crate::model::index::{Duplicate, Index, IndexField, IndexState};
use crate::model::mask::Part;
pub use crate::model::search::{Search, SearchField};
use crate::time::Millis;

/// All collections at one position. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    by_id: BTreeMap<CollectionId, Arc<Collection>>,
    /// Made when first asked for; all anew when a definition moves, since expressions reach over relations.
    compiled: Arc<RwLock<BTreeMap<CollectionId, Arc<Compiled>>>>,
    /// The same of staged definitions.
    compiled_staged: Arc<RwLock<BTreeMap<CollectionId, Arc<Compiled>>>>,
    /// Moves with every definition that comes, changes or goes.
    version: Seq,
    by_name: BTreeMap<Box<str>, CollectionId>,
    /// The highest collection id ever given out to a client's: a dropped one's is not used again.
    pub last_collection: CollectionId,
    /// The auth collections, by id.
    callers: Arc<[Arc<Collection>]>,
    /// Made when first asked for.
    digest: Arc<OnceLock<[u8; 32]>>,
}

impl PartialEq for Schema {
    fn eq(&self, other: &Schema) -> bool {
        self.by_id == other.by_id && self.last_collection == other.last_collection
    }
}

/// A collection's definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    /// Stable for ever.
    pub id: CollectionId,
    /// Which filling is current.
    pub generation: Generation,
    /// The entry that wrote this definition; commands made against another are stale. Set by effects, not stored in
    /// the definition's own text.
    #[serde(skip)]
    pub version: Seq,
    /// As in paths.
    pub name: Box<str>,
    /// `base` or `auth`.
    #[serde(default, rename = "type")]
    pub kind: CollectionKind,
    /// Of an auth collection, where it is not the server's usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<AuthToken>,
    /// In the order of the definition.
    pub fields: Vec<Field>,
    /// In the order of the definition; those of relations, kept by the server, at the end.
    #[serde(default)]
    pub indexes: Vec<Index>,
    /// Who may do what.
    #[serde(default)]
    pub rules: Rules,
    /// What must hold of every record, beside the fields' own bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// How its records look in an answer that doesn't say.
    #[serde(default, skip_serializing_if = "Output::is_plain")]
    pub output: Output,
    /// What it is searched by, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// When it came to be.
    pub created: Millis,
    /// When its definition last changed.
    pub updated: Millis,
    /// The entry that did so: `version` moves also when the server has built an index of it.
    #[serde(default)]
    pub defined: Seq,
    /// The highest field id ever given out.
    pub last_field: FieldId,
    /// The highest index id ever given out.
    pub last_index: IndexId,
    /// The definition that takes this one's place when every row has been seen to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Box<Staged>>,
    /// Why the last change came to nothing; gone with the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// A definition that takes the place of another once every row has been seen to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Staged {
    /// All of it, with its ids.
    pub collection: Collection,
    /// The fields that are worked out for each row; none where rows are only checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadows: Vec<Shadow>,
}

/// A field of a definition to be whose value every row gets before the definition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shadow {
    /// Which: an id that the definition before does not have.
    pub field: FieldId,
    /// The field whose place it takes, if it takes one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<FieldId>,
    /// Where its value comes from.
    pub source: Source,
}

/// Where the value of a new field comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Converted from that of a field before.
    Field(FieldId),
    /// Its own default.
    Default,
    /// Its own expression.
    Computed,
}

/// Why a change of a definition came to nothing: a record that the new one does not allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Which record; none where it was another definition that stood against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordId>,
    /// The field to blame, by its name in the new definition, or the check.
    pub field: Box<str>,
    /// Stable word for programs.
    pub code: Box<str>,
    /// Sentence for people.
    pub message: Box<str>,
}

/// What sort of collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CollectionKind {
    /// Plain records.
    #[default]
    Base,
    /// Records that can ask: each has an e-mail address and a password.
    Auth,
}

impl CollectionKind {
    /// Its name in a definition.
    pub fn name(self) -> &'static str {
        match self {
            CollectionKind::Base => "base",
            CollectionKind::Auth => "auth",
        }
    }
}

/// What the tokens of an auth collection are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthToken {
    /// How long one is good, seconds.
    pub duration: u64,
}

/// The fields that every auth collection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthFields {
    /// Who it is, unique.
    pub email: FieldId,
    /// The hash of the password.
    pub password: FieldId,
    /// Whether the address is known to be the caller's.
    pub verified: FieldId,
    /// What the record's tokens are signed with, beside the server's own secret: a new one ends them all.
    pub token_key: FieldId,
}

/// A business rule: a record of which the expression doesn't hold is refused with the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// As the answer names it.
    pub name: Box<str>,
    /// The condition.
    pub expr: Box<str>,
    /// Sentence for people.
    pub message: Box<str>,
    /// The field to blame, if it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldId>,
}

/// The default look of a collection's records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Relations shown as parts of the records they point at, in the place of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embed: Vec<Embed>,
    /// What `fields` is where a request has none; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<Part>>,
}

/// A relation and what is shown of the records it points at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embed {
    /// Which relation.
    pub field: FieldId,
    /// Parts of its target.
    pub parts: Vec<Part>,
}

impl Output {
    /// Whether records look as they are.
    pub fn is_plain(&self) -> bool {
        self.embed.is_empty() && self.fields.is_none()
    }
}

/// Who may: `None` superusers only, `Some("")` anyone, else an expression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// Who may list, and which records.
    #[serde(default)]
    pub list: Option<Box<str>>,
    /// Who may read one.
    #[serde(default)]
    pub view: Option<Box<str>>,
    /// Who may create.
    #[serde(default)]
    pub create: Option<Box<str>>,
    /// Who may update.
    #[serde(default)]
    pub update: Option<Box<str>>,
    /// Who may delete.
    #[serde(default)]
    pub delete: Option<Box<str>>,
}

impl Rules {
    /// The rule of an action.
    pub fn of(&self, action: Action) -> Option<&str> {
        self.named()[action as usize].1
    }

    /// Each with its name in a definition, in the order of [`Action`].
    pub fn named(&self) -> [(&'static str, Option<&str>); 5] {
        let Rules { list, view, create, update, delete } = self;
        [
            ("listRule", list.as_deref()),
            ("viewRule", view.as_deref()),
            ("createRule", create.as_deref()),
            ("updateRule", update.as_deref()),
            ("deleteRule", delete.as_deref()),
        ]
    }
}

impl Collection {
    /// The field of that name or alias is not meant: names only.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| &*field.name == name)
    }

    /// The field of that id.
    pub fn field_by_id(&self, id: FieldId) -> Option<&Field> {
        self.fields.iter().find(|field| field.id == id)
    }

    /// The index of that id.
    pub fn index(&self, id: IndexId) -> Option<&Index> {
        self.indexes.iter().find(|index| index.id == id)
    }

    /// The indexes that every write sees to, ready ones and those that are being built.
    pub fn kept_indexes(&self) -> impl Iterator<Item = &Index> {
        self.indexes.iter().filter(|index| index.is_kept())
    }

    /// The same, each with the definition that it is of: those of a staged one whose fields are worked out are among them.
    pub fn written_indexes(&self) -> impl Iterator<Item = (&Collection, &Index)> {
        self.kept_indexes().map(move |index| (self, index)).chain(self.staged_indexes())
    }

    /// The indexes that only a staged definition has, where every row is rewritten for it.
    pub fn staged_indexes(&self) -> impl Iterator<Item = (&Collection, &Index)> {
        let staged = self.staged.iter().filter(|staged| !staged.shadows.is_empty());
        staged.flat_map(move |staged| {
            let fresh = staged.collection.indexes.iter().filter(|index| self.index(index.id).is_none());
            fresh.map(move |index| (&staged.collection, index))
        })
    }

    /// Whether a field is one of this definition or of a staged one: a write keeps the value of no other.
    pub fn keeps_field(&self, field: FieldId) -> bool {
        let staged = || self.staged.as_ref().is_some_and(|staged| staged.collection.field_by_id(field).is_some());
        self.field_by_id(field).is_some() || staged()
    }

    /// The indexes that hold all that they should.
    pub fn ready_indexes(&self) -> impl Iterator<Item = &Index> {
        self.indexes.iter().filter(|index| index.is_ready())
    }

    /// Whether a field stands in an index that is kept.
    pub fn is_indexed(&self, field: FieldId) -> bool {
        self.kept_indexes().any(|index| index.fields.iter().any(|part| part.field == field))
    }

    /// The index the server keeps for a relation field. Also while it is built it has an entry for each id that the
    /// field holds anywhere: when the field came, it held none.
    pub fn relation_index(&self, field: FieldId) -> Option<&Index> {
        self.indexes.iter().find(|index| index.system && index.fields[0].field == field)
    }

    /// The fields by which its records are callers; `None` where they are none.
    pub fn auth_fields(&self) -> Option<AuthFields> {
        let id = |name| self.field(name).map(|field| field.id);
        match self.kind {
            CollectionKind::Base => None,
            CollectionKind::Auth => Some(AuthFields {
                email: id("email")?,
                password: id("password")?,
                verified: id("verified")?,
                token_key: id("tokenKey")?,
            }),
        }
    }

    /// The fields that point at `target`.
    pub fn relations_to(&self, target: CollectionId) -> impl Iterator<Item = (&Field, OnDelete)> {
        self.fields.iter().filter_map(move |field| match field.kind {
            FieldKind::Relation { collection, on_delete, .. } if collection == target => Some((field, on_delete)),
            _ => None,
        })
    }
}

impl Schema {
    /// By id.
    pub fn get(&self, id: CollectionId) -> Option<&Arc<Collection>> {
        self.by_id.get(&id)
    }

    /// By name, or by the text of the id (names never begin with a digit).
    pub fn find(&self, name: &str) -> Option<&Arc<Collection>> {
        match self.by_name.get(name) {
            Some(id) => self.by_id.get(id),
            None => self.by_id.get(&CollectionId(name.parse().ok()?)),
        }
    }

    /// By id, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Collection>> {
        self.by_id.values()
    }

    /// Puts a definition in the place of the one with its id, if any.
    pub fn put(&mut self, collection: Collection) {
        self.remove(collection.id);
        if !collection.id.is_own() {
            self.last_collection = self.last_collection.max(collection.id);
        }
        // Another one also for a collection that was not there: several come by one entry.
        self.version = Seq((self.version.0 + 1).max(collection.version.0));
        self.by_name.insert(collection.name.clone(), collection.id);
        self.by_id.insert(collection.id, Arc::new(collection));
        self.forget_derived();
    }

    /// Takes a collection out.
    pub fn remove(&mut self, id: CollectionId) -> Option<Arc<Collection>> {
        let gone = self.by_id.remove(&id)?;
        self.by_name.remove(&gone.name);
        self.forget_derived();
        // Below the entry that took it out, so no definition will ever have it.
        self.version = Seq(self.version.0 + 1);
        Some(gone)
    }

    fn forget_derived(&mut self) {
        self.compiled = Arc::default();
        self.compiled_staged = Arc::default();
        self.digest = Arc::default();
        self.callers = self.iter().filter(|collection| collection.kind == CollectionKind::Auth).cloned().collect();
    }

    /// The auth collections, in which a caller's own record may lie.
    pub fn callers(&self) -> &[Arc<Collection>] {
        &self.callers
    }

    /// The expressions of a collection; compiled once for each version of the schema.
    ///
    /// # Errors
    /// `Internal` for one that does not compile, against the invariant of [`Compiled`].
    pub fn compiled(&self, collection: &Collection) -> Result<Arc<Compiled>> {
        if let Some(compiled) = self.compiled.read().get(&collection.id) {
            return Ok(compiled.clone());
        }
        let compiled = Compiled::new(self, collection).map_err(|flawed| Flawed::error(&flawed))?;
        let compiled = Arc::new(compiled);
        self.compiled.write().insert(collection.id, compiled.clone());
        Ok(compiled)
    }

    /// The same of a staged definition, as if it had taken its place.
    ///
    /// # Errors
    /// `Unprocessable`, with code `stale_schema`, where what its expressions read has changed since.
    pub fn compiled_staged(&self, staged: &Staged) -> Result<Arc<Compiled>> {
        let id = staged.collection.id;
        if let Some(compiled) = self.compiled_staged.read().get(&id) {
            return Ok(compiled.clone());
        }
        let mut with_it = self.clone();
        with_it.put(staged.collection.clone());
        let compiled = Compiled::new(&with_it, &staged.collection)
            .map_err(|flawed| Error::new(Kind::Unprocessable, Flawed::error(&flawed).message()).code("stale_schema"))?;
        let compiled = Arc::new(compiled);
        self.compiled_staged.write().insert(id, compiled.clone());
        Ok(compiled)
    }

    /// Another for every schema of one history: expressions compiled against another are not of this one.
    pub fn version(&self) -> Seq {
        self.version
    }

    /// Of all definitions, with the entries that wrote them: another for every schema that is not the same, whatever the
    /// history.
    pub fn digest(&self) -> [u8; 32] {
        *self.digest.get_or_init(|| {
            let mut hash = blake3::Hasher::new();
            for collection in self.iter() {
                // As the state has it, which reads back; what could not be written there is not in a schema.
                let text = serde_json::to_vec(&**collection).unwrap_or_default();
                hash.update(&collection.version.0.to_le_bytes());
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(&text);
            }
            hash.finalize().into()
        })
    }

    /// What `orders_via_user` means on `target`: the collection `orders` and its relation `user`, if that points there.
    /// `hidden`: whether hidden fields are seen.
    pub fn referring(&self, target: &Collection, name: &str, hidden: bool) -> Option<(&Arc<Collection>, &Field)> {
        name.match_indices("_via_").find_map(|(at, via)| {
            let source = self.find(&name[..at])?;
            let field = source.field(&name[at + via.len()..]).filter(|field| field.is_seen(hidden))?;
            let points = matches!(field.kind, FieldKind::Relation { collection, .. } if collection == target.id);
            points.then_some((source, field))
        })
    }

    /// The collections with a relation to `target`, with the fields that point there.
    pub fn pointing_at(&self, target: CollectionId) -> impl Iterator<Item = (&Arc<Collection>, &Field, OnDelete)> {
        self.by_id.values().flat_map(move |collection| {
            collection.relations_to(target).map(move |(field, on_delete)| (collection, field, on_delete))
        })
    }
}
