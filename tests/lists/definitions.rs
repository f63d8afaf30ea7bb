//! The three collections of a round: their fields are always the same, their indexes and rules are made at random.

use serde_json::{Value as Json, json};

use crate::filters;
use crate::naive;
use crate::support::rng::Rng;

pub(crate) const NAMES: [&str; 3] = ["teams", "users", "orders"];

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Holds {
    Text,
    Whole,
    Number,
    Flag,
    Date,
    /// Set by the server at a create.
    Made,
    Choice,
    Choices,
    One(&'static str),
    Many(&'static str),
    Json,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) holds: Holds,
    /// Its record goes with the record it points at.
    pub(crate) cascades: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) fields: Vec<(&'static str, bool)>,
    pub(crate) unique: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) fields: Vec<Field>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) list_rule: Option<String>,
    pub(crate) view_rule: Option<String>,
}

pub(crate) const CHOICES: [&str; 3] = ["new", "paid", "sent"];
pub(crate) const TAGS: [&str; 3] = ["a", "b", "Ab"];
/// Of users, and not for everybody.
pub(crate) const HIDDEN: &str = "secret";

fn fields_of(name: &str) -> &'static [(&'static str, Holds)] {
    match name {
        "teams" => &[
            ("name", Holds::Text),
            ("size", Holds::Whole),
            ("open", Holds::Flag),
            ("tags", Holds::Choices),
            ("meta", Holds::Json),
        ],
        "users" => &[
            ("name", Holds::Text),
            ("age", Holds::Whole),
            ("rank", Holds::Number),
            ("active", Holds::Flag),
            ("born", Holds::Date),
            ("roles", Holds::Choices),
            ("team", Holds::One("teams")),
            ("boss", Holds::One("users")),
            (HIDDEN, Holds::Text),
        ],
        _ => &[
            ("status", Holds::Choice),
            ("total", Holds::Number),
            ("n", Holds::Whole),
            ("at", Holds::Date),
            ("flag", Holds::Flag),
            ("note", Holds::Text),
            ("tags", Holds::Choices),
            ("user", Holds::One("users")),
            ("team", Holds::One("teams")),
            ("watchers", Holds::Many("users")),
            ("meta", Holds::Json),
            ("made", Holds::Made),
        ],
    }
}

impl Holds {
    pub(crate) fn is_list(self) -> bool {
        matches!(self, Holds::Choices | Holds::Many(_))
    }

    pub(crate) fn has_order(self) -> bool {
        !self.is_list() && self != Holds::Json
    }
}

impl Definition {
    pub(crate) fn random(rng: &mut Rng, name: &'static str) -> Definition {
        let field = |rng: &mut Rng, (name, holds): (&'static str, Holds)| {
            let cascades = matches!(holds, Holds::One(_)) && rng.once_in(6);
            Field { name, holds, cascades }
        };
        let fields: Vec<Field> = fields_of(name).iter().map(|one| field(rng, *one)).collect();
        let indexes = (0..rng.below(5)).map(|_| index(rng, &fields)).collect();
        Definition { name, fields, indexes, list_rule: None, view_rule: None }
    }

    /// Rules of all kinds, over all collections.
    pub(crate) fn make_rules(&mut self, rng: &mut Rng) {
        let mut rule = |of_two: u64| match rng.below(6) {
            0 if of_two == 1 => None,
            1 => Some(String::new()),
            _ => Some(filters::rule(rng, self.name)),
        };
        (self.list_rule, self.view_rule) = (rule(0), rule(1));
        if rng.once_in(12) {
            self.list_rule = None;
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The body that makes it.
    pub(crate) fn json(&self) -> Json {
        json!({
            "name": self.name, "fields": self.fields_json(), "indexes": self.indexes_json(),
            "listRule": self.list_rule, "viewRule": self.view_rule,
        })
    }

    fn fields_json(&self) -> Vec<Json> {
        self.fields.iter().map(field_json).collect()
    }

    fn indexes_json(&self) -> Vec<Json> {
        self.indexes.iter().enumerate().map(|(at, one)| index_json(at, one)).collect()
    }

    /// What the naive interpreter has to know.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (String, naive::Kind)> {
        self.fields.iter().map(|field| {
            let kind = match field.holds {
                Holds::Choices => naive::Kind::List,
                Holds::One(to) => naive::Kind::To(to.to_owned(), false),
                Holds::Many(to) => naive::Kind::To(to.to_owned(), true),
                _ => naive::Kind::One,
            };
            (field.name.to_owned(), kind)
        })
    }
}

fn field_json(field: &Field) -> Json {
    let name = field.name;
    let on_delete = if field.cascades { "cascade" } else { "setNull" };
    match field.holds {
        Holds::Text => json!({"name": name, "type": "text", "hidden": name == HIDDEN}),
        Holds::Whole => json!({"name": name, "type": "number", "integer": true}),
        Holds::Number => json!({"name": name, "type": "number"}),
        Holds::Flag => json!({"name": name, "type": "bool"}),
        Holds::Date => json!({"name": name, "type": "date"}),
        Holds::Made => json!({"name": name, "type": "autodate", "onCreate": true}),
        Holds::Choice => json!({"name": name, "type": "select", "values": CHOICES}),
        Holds::Choices => json!({"name": name, "type": "select", "values": TAGS, "maxSelect": 3}),
        Holds::One(to) => json!({"name": name, "type": "relation", "collection": to, "onDelete": on_delete}),
        Holds::Many(to) => {
            json!({"name": name, "type": "relation", "collection": to, "onDelete": on_delete, "maxSelect": 3})
        }
        Holds::Json => json!({"name": name, "type": "json"}),
    }
}

fn index_json(at: usize, index: &Index) -> Json {
    let part = |(name, descending): &(&str, bool)| format!("{}{name}", if *descending { "-" } else { "" });
    let fields: Vec<String> = index.fields.iter().map(part).collect();
    json!({"name": format!("i{at}"), "fields": fields, "unique": index.unique})
}

/// One to three fields, each in either direction; a list stands alone, and what is unique has enough values to be.
fn index(rng: &mut Rng, fields: &[Field]) -> Index {
    let pick = |rng: &mut Rng| fields[rng.below(fields.len() as u64) as usize];
    let mut parts: Vec<(&'static str, bool)> = Vec::new();
    for _ in 0..1 + rng.below(3) {
        let field = pick(rng);
        if field.holds.is_list() && parts.is_empty() {
            return Index { fields: vec![(field.name, false)], unique: false };
        }
        if field.holds.has_order() && parts.iter().all(|(name, _)| *name != field.name) {
            parts.push((field.name, rng.once_in(2)));
        }
    }
    if parts.is_empty() {
        parts.push((fields[0].name, false));
    }
    // Two records may be made in one millisecond.
    let unique = parts.len() > 1 && parts.iter().all(|(name, _)| *name != "made") && rng.once_in(4);
    Index { fields: parts, unique }
}
