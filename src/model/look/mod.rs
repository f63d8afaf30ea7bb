//! How the records of an answer look: which parts are shown, relations as the records they point at, texts cut short.
//!
//! Made from what a request asks for (`fields`, `expand`, `embed`) and, where it asks for nothing, from what the
//! collection's `output` says. A record that is shown in another's answer is plain: the `output` of its own collection
//! is not applied, so no definition can make another's answers grow.
//!
//! Invariants: a hidden field is shown, followed or named in an error only by a look with `hidden`, at every level. A
//! look reads nothing: [`Targets`] gives the related records, and only those that the caller may view.

mod embed;
mod excerpt;
mod expand;
mod fields;
mod paths;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::id::{CollectionId, FieldId};
use crate::limits;
use crate::model::mask::{Mask, Part};
use crate::model::schema::{Collection, Field, FieldKind, Index, Schema};

use excerpt::Excerpt;
use paths::Branch;

pub use write::{Found, Nothing, Targets};

/// The texts of a request that say what its answer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// `fields=id,user.name,note:excerpt(80)`: the parts.
    pub fields: Option<&'a str>,
    /// `expand=user,items.maker,orders_via_user`: whole related records, under `expand`.
    pub expand: Option<&'a str>,
    /// `embed=user(id,name)`: parts of related records, in the place of their ids. An empty one wants ids where the
    /// collection's own look has more.
    pub embed: Option<&'a str>,
}

/// [`Wanted`], for work that waits.
#[derive(Clone, Debug, Default)]
pub struct OwnedWanted([Option<String>; 3]);

impl From<Wanted<'_>> for OwnedWanted {
    fn from(wanted: Wanted<'_>) -> OwnedWanted {
        OwnedWanted([wanted.fields, wanted.expand, wanted.embed].map(|text| text.map(str::to_owned)))
    }
}

impl OwnedWanted {
    /// What it was made of.
    pub fn get(&self) -> Wanted<'_> {
        let [fields, expand, embed] = self.0.each_ref().map(Option::as_deref);
        Wanted { fields, expand, embed }
    }
}

/// How records of one collection look at one place of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Which parts are shown.
    pub mask: Mask,
    /// The fields that are shown otherwise than as they are stored.
    forms: Vec<(FieldId, Form)>,
    /// What stands under `expand`.
    expand: Vec<Link>,
}

/// How a field is shown.
#[derive(Clone, Debug, PartialEq)]
enum Form {
    /// A relation, as the records that it points at.
    Embedded(Box<Link>),
    /// A text, as the beginning of what it says.
    Excerpt(Excerpt),
    /// Some parts of a `json` or a `geoPoint`.
    Parts(Vec<Branch>),
}

/// A relation that is followed.
#[derive(Clone, Debug, PartialEq)]
struct Link {
    /// As it was asked for.
    name: Box<str>,
    way: Way,
    /// The collection it leads to.
    target: CollectionId,
    /// How the records there look.
    look: Look,
}

/// Which way a relation is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Along a field of the record.
    To(FieldId),
    /// To those whose field points at the record; `one` where no two can.
    From { field: FieldId, one: bool },
}

impl Look {
    /// The look that a request wants of `collection`. `hidden`: whether the caller sees hidden fields.
    ///
    /// # Errors
    /// `Invalid` with code `bad_fields`, `bad_expand` or `bad_embed`, the same for a name that is hidden from the caller
    /// as for one that is unknown.
    pub fn new(schema: &Schema, collection: &Collection, wanted: Wanted<'_>, hidden: bool) -> Result<Look> {
        let mut look = Look::all(hidden);
        if wanted == Wanted::default() && collection.output.is_plain() {
            return Ok(look);
        }
        let mut scope = Scope { schema, hidden, links: 0 };
        if !wanted.embed.is_some_and(|text| text.trim().is_empty()) {
            look.embed_defaults(&mut scope, collection);
        }
        let chosen = wanted.embed.map_or(Ok(Vec::new()), |text| embed::parse(&mut scope, collection, text))?;
        let named: Vec<FieldId> = chosen.iter().map(|(field, _)| *field).collect();
        for (field, link) in chosen {
            look.set_form(field, Form::Embedded(link));
        }
        if let Some(text) = wanted.expand {
            look.expand = expand::parse(&mut scope, collection, text)?;
        }
        match (wanted.fields, &collection.output.fields) {
            (Some(text), _) => fields::narrow(&mut look, &scope, collection, text)?,
            // What a request asks for is shown also where the default is without it.
            (None, Some(parts)) => {
                let embedded = named.into_iter().map(Part::Field).filter(|part| !parts.contains(part));
                look.mask.fields = Some(parts.iter().copied().chain(embedded).collect());
            }
            (None, None) => {}
        }
        look.forget_unseen();
        Ok(look)
    }

    /// Records as they are.
    pub fn all(hidden: bool) -> Look {
        Look { mask: Mask::all(hidden), forms: Vec::new(), expand: Vec::new() }
    }

    /// Whether its mask says it all.
    pub fn is_plain(&self) -> bool {
        self.forms.is_empty() && self.expand.is_empty()
    }

    /// The collections whose records it shows beside its own, at all levels.
    pub fn targets(&self) -> BTreeSet<CollectionId> {
        let mut found = BTreeSet::new();
        self.add_targets(&mut found);
        found
    }

    fn add_targets(&self, found: &mut BTreeSet<CollectionId>) {
        let embedded = self.forms.iter().filter_map(|(_, form)| match form {
            Form::Embedded(link) => Some(&**link),
            Form::Excerpt(_) | Form::Parts(_) => None,
        });
        for link in embedded.chain(&self.expand) {
            found.insert(link.target);
            link.look.add_targets(found);
        }
    }

    /// Leaves of it only what names a record.
    pub fn hide_fields(&mut self) {
        self.mask.hide_fields();
        self.forms.clear();
        self.expand.clear();
    }

    /// Leaves relations as ids, and nothing under `expand`.
    pub fn forget_relations(&mut self) {
        self.forms.retain(|(_, form)| !matches!(form, Form::Embedded(_)));
        self.expand.clear();
    }

    fn embed_defaults(&mut self, scope: &mut Scope<'_>, collection: &Collection) {
        for embed in &collection.output.embed {
            let Some(field) = collection.field_by_id(embed.field) else { continue };
            if let Some(mut link) = scope.forward(field) {
                link.look.mask.fields = Some(embed.parts.clone());
                self.set_form(field.id, Form::Embedded(Box::new(link)));
            }
        }
    }

    fn form(&self, field: FieldId) -> Option<&Form> {
        self.forms.iter().find(|(of, _)| *of == field).map(|(_, form)| form)
    }

    fn set_form(&mut self, field: FieldId, form: Form) {
        self.forms.retain(|(of, _)| *of != field);
        self.forms.push((field, form));
    }

    /// Drops the forms of fields that are not shown: nothing is read for them.
    fn forget_unseen(&mut self) {
        let mask = &self.mask;
        self.forms.retain(|(field, _)| mask.shows(Part::Field(*field)));
    }
}

/// What names mean while a look is made.
struct Scope<'a> {
    schema: &'a Schema,
    hidden: bool,
    /// Relations followed so far, in all.
    links: usize,
}

impl<'a> Scope<'a> {
    /// A field that the caller may know of.
    fn field<'c>(&self, collection: &'c Collection, name: &str) -> Option<&'c Field> {
        collection.field(name).filter(|field| field.is_seen(self.hidden))
    }

    /// A part of a record, by its name.
    fn part(&self, collection: &Collection, name: &str) -> Option<Part> {
        match name {
            "id" => Some(Part::Id),
            "collectionId" => Some(Part::CollectionId),
            "collectionName" => Some(Part::CollectionName),
            name => self.field(collection, name).map(|field| Part::Field(field.id)),
        }
    }

    /// Along a field, if it is a relation.
    fn forward(&mut self, field: &Field) -> Option<Link> {
        let FieldKind::Relation { collection, .. } = field.kind else { return None };
        Some(Link {
            name: field.name.clone(),
            way: Way::To(field.id),
            target: collection,
            look: Look::all(self.hidden),
        })
    }

    /// `orders_via_user`: against the relation `user` of `orders`, if that points at `target`.
    fn backward(&mut self, target: &Collection, name: &str) -> Option<Link> {
        let (source, field) = self.schema.referring(target, name, self.hidden)?;
        let alone = |index: &&Index| index.unique && index.fields.len() == 1;
        let one = !field.kind.is_list()
            && source.ready_indexes().filter(alone).any(|index| index.fields[0].field == field.id);
        let way = Way::From { field: field.id, one };
        Some(Link { name: name.into(), way, target: source.id, look: Look::all(self.hidden) })
    }

    /// Counts a relation that is followed.
    fn follow(&mut self, code: &'static str) -> Result<()> {
        self.links += 1;
        if self.links > limits::LINKS_MAX {
            let message = format!("an answer follows at most {} relations", limits::LINKS_MAX);
            return Err(Error::invalid(message).code(code));
        }
        Ok(())
    }

    fn target(&self, link: &Link, code: &'static str) -> Result<&'a Collection> {
        let target = self.schema.get(link.target).map(|target| &**target);
        target.ok_or_else(|| Error::invalid(format!("there is no relation {:?}", shown(&link.name))).code(code))
    }
}

/// A name that a client gave, as an error repeats it.
fn shown(name: &str) -> String {
    name.chars().take(limits::NAME_BYTES_MAX).collect()
}

/// # Errors
/// `Invalid` for a text that is longer than any honest one.
fn check_length(text: &str, what: &str, code: &'static str) -> Result<()> {
    if text.len() > limits::LOOK_BYTES_MAX {
        return Err(Error::invalid(format!("{what}: at most {} bytes", limits::LOOK_BYTES_MAX)).code(code));
    }
    Ok(())
}
