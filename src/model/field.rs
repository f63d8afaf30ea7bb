//! The fields of a collection and their types. Part of [`crate::model::schema`], whose form is stored.

use serde::{Deserialize, Serialize};

use crate::id::{CollectionId, FieldId};
use crate::model::pattern::Pattern;
use crate::time::Millis;

/// A field's definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Stable for ever: rows hold it, not the name.
    pub id: FieldId,
    /// As in JSON.
    pub name: Box<str>,
    /// Type and its options.
    #[serde(flatten)]
    pub kind: FieldKind,
    /// Whether null is refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// Never in an answer, but to superusers.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// What an absent value becomes at a create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultValue>,
    /// Other names accepted on input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Box<str>>,
    /// What is done to a text before it is checked, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sanitize: Vec<Sanitizer>,
    /// The expression that gives its value at every write; a client can't set it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computed: Option<Box<str>>,
}

/// A field's default: a checked value, the time of the write, or what an expression gives at a create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DefaultValue {
    /// As the definition gave it, already parsed for the field.
    Value(serde_json::Value),
    /// `@now`.
    Now,
    /// Evaluated on the new record.
    Expression(Box<str>),
}

/// A step of sanitizing a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sanitizer {
    /// White space at both ends goes.
    Trim,
    /// Unicode normal form C.
    Nfc,
    /// Lower case, as Unicode has it.
    Lower,
    /// Runs of white space become one space each.
    Collapse,
    /// All markup goes, its text stays.
    StripHtml,
    /// Markup stays as far as it can do no harm.
    SafeHtml,
}

/// A field's type with its options; in JSON under `type`, the options beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FieldKind {
    /// Any text. Lengths in characters.
    Text {
        /// Shortest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<usize>,
        /// Longest; `limits::TEXT_CHARS_DEFAULT_MAX` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<usize>,
        /// A regular expression that must match somewhere in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pattern: Option<Pattern>,
    },
    /// A number: 64-bit float, or with `integer` a whole number of 64 bits.
    Number {
        /// Whole numbers only, exact up to 2^63.
        #[serde(default, skip_serializing_if = "is_false")]
        integer: bool,
        /// Least.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// Greatest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// `true` or `false`.
    Bool {},
    /// A moment, to the millisecond.
    Date {
        /// Earliest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<Millis>,
        /// Latest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<Millis>,
    },
    /// The time of a write; never set by a client.
    Autodate {
        /// Set at a create.
        #[serde(default)]
        on_create: bool,
        /// Set at every update.
        #[serde(default)]
        on_update: bool,
    },
    /// One or some of given texts.
    Select {
        /// The texts.
        values: Vec<Box<str>>,
        /// Over 1: the value is a list.
        #[serde(default = "one")]
        max_select: usize,
        /// Of a list: fewest.
        #[serde(default)]
        min_select: usize,
    },
    /// The id, or a list of ids, of records of a collection.
    Relation {
        /// Of which.
        collection: CollectionId,
        /// Over 1: the value is a list.
        #[serde(default = "one")]
        max_select: usize,
        /// Of a list: fewest.
        #[serde(default)]
        min_select: usize,
        /// What the deletion of a target does here.
        #[serde(default)]
        on_delete: OnDelete,
    },
    /// Any JSON.
    Json {
        /// Bytes of its compact text at most; `limits::RECORD_BYTES_MAX` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_size: Option<usize>,
    },
    /// An e-mail address.
    Email {},
    /// An absolute http or https URL.
    Url {},
    /// Rich text: HTML that can do no harm. Lengths in characters.
    Editor {
        /// Longest; `limits::EDITOR_CHARS_DEFAULT_MAX` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<usize>,
    },
    /// A place: longitude and latitude, degrees.
    GeoPoint {},
    /// A password, of which only the hash is stored. Lengths in characters. A [`Field::is_secret`] kind.
    Password {
        /// Shortest; `limits::PASSWORD_CHARS_MIN` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<usize>,
        /// Longest; `limits::PASSWORD_CHARS_MAX` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<usize>,
    },
    /// A text of the server's own making that nobody is shown. A [`Field::is_secret`] kind.
    Secret {},
}

/// What happens to a record whose relation's target is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnDelete {
    /// The deletion is refused: 409.
    #[default]
    Restrict,
    /// It is deleted too.
    Cascade,
    /// The id is taken out of it; refused where that leaves a required field empty.
    SetNull,
}

impl Field {
    /// Whether a new record can't be without a client's value.
    pub fn is_asked_for(&self) -> bool {
        self.required && self.default.is_none() && !self.is_set_by_server()
    }

    /// Whether a client can't set it.
    pub fn is_set_by_server(&self) -> bool {
        self.computed.is_some() || matches!(self.kind, FieldKind::Autodate { .. } | FieldKind::Secret {})
    }

    /// Whether nobody sees it, whatever they may: it is in no answer and has no name in an expression or an order.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, FieldKind::Password { .. } | FieldKind::Secret {})
    }

    /// Whether a caller sees it and knows its name; `hidden` says whether that caller sees hidden fields.
    pub fn is_seen(&self, hidden: bool) -> bool {
        (hidden || !self.hidden) && !self.is_secret()
    }
}

impl FieldKind {
    /// Whether the value is a list.
    pub fn is_list(&self) -> bool {
        matches!(self, FieldKind::Select { max_select, .. } | FieldKind::Relation { max_select, .. } if *max_select > 1)
    }

    /// The type's name, as in definitions.
    pub fn name(&self) -> &'static str {
        match self {
            FieldKind::Text { .. } => "text",
            FieldKind::Number { .. } => "number",
            FieldKind::Bool {} => "bool",
            FieldKind::Date { .. } => "date",
            FieldKind::Autodate { .. } => "autodate",
            FieldKind::Select { .. } => "select",
            FieldKind::Relation { .. } => "relation",
            FieldKind::Json { .. } => "json",
            FieldKind::Email {} => "email",
            FieldKind::Url {} => "url",
            FieldKind::Editor { .. } => "editor",
            FieldKind::GeoPoint {} => "geoPoint",
            FieldKind::Password { .. } => "password",
            FieldKind::Secret {} => "secret",
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn one() -> usize {
    1
}
