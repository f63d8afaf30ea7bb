//! Compiled conditions by their texts: the same filter comes again and again, and a pattern in it is dear to compile.
//!
//! Invariant: what is kept takes at most `limits::PROGRAMS_BYTES_MAX`, as estimated; a text with a fault is not kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::id::{CollectionId, Seq};
use crate::limits;

use super::Fault;
use super::input::Scope;
use super::program::Program;

/// Conditions that were compiled before. Shared between threads; compiling holds no lock.
#[derive(Debug, Default)]
pub struct Programs {
    kept: Mutex<Kept>,
}

/// Two ages: what is asked for becomes new, and when the new are half of all, the old go. So neither keeping nor letting
/// go looks at more than one.
#[derive(Debug, Default)]
struct Kept {
    new: BTreeMap<Key, Entry>,
    old: BTreeMap<Key, Entry>,
    new_bytes: usize,
}

/// A program belongs to one version of the schema, and to those who see or don't see hidden fields.
type Key = (CollectionId, Seq, bool, Box<str>);

#[derive(Debug)]
struct Entry {
    program: Arc<Program>,
    bytes: usize,
}

impl Programs {
    /// The compiled form of a condition. `schema` is the version of all that `scope` names: the latest change of any
    /// collection in it.
    ///
    /// # Errors
    /// As [`Program::condition`].
    pub fn condition(&self, scope: Scope<'_>, schema: Seq, text: &str) -> Result<Arc<Program>, Fault> {
        let key: Key = (scope.collection.id, schema, scope.sees_hidden, text.into());
        if let Some(program) = self.kept.lock().get(&key) {
            return Ok(program);
        }
        let program = Arc::new(Program::condition(scope, text)?);
        let bytes = program.bytes(key.3.len());
        self.kept.lock().put(key, Entry { program: program.clone(), bytes });
        Ok(program)
    }
}

impl Kept {
    fn get(&mut self, key: &Key) -> Option<Arc<Program>> {
        if let Some(entry) = self.new.get(key) {
            return Some(entry.program.clone());
        }
        let (key, entry) = self.old.remove_entry(key)?;
        let program = entry.program.clone();
        self.put(key, entry);
        Some(program)
    }

    fn put(&mut self, key: Key, entry: Entry) {
        const HALF: usize = limits::PROGRAMS_BYTES_MAX / 2;
        if entry.bytes > HALF {
            return;
        }
        if self.new_bytes + entry.bytes > HALF {
            self.old = std::mem::take(&mut self.new);
            self.new_bytes = 0;
        }
        self.new_bytes += entry.bytes;
        // Two threads may have compiled the same text.
        if let Some(other) = self.new.insert(key, entry) {
            self.new_bytes -= other.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::definition;
    use crate::model::schema::Schema;
    use crate::time::Millis;

    #[test]
    fn a_text_is_compiled_once_and_what_is_not_used_goes() {
        let body = br#"{"name": "c", "fields": [{"name": "n", "type": "number"}, {"name": "t", "type": "text"}]}"#;
        let collection = definition::parse(&Schema::default(), body, Millis(0)).expect("sound");
        let schema = Schema::default();
        let scope = Scope { schema: &schema, collection: &collection, callers: &[], sees_hidden: false };
        let programs = Programs::default();
        let get = |version: u64, text: &str| programs.condition(scope, Seq(version), text).expect("sound");
        let first = get(1, "n = 1");
        assert!(Arc::ptr_eq(&first, &get(1, "n = 1")));
        assert!(!Arc::ptr_eq(&first, &get(2, "n = 1")), "another version of the schema, another program");
        let sees = Scope { sees_hidden: true, ..scope };
        assert!(!Arc::ptr_eq(&first, &programs.condition(sees, Seq(1), "n = 1").expect("sound")));
        assert!(programs.condition(scope, Seq(1), "nope = 1").is_err());
        for n in 0..200 {
            get(1, &format!("matches(t, 'x{n}')"));
            assert!(Arc::ptr_eq(&first, &get(1, "n = 1")), "what is used stays");
            let kept = programs.kept.lock();
            let sum = |age: &BTreeMap<Key, Entry>| age.values().map(|entry| entry.bytes).sum::<usize>();
            assert_eq!(kept.new_bytes, sum(&kept.new));
            assert!(sum(&kept.new) + sum(&kept.old) <= limits::PROGRAMS_BYTES_MAX);
        }
        let kept = programs.kept.lock();
        let count = kept.new.len() + kept.old.len();
        assert!((20..100).contains(&count), "{count} kept");
        let is_other = |(_, version, ..): &Key| *version == Seq(2);
        assert!(!kept.new.keys().chain(kept.old.keys()).any(is_other), "what is not used goes");
    }
}
