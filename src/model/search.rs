//! What a collection is searched by: which of its fields, with what weight and in which language. Part of
//! [`crate::model::schema`], whose form is stored; how text is cut into words is `search::text`.
//!
//! Invariant: a field of it is one of the collection's, of a type that [`is_searchable`] or [`is_facet`] allows.

use serde::{Deserialize, Serialize};

use crate::id::FieldId;
use crate::model::field::FieldKind;

/// The `search` of a definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// In the order of the definition; at least one.
    pub fields: Vec<SearchField>,
    /// Fields whose values may be counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facets: Vec<FieldId>,
}

/// A field that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchField {
    /// Which.
    pub field: FieldId,
    /// How much a word in it counts, against 1; over 0 and at most `limits::SEARCH_BOOST_MAX`.
    pub boost: f64,
    /// What its words are inflected by; none are, without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

/// A language whose words are known in all their forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Arabic.
    Ar,
    /// Danish.
    Da,
    /// German.
    De,
    /// Greek.
    El,
    /// English.
    En,
    /// Spanish.
    Es,
    /// Finnish.
    Fi,
    /// French.
    Fr,
    /// Hungarian.
    Hu,
    /// Italian.
    It,
    /// Dutch.
    Nl,
    /// Norwegian.
    No,
    /// Portuguese.
    Pt,
    /// Romanian.
    Ro,
    /// Russian.
    Ru,
    /// Swedish.
    Sv,
    /// Tamil.
    Ta,
    /// Turkish.
    Tr,
}

impl Language {
    /// Each with its name in a definition (ISO 639-1).
    pub const ALL: [(&'static str, Language); 18] = [
        ("ar", Language::Ar),
        ("da", Language::Da),
        ("de", Language::De),
        ("el", Language::El),
        ("en", Language::En),
        ("es", Language::Es),
        ("fi", Language::Fi),
        ("fr", Language::Fr),
        ("hu", Language::Hu),
        ("it", Language::It),
        ("nl", Language::Nl),
        ("no", Language::No),
        ("pt", Language::Pt),
        ("ro", Language::Ro),
        ("ru", Language::Ru),
        ("sv", Language::Sv),
        ("ta", Language::Ta),
        ("tr", Language::Tr),
    ];

    /// The language of a name.
    pub fn of_name(name: &str) -> Option<Language> {
        Language::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, language)| language)
    }

    /// Its name in a definition.
    pub fn name(self) -> &'static str {
        Language::ALL.into_iter().find(|(_, language)| *language == self).map_or("", |(name, _)| name)
    }
}

impl Search {
    /// The setting of a field.
    pub fn field(&self, field: FieldId) -> Option<&SearchField> {
        self.fields.iter().find(|one| one.field == field)
    }

    /// Every field that it names.
    pub fn each_field(&mut self) -> impl Iterator<Item = &mut FieldId> {
        self.fields.iter_mut().map(|one| &mut one.field).chain(&mut self.facets)
    }
}

/// Whether there are words in a field of this type.
pub fn is_searchable(kind: &FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Text { .. }
            | FieldKind::Editor { .. }
            | FieldKind::Email {}
            | FieldKind::Url {}
            | FieldKind::Select { .. }
    )
}

/// Whether the values of a field of this type may be counted.
pub fn is_facet(kind: &FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Text { .. }
            | FieldKind::Email {}
            | FieldKind::Url {}
            | FieldKind::Select { .. }
            | FieldKind::Relation { .. }
            | FieldKind::Bool {}
            | FieldKind::Number { .. }
    )
}
