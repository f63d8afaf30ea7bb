//! What a name means: a field of the record, a path through relations into json, a part of the request, the clock.
//!
//! Invariant: a hidden field is the same as an unknown one to a scope that doesn't see it, wherever it stands in a path.

use crate::limits;
use crate::model::schema::{Collection, Field, FieldKind};
use crate::model::value::Value;

use super::Fault;
use super::compile::{Compiler, Typed};
use super::functions::{Function, shown};
use super::node::{End, From, Hop, Moment, Node, Track};
use super::tree::{Modifier, Name};
use super::types::{Many, Scalar, Type};

const MOMENTS: [(&str, Moment, Type); 16] = [
    ("@now", Moment::Now, Type::DATE),
    ("@yesterday", Moment::Yesterday, Type::DATE),
    ("@tomorrow", Moment::Tomorrow, Type::DATE),
    ("@second", Moment::Second, Type::NUMBER),
    ("@minute", Moment::Minute, Type::NUMBER),
    ("@hour", Moment::Hour, Type::NUMBER),
    ("@weekday", Moment::Weekday, Type::NUMBER),
    ("@day", Moment::Day, Type::NUMBER),
    ("@month", Moment::Month, Type::NUMBER),
    ("@year", Moment::Year, Type::NUMBER),
    ("@todayStart", Moment::TodayStart, Type::DATE),
    ("@todayEnd", Moment::TodayEnd, Type::DATE),
    ("@monthStart", Moment::MonthStart, Type::DATE),
    ("@monthEnd", Moment::MonthEnd, Type::DATE),
    ("@yearStart", Moment::YearStart, Type::DATE),
    ("@yearEnd", Moment::YearEnd, Type::DATE),
];

impl<'s> Compiler<'s> {
    /// A name with its modifier.
    pub(super) fn name(&mut self, name: &Name<'_>) -> Result<Typed, Fault> {
        let plain = self.plain_name(name)?;
        self.modified(plain, name)
    }

    fn plain_name(&mut self, name: &Name<'_>) -> Result<Typed, Fault> {
        let collection = self.scope.collection;
        let Some(special) = name.path.strip_prefix('@') else {
            let (track, is) = self.resolve(collection, name.at, name.path)?;
            if let Some(field) = track.first_field() {
                self.uses.field(field);
            }
            return Ok(Typed { node: Node::Track(From::Row, track), is });
        };
        if let Some((_, moment, is)) = MOMENTS.iter().find(|(known, ..)| *known == name.path) {
            self.uses.clock = true;
            return Ok(Typed { node: Node::Moment(*moment), is: *is });
        }
        let unknown = || Fault::new(name.at, format!("there is no {:?}", shown(name.path)));
        if let Some(path) = special.strip_prefix("old.") {
            self.uses.old = true;
            let (track, is) = self.resolve(collection, name.at + "@old.".len(), path)?;
            return Ok(Typed { node: Node::Track(From::Old, track), is });
        }
        let request = special.strip_prefix("request.").ok_or_else(unknown)?;
        self.uses.request = true;
        match request.split_once('.') {
            None if request == "method" => Ok(Typed { node: Node::Method, is: Type::TEXT }),
            Some(("query", key)) => Ok(Typed { node: Node::Query(key.into()), is: Type::ANY }),
            Some(("body", path)) => {
                self.uses.body = true;
                Ok(self.body(path))
            }
            Some(("auth", path)) => self.caller(name.at + "@request.auth.".len(), path),
            _ => Err(unknown()),
        }
    }

    /// A field that was sent has the field's type; what is no field may be anything.
    fn body(&self, path: &str) -> Typed {
        let mut parts = path.split('.');
        let first = parts.next().unwrap_or_default();
        let keys: Box<[Box<str>]> = parts.map(Box::from).collect();
        let field = self.visible(self.scope.collection, first).filter(|_| keys.is_empty());
        let is = field.map_or(Type::ANY, |field| Type::of_field(&field.kind));
        Typed { node: Node::Body(first.into(), keys), is }
    }

    /// Resolved for each collection that a caller may come from; of those that have no such name it is null.
    fn caller(&mut self, at: usize, path: &str) -> Result<Typed, Fault> {
        if path == "id" && self.scope.callers.is_empty() {
            return Ok(Typed { node: Node::Caller(Box::new([])), is: Type::TEXT });
        }
        let mut tracks = Vec::new();
        let mut is: Option<Type> = None;
        let mut fault = None;
        for collection in self.scope.callers {
            match self.resolve(collection, at, path) {
                Ok((track, found)) => {
                    tracks.push((collection.id, track));
                    is = Some(match is {
                        None => found,
                        Some(other) if other == found => found,
                        Some(_) => Type::ANY,
                    });
                }
                Err(other) => fault = Some(other),
            }
        }
        match (is, fault) {
            (Some(is), _) => Ok(Typed { node: Node::Caller(tracks.into()), is }),
            (None, Some(fault)) => Err(fault),
            (None, None) => Err(Fault::new(at, "no collection has callers yet, so @request.auth has an id only")),
        }
    }

    fn visible<'c>(&self, collection: &'c Collection, name: &str) -> Option<&'c Field> {
        collection.field(name).filter(|field| field.is_seen(self.scope.sees_hidden))
    }

    /// A path from a record of `collection`; `at` is where it begins in the text.
    pub(super) fn resolve(
        &mut self,
        mut collection: &'s Collection,
        at: usize,
        path: &str,
    ) -> Result<(Track, Type), Fault> {
        let mut hops = Vec::new();
        let mut many = false;
        let mut place = at;
        let mut rest = path;
        loop {
            let (name, behind) = match rest.split_once('.') {
                Some((name, behind)) => (name, Some(behind)),
                None => (rest, None),
            };
            let unknown = || Fault::new(place, format!("there is no field {:?}", shown(name)));
            if hops.len() > limits::EXPRESSION_HOPS_MAX {
                let message = format!("a path goes over at most {} relations", limits::EXPRESSION_HOPS_MAX);
                return Err(Fault::new(place, message));
            }
            if let Some(end) = own(collection, name) {
                if behind.is_some() {
                    return Err(Fault::new(place, format!("{name} has no parts")));
                }
                return Ok(finished(hops, end, Box::new([]), many, Type::TEXT));
            }
            let field = self.visible(collection, name);
            if let (Some(Field { id, kind: FieldKind::Relation { collection: target, .. }, .. }), Some(behind)) =
                (field, behind)
                && !is_number(behind)
            {
                many |= field.is_some_and(|field| field.kind.is_list());
                hops.push(Hop::To { field: *id, collection: *target });
                self.uses.collection(*target);
                collection = self.scope.schema.get(*target).ok_or_else(unknown)?;
                (place, rest) = (place + name.len() + 1, behind);
                continue;
            }
            if let Some(field) = field {
                let is = Type::of_field(&field.kind);
                let Some(keys) = behind else {
                    return Ok(finished(hops, End::Field(field.id), Box::new([]), many, is));
                };
                let keys: Box<[Box<str>]> = keys.split('.').map(Box::from).collect();
                let is = match is {
                    Type { of: Scalar::Any, .. } => is,
                    Type { of, many: Many::Whole } if keys.len() == 1 && is_number(&keys[0]) => Type::one(of),
                    _ => {
                        let message = format!("{name} is {is} and has no parts");
                        return Err(Fault::new(place, message));
                    }
                };
                return Ok(finished(hops, End::Field(field.id), keys, many, is));
            }
            let (source, relation) =
                self.scope.schema.referring(collection, name, self.scope.sees_hidden).ok_or_else(unknown)?;
            hops.push(Hop::From { collection: source.id, field: relation.id });
            self.uses.collection(source.id);
            many = true;
            collection = source;
            match behind {
                Some(behind) => (place, rest) = (place + name.len() + 1, behind),
                None => return Ok(finished(hops, End::Id, Box::new([]), many, Type::TEXT)),
            }
        }
    }

    /// What the modifier behind a name makes of it.
    pub(super) fn modified(&mut self, typed: Typed, name: &Name<'_>) -> Result<Typed, Fault> {
        let Some(modifier) = name.modifier else { return Ok(typed) };
        let refused = |reason: &str| Err(Fault::new(name.at + name.path.len(), reason.to_owned()));
        let Typed { node, is } = typed;
        let call = |function, node, is| Ok(Typed { node: Node::Call(function, Box::new([node])), is });
        match modifier {
            Modifier::Lower if is.fits(Scalar::Text) => call(Function::Lower, node, Type::TEXT),
            Modifier::Lower => refused(":lower is for texts"),
            Modifier::Length if !is.is_one() || is.fits(Scalar::Text) => call(Function::Len, node, Type::NUMBER),
            Modifier::Length => refused(":length is for lists and texts"),
            Modifier::Each if !is.is_one() || is.of == Scalar::Any => {
                Ok(Typed { node, is: Type { of: is.of, many: Many::Spread } })
            }
            Modifier::Each => refused(":each is for lists"),
            Modifier::IsSet => Ok(Typed { node: is_set(node), is: Type::BOOL }),
            Modifier::Changed => match self.changed(&node) {
                Some(node) => {
                    self.uses.old = true;
                    Ok(Typed { node, is: Type::BOOL })
                }
                None => refused(":changed is for a field, and for one of @request.body"),
            },
        }
    }

    fn changed(&self, node: &Node) -> Option<Node> {
        match node {
            Node::Track(From::Row, track) => track.plain().map(Node::Changed),
            Node::Body(name, keys) if keys.is_empty() => {
                let field = self.visible(self.scope.collection, name)?;
                Some(Node::ChangedByBody(name.clone(), field.id))
            }
            _ => None,
        }
    }
}

fn is_set(node: Node) -> Node {
    match node {
        Node::Body(name, keys) if keys.is_empty() => Node::IsSetInBody(name),
        Node::Query(name) => Node::IsSetInQuery(name),
        of => Node::Not(Box::new(Node::IsNull { of: Box::new(of), any: false, negated: false })),
    }
}

/// What every record has beside its fields.
fn own(collection: &Collection, name: &str) -> Option<End> {
    match name {
        "id" => Some(End::Id),
        "collectionId" => Some(End::Constant(Value::text(collection.id.to_string()))),
        "collectionName" => Some(End::Constant(Value::Text(collection.name.clone()))),
        _ => None,
    }
}

fn is_number(key: &str) -> bool {
    key.bytes().all(|b| b.is_ascii_digit())
}

fn finished(mut hops: Vec<Hop>, mut end: End, keys: Box<[Box<str>]>, many: bool, is: Type) -> (Track, Type) {
    // The id of what a relation points at is the relation itself: its target is always there.
    if let (End::Id, Some(Hop::To { field, .. })) = (&end, hops.last()) {
        end = End::Field(*field);
        hops.pop();
    }
    let spread = many || !is.is_one();
    let many = many && !hops.is_empty();
    let of = is.of;
    let is = match (spread, many) {
        (false, _) => Type::one(of),
        (true, _) if hops.is_empty() && is.many == Many::Whole => is,
        (true, _) => Type { of, many: Many::Spread },
    };
    (Track { hops: hops.into(), end, keys, many }, is)
}
