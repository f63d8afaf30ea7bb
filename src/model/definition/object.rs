//! An object of a definition while it is read: each key is taken once, by its type, and what is left is unknown.

use serde_json::{Map, Value as Json};

use crate::model::faults::Faults;

/// Members not yet taken, and the path of the object itself.
pub(super) struct Object {
    map: Map<String, Json>,
    path: String,
}

impl Object {
    /// `path` is empty for the whole definition.
    pub(super) fn new(map: Map<String, Json>, path: String) -> Object {
        Object { map, path }
    }

    /// The path of one of its keys.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes what is wrong with a key.
    pub(super) fn fault(&self, key: &str, code: &'static str, message: impl Into<String>, faults: &mut Faults) {
        faults.add(self.path(key), code, message);
    }

    /// Puts a value under a key.
    pub(super) fn put(&mut self, key: &str, value: Json) {
        self.map.insert(key.to_owned(), value);
    }

    /// Takes a key's value; null is the same as absent.
    pub(super) fn take(&mut self, key: &str) -> Option<Json> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    fn typed<T>(&mut self, key: &str, wanted: &str, read: fn(Json) -> Option<T>, faults: &mut Faults) -> Option<T> {
        let value = read(self.take(key)?);
        if value.is_none() {
            self.fault(key, "wrong_type", format!("must be {wanted}"), faults);
        }
        value
    }

    /// Takes a text.
    pub(super) fn text(&mut self, key: &str, faults: &mut Faults) -> Option<String> {
        let read = |value| if let Json::String(text) = value { Some(text) } else { None };
        self.typed(key, "a text", read, faults)
    }

    /// Takes a text that must be there and not be empty.
    pub(super) fn required_text(&mut self, key: &str, faults: &mut Faults) -> Option<String> {
        let before = faults.len();
        let text = self.text(key, faults).filter(|text| !text.is_empty());
        if text.is_none() && faults.len() == before {
            self.fault(key, "required", "is required", faults);
        }
        text
    }

    /// Takes `true` or `false`; false when absent.
    pub(super) fn flag(&mut self, key: &str, faults: &mut Faults) -> bool {
        self.typed(key, "true or false", |value| value.as_bool(), faults).unwrap_or(false)
    }

    /// Takes a whole number from 0 to `max`.
    pub(super) fn count(&mut self, key: &str, max: usize, faults: &mut Faults) -> Option<usize> {
        let whole = |value: Json| {
            let float = value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0);
            value.as_u64().or(float.map(|number| number as u64)).and_then(|number| usize::try_from(number).ok())
        };
        let count = self.typed(key, "a whole number", whole, faults)?;
        if count > max {
            self.fault(key, "out_of_range", format!("must be at most {max}"), faults);
            return None;
        }
        Some(count)
    }

    /// Takes a number.
    pub(super) fn number(&mut self, key: &str, faults: &mut Faults) -> Option<f64> {
        self.typed(key, "a number", |value| value.as_f64().map(|number| number + 0.0), faults)
    }

    /// Takes an object.
    pub(super) fn object(&mut self, key: &str, faults: &mut Faults) -> Option<Map<String, Json>> {
        let read = |value| if let Json::Object(map) = value { Some(map) } else { None };
        self.typed(key, "an object", read, faults)
    }

    /// The keys not yet taken.
    pub(super) fn keys(&self) -> Vec<String> {
        self.map.keys().cloned().collect()
    }

    /// Takes a list.
    pub(super) fn list(&mut self, key: &str, faults: &mut Faults) -> Option<Vec<Json>> {
        let read = |value| if let Json::Array(items) = value { Some(items) } else { None };
        self.typed(key, "a list", read, faults)
    }

    /// Takes a list of texts; an element that is none is a fault.
    pub(super) fn texts(&mut self, key: &str, faults: &mut Faults) -> Option<Vec<String>> {
        let items = self.list(key, faults)?;
        let mut texts = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            match item {
                _ if faults.full() => break,
                Json::String(text) => texts.push(text),
                _ => faults.add(format!("{}.{at}", self.path(key)), "wrong_type", "must be a text"),
            }
        }
        Some(texts)
    }

    /// Ends the reading: what was not taken, null or not, is a fault.
    pub(super) fn finish(self, faults: &mut Faults) {
        for key in self.map.keys() {
            let shown: String = key.chars().take(crate::limits::NAME_BYTES_MAX).collect();
            faults.add(self.path(&shown), "unknown_setting", "there is no such setting here");
        }
    }
}
