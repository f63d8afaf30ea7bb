//! Random filters and rules as trees that can be made smaller: a failing one is shown as small as it still fails.

use serde_json::Value as Json;

use crate::definitions::{CHOICES, HIDDEN, Holds, NAMES};
use crate::model::{self, Model, any_key, pick};
use crate::support::rng::Rng;

/// A condition.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Atom(String),
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
}

impl Filter {
    pub(crate) fn text(&self) -> String {
        let joined = |parts: &[Filter], by: &str| {
            let parts: Vec<String> = parts.iter().map(Filter::part).collect();
            parts.join(by)
        };
        match self {
            Filter::Atom(text) => text.clone(),
            Filter::All(parts) => joined(parts, " && "),
            Filter::Any(parts) => joined(parts, " || "),
            Filter::Not(of) => format!("!{}", of.part()),
        }
    }

    fn part(&self) -> String {
        match self {
            Filter::Atom(text) => format!("({text})"),
            Filter::Not(_) => self.text(),
            _ => format!("({})", self.text()),
        }
    }

    /// All that are this one with a part less.
    pub(crate) fn smaller(&self) -> Vec<Filter> {
        match self {
            Filter::Atom(_) => Vec::new(),
            Filter::Not(of) => {
                let inner = of.smaller().into_iter().map(|one| Filter::Not(Box::new(one)));
                std::iter::once((**of).clone()).chain(inner).collect()
            }
            Filter::All(parts) => smaller_parts(parts, Filter::All),
            Filter::Any(parts) => smaller_parts(parts, Filter::Any),
        }
    }
}

fn smaller_parts(parts: &[Filter], make: impl Fn(Vec<Filter>) -> Filter) -> Vec<Filter> {
    let mut found = parts.to_vec();
    for at in 0..parts.len() {
        if parts.len() > 2 {
            let mut fewer = parts.to_vec();
            fewer.remove(at);
            found.push(make(fewer));
        }
        for one in parts[at].smaller() {
            let mut other = parts.to_vec();
            other[at] = one;
            found.push(make(other));
        }
    }
    found
}

/// A filter over a collection with records.
pub(crate) fn filter(rng: &mut Rng, model: &Model, collection: &'static str, anonymous: bool) -> Filter {
    let make = Make { model: Some(model), collection, sees_hidden: !anonymous };
    let depth = rng.below(4);
    let mut filter = make.condition(rng, depth);
    // What an index can decide, and the rest.
    if rng.once_in(3) {
        let mut parts: Vec<Filter> = (0..1 + rng.below(2)).map(|_| make.by_index(rng)).collect();
        parts.push(filter);
        filter = if rng.once_in(4) { Filter::Any(parts) } else { Filter::All(parts) };
    }
    filter
}

/// A rule for a collection that has no records yet, most of them with many matches.
pub(crate) fn rule(rng: &mut Rng, collection: &'static str) -> String {
    let make = Make { model: None, collection, sees_hidden: true };
    let depth = rng.below(2);
    let condition = make.condition(rng, depth);
    let text = match rng.below(3) {
        0 => condition,
        1 => Filter::Not(Box::new(condition)),
        _ => Filter::Any(vec![condition, make.atom(rng)]),
    }
    .text();
    match rng.below(6) {
        0 => format!("@request.method = 'GET' && ({text})"),
        1 => format!("@request.auth.id != '' || ({text})"),
        _ => text,
    }
}

/// A path from a record and what is at its end.
struct Path {
    text: String,
    holds: Holds,
    /// Whether it leads to more than one.
    many: bool,
}

struct Make<'a> {
    model: Option<&'a Model>,
    collection: &'static str,
    sees_hidden: bool,
}

const ORDERS: [&str; 6] = ["=", "!=", "<", "<=", ">", ">="];

/// The fields that a path may end at, or lead on from.
fn fields(collection: &str) -> &'static [(&'static str, Holds)] {
    match collection {
        "teams" => &[
            ("name", Holds::Text),
            ("size", Holds::Whole),
            ("open", Holds::Flag),
            ("tags", Holds::Choices),
            ("id", Holds::Text),
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
            ("id", Holds::Text),
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
            ("made", Holds::Made),
            ("id", Holds::Text),
        ],
    }
}

/// Ways over one relation: the text, where it leads, whether to many.
fn ways(collection: &str) -> &'static [(&'static str, &'static str, bool)] {
    match collection {
        "teams" => &[("users_via_team", "users", true), ("orders_via_team", "orders", true)],
        "users" => &[
            ("team", "teams", false),
            ("team", "teams", false),
            ("boss", "users", false),
            ("boss", "users", false),
            ("users_via_boss", "users", true),
            ("orders_via_user", "orders", true),
            ("orders_via_watchers", "orders", true),
        ],
        _ => &[
            ("user", "users", false),
            ("user", "users", false),
            ("team", "teams", false),
            ("watchers", "users", true),
            ("watchers", "users", true),
        ],
    }
}

/// Whether a way begins in a collection that is defined after that one.
fn is_defined_later(way: &str, than: &str) -> bool {
    let place = |name: &str| NAMES.iter().position(|known| *known == name);
    way.split_once("_via_").is_some_and(|(source, _)| place(source) > place(than))
}

impl Make<'_> {
    /// A field of the record itself, or one over up to two relations.
    fn path(&self, rng: &mut Rng) -> Path {
        let (mut text, mut collection, mut many) = (String::new(), self.collection, false);
        let hops = [0, 0, 0, 0, 0, 1, 1, 2][rng.below(8) as usize];
        for _ in 0..hops {
            let (way, to, is_many) = *pick(rng, ways(collection));
            // Back and back again is much work for no new meaning; a rule knows only what was defined before it.
            let is_later = self.model.is_none() && is_defined_later(way, self.collection);
            if is_many && many || is_later {
                continue;
            }
            text.push_str(way);
            text.push('.');
            (collection, many) = (to, many || is_many);
        }
        let (name, holds) = *pick(rng, fields(collection));
        if name == HIDDEN && !self.sees_hidden {
            return self.path(rng);
        }
        text.push_str(name);
        Path { text, holds, many }
    }

    /// Such a path, if some are there to be met by chance.
    fn path_where(&self, rng: &mut Rng, fits: impl Fn(&Path) -> bool) -> Option<Path> {
        (0..100).map(|_| self.path(rng)).find(fits)
    }

    fn condition(&self, rng: &mut Rng, depth: u64) -> Filter {
        let parts = |rng: &mut Rng| (0..2 + rng.below(2)).map(|_| self.condition(rng, depth - 1)).collect();
        match rng.below(if depth == 0 { 1 } else { 8 }) {
            0 => self.leaf(rng),
            1..4 => Filter::All(parts(rng)),
            4..7 => Filter::Any(parts(rng)),
            _ => Filter::Not(Box::new(self.condition(rng, depth - 1))),
        }
    }

    fn leaf(&self, rng: &mut Rng) -> Filter {
        if rng.once_in(3) { self.by_index(rng) } else { self.atom(rng) }
    }

    /// A comparison of a field with a value, of the fields of an index if there is one.
    fn by_index(&self, rng: &mut Rng) -> Filter {
        let index = self.model.and_then(|model| {
            let indexes = &model.definition(self.collection).indexes;
            (!indexes.is_empty() && !rng.once_in(4)).then(|| pick(rng, indexes))
        });
        let is_known = |name: &str| name != HIDDEN || self.sees_hidden;
        let own = |(name, holds): &&(&str, Holds)| holds.has_order() && is_known(name);
        let (name, holds) = match index {
            Some(index) => {
                let at = rng.below(index.fields.len() as u64).min(rng.below(2)) as usize;
                let name = index.fields[at].0;
                let known = fields(self.collection).iter().find(|(known, _)| *known == name && is_known(name));
                *known.unwrap_or(&("id", Holds::Text))
            }
            None => {
                let plain: Vec<_> = fields(self.collection).iter().filter(own).collect();
                **pick(rng, &plain)
            }
        };
        let path = Path { text: name.to_owned(), holds, many: false };
        if holds.is_list() {
            return Filter::Atom(format!("{name} ?= {}", self.literal(rng, &path)));
        }
        let path = if holds.is_list() { Path { text: "id".into(), holds: Holds::Text, many: false } } else { path };
        Filter::Atom(match rng.below(9) {
            0 => format!("{} {} null", path.text, pick(rng, &["=", "!="])),
            1 => format!("{} {}in {}", path.text, self.or_not(rng), self.list(rng, &path)),
            2 if holds == Holds::Text => {
                format!("{} ~ '{}%'", path.text, pick(rng, &["a", "al", "1"]))
            }
            3 if path.holds != Holds::Flag => {
                let flipped = pick(rng, &ORDERS);
                format!("{} {flipped} {}", self.literal(rng, &path), path.text)
            }
            4..6 if path.holds != Holds::Flag => {
                format!("{} {} {}", path.text, pick(rng, &ORDERS), self.literal(rng, &path))
            }
            _ => format!("{} = {}", path.text, self.literal(rng, &path)),
        })
    }

    fn or_not(&self, rng: &mut Rng) -> &'static str {
        if rng.once_in(4) { "not " } else { "" }
    }

    /// A value as text: one that is there as often as one that may be.
    fn literal(&self, rng: &mut Rng, path: &Path) -> String {
        let holds = match path.holds {
            Holds::Choices => return format!("'{}'", pick(rng, &["a", "b", "Ab", "c"])),
            Holds::Many(to) => Holds::One(to),
            holds => holds,
        };
        match holds {
            Holds::One(_) => self.id(rng, holds),
            Holds::Text if path.text.ends_with("id") && path.text.rsplit('.').next() == Some("id") => {
                self.id(rng, Holds::One(self.collection))
            }
            Holds::Choice if rng.once_in(8) => "'old'".to_owned(),
            Holds::Whole if rng.once_in(6) => (*pick(rng, &["1.5", "-0.5", "1e300", "9007199254740992.0"])).to_owned(),
            Holds::Number if rng.once_in(6) => (*pick(rng, &["1", "9007199254740993", "-1", "100"])).to_owned(),
            // Not beside what was made in this very millisecond.
            Holds::Date if rng.once_in(6) => (*pick(rng, &["@now", "now()"])).to_owned(),
            holds => loop {
                let value = model::random_value(rng, holds, |_, _| None);
                if value != Json::Null {
                    return model::literal(holds, &value);
                }
            },
        }
    }

    fn id(&self, rng: &mut Rng, of: Holds) -> String {
        let Holds::One(to) = of else { panic!("of a relation") };
        let known = self.model.and_then(|model| any_key(rng, model.rows(to)));
        match known {
            Some(id) if !rng.once_in(8) => format!("'{id}'"),
            _ => format!("'{}'", pick(rng, &["a", "b0", "-", "z_", "Zz"])),
        }
    }

    fn list(&self, rng: &mut Rng, path: &Path) -> String {
        let items = (0..1 + rng.below(4)).map(|_| self.literal(rng, path));
        // A list is of dates or of texts that are dates, not of both.
        let items: Vec<String> = items.filter(|item| !item.contains("now")).collect();
        format!("[{}]", items.join(", "))
    }

    fn sign(&self, rng: &mut Rng, path: &Path) -> String {
        let equality = path.holds == Holds::Flag;
        let sign = if equality { *pick(rng, &["=", "!="]) } else { *pick(rng, &ORDERS) };
        let any = if path.many || path.holds.is_list() { rng.once_in(2) } else { rng.once_in(10) };
        format!("{}{sign}", if any { "?" } else { "" })
    }

    fn atom(&self, rng: &mut Rng) -> Filter {
        match self.atom_text(rng) {
            Some(text) => Filter::Atom(text),
            None => self.by_index(rng),
        }
    }

    fn atom_text(&self, rng: &mut Rng) -> Option<String> {
        let is_text = |path: &Path| {
            matches!(path.holds, Holds::Text | Holds::Choice | Holds::Choices | Holds::One(_) | Holds::Many(_))
        };
        let is_number = |path: &Path| matches!(path.holds, Holds::Whole | Holds::Number);
        let one = |path: &Path| !path.many && !path.holds.is_list();
        Some(match rng.below(15) {
            0..4 => {
                let path = self.path(rng);
                format!("{} {} {}", path.text, self.sign(rng, &path), self.literal(rng, &path))
            }
            4 => {
                let path = self.path(rng);
                format!("{} {} null", path.text, pick(rng, &["=", "!=", "?=", "?!="]))
            }
            5 => {
                let path = self.path_where(rng, is_text)?;
                let form = pick(rng, &["'a'", "'a%'", "'%b'", "'10\\%'", "''", "'B'", "'a%h%t'", "'%'"]);
                format!("{} {} {form}", path.text, pick(rng, &["~", "~", "!~", "?~"]))
            }
            6 => {
                let path = self.path(rng);
                format!("{} {}in {}", path.text, self.or_not(rng), self.list(rng, &path))
            }
            7 => {
                let path = self.path_where(rng, |path| path.holds.is_list() && !path.text.contains('.'))?;
                let items: Vec<String> = (0..rng.below(3)).map(|_| self.literal(rng, &path)).collect();
                match rng.below(4) {
                    0 => format!("{} = [{}]", path.text, items.join(", ")),
                    1 => format!("{}:length {} {}", path.text, pick(rng, &ORDERS), rng.below(3)),
                    2 => format!("{}:each = {}", path.text, self.literal(rng, &path)),
                    _ => format!("{} in {}", self.literal(rng, &path), path.text),
                }
            }
            8 => {
                let a = self.path_where(rng, |path| is_number(path) && one(path))?;
                let b = self.path_where(rng, |path| is_number(path) && one(path))?;
                match rng.below(3) {
                    0 => format!("{} {} {}", a.text, pick(rng, &ORDERS), b.text),
                    1 => format!("{} + 1 {} {}", a.text, pick(rng, &ORDERS), b.text),
                    _ => format!("{} % 2 {} 0", a.text, pick(rng, &["=", "!="])),
                }
            }
            9 => {
                let path = self.path_where(rng, |path| is_number(path) && path.many)?;
                let sum = pick(rng, &["sum", "max", "min", "avg", "count"]);
                format!("{sum}({}) {} {}", path.text, pick(rng, &ORDERS), rng.below(4))
            }
            10 => {
                let path = self.path_where(rng, |path| is_text(path) && one(path))?;
                let text = &path.text;
                match rng.below(6) {
                    0 => format!("lower({text}) = 'ab'"),
                    1 => format!("len({text}) {} {}", pick(rng, &ORDERS), rng.below(4)),
                    2 => format!("contains({text}, 'a')"),
                    3 => format!("startsWith({text}, '{}')", pick(rng, &["a", "al", "n", ""])),
                    4 => format!("matches({text}, '^[a-z]$')"),
                    _ => format!("coalesce({text}, 'a') = 'a'"),
                }
            }
            11 => {
                let path = self.path_where(rng, |path| matches!(path.holds, Holds::Date | Holds::Made) && one(path))?;
                match rng.below(4) {
                    0 => format!("year({}) {} 2001", path.text, pick(rng, &ORDERS)),
                    1 => format!("date({}) = '2001-01-01'", path.text),
                    2 if path.holds == Holds::Date => format!("{} {} @now", path.text, pick(rng, &ORDERS)),
                    _ => format!("addDays({}, 58) > '2001-02-28'", path.text),
                }
            }
            12 if self.collection != "users" => match rng.below(6) {
                0 => format!("meta.num {} {}", pick(rng, &ORDERS), rng.below(4)),
                1 => format!("meta.tags ?= '{}'", pick(rng, &["a", "b"])),
                2 => "meta.flag".to_owned(),
                3 => format!("meta.nums.0 {} 1", pick(rng, &["=", "!=", ">"])),
                4 => format!("meta {} null", pick(rng, &["=", "!="])),
                _ => format!("meta.text = '{}'", pick(rng, &["a", "Ab"])),
            },
            12 | 13 if self.collection == "orders" => match rng.below(4) {
                0 => "flag".to_owned(),
                1 => "user.boss = user".to_owned(),
                2 => format!("status = note || status = '{}'", pick(rng, &CHOICES)),
                _ => format!("if(flag, n, total) {} 1", pick(rng, &ORDERS)),
            },
            _ => match rng.below(8) {
                0 => "1 = 1".to_owned(),
                1 => "1 > 2".to_owned(),
                2 => "id != ''".to_owned(),
                3 => format!("collectionName = '{}'", self.collection),
                _ => {
                    let path = self.path(rng);
                    format!("{}:isset", path.text)
                }
            },
        })
    }
}

/// Up to three fields, most of the time the beginning of an index.
pub(crate) fn sort(
    rng: &mut Rng,
    model: &Model,
    collection: &'static str,
    anonymous: bool,
) -> Vec<(&'static str, bool)> {
    let definition = model.definition(collection);
    let mut keys: Vec<(&'static str, bool)> = Vec::new();
    if !definition.indexes.is_empty() && rng.once_in(2) {
        let index = pick(rng, &definition.indexes);
        let backwards = rng.once_in(2);
        let length = 1 + rng.below(index.fields.len() as u64) as usize;
        let parts = index.fields[..length].iter().map(|(name, descending)| (*name, *descending != backwards));
        keys = parts.filter(|(name, _)| definition.field(name).is_some_and(|field| field.holds.has_order())).collect();
    }
    for _ in 0..rng.below(3) {
        let (name, holds) = *pick(rng, fields(collection));
        if holds.has_order() && keys.iter().all(|(known, _)| *known != name) {
            keys.push((name, rng.once_in(2)));
        }
    }
    keys.retain(|(name, _)| *name != HIDDEN || !anonymous);
    keys
}

pub(crate) fn sort_text(sort: &[(&'static str, bool)]) -> String {
    let parts: Vec<String> =
        sort.iter().map(|(name, descending)| format!("{}{name}", if *descending { "-" } else { "" })).collect();
    parts.join(",")
}
