//! Compiled conditions by their texts: the same filter comes again and again, and a pattern in it is dear to compile.
//!
//! Invariant: what is kept takes at most `limits::PROGRAMS_BYTES_MAX`, as estimated; a text with a fault is not kept. When
//! it is full the half that was not used lately goes at once: most texts hold a literal and come once, and looking for
//! one to go must not be the price of each.

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

#[derive(Debug, Default)]
struct Kept {
    by_text: BTreeMap<Key, Entry>,
    bytes: usize,
    /// Counts the uses.
    clock: u64,
}

/// A program belongs to one version of the schema, and to those who see or don't see hidden fields.
type Key = (CollectionId, Seq, bool, Box<str>);

#[derive(Debug)]
struct Entry {
    program: Arc<Program>,
    bytes: usize,
    used: u64,
}

impl Programs {
    /// The compiled form of a condition. `schema` is the version of all that `scope` names: the latest change of any
    /// collection in it.
    ///
    /// # Errors
    /// As [`Program::condition`].
    pub fn condition(&self, scope: Scope<'_>, schema: Seq, text: &str) -> Result<Arc<Program>, Fault> {
        let key: Key = (scope.collection.id, schema, scope.sees_hidden, text.into());
        {
            let mut kept = self.kept.lock();
            kept.clock += 1;
            let now = kept.clock;
            if let Some(entry) = kept.by_text.get_mut(&key) {
                entry.used = now;
                return Ok(entry.program.clone());
            }
        }
        let program = Arc::new(Program::condition(scope, text)?);
        self.kept.lock().put(key, &program);
        Ok(program)
    }
}

impl Kept {
    fn put(&mut self, key: Key, program: &Arc<Program>) {
        let bytes = program.bytes(key.3.len());
        if bytes > limits::PROGRAMS_BYTES_MAX / 2 {
            return;
        }
        while self.bytes + bytes > limits::PROGRAMS_BYTES_MAX {
            self.halve();
        }
        let entry = Entry { program: program.clone(), bytes, used: self.clock };
        self.bytes += bytes;
        // Two threads may have compiled the same text.
        if let Some(other) = self.by_text.insert(key, entry) {
            self.bytes -= other.bytes;
        }
    }

    /// Lets the half go that was not used lately; at least one.
    fn halve(&mut self) {
        let mut uses: Vec<u64> = self.by_text.values().map(|entry| entry.used).collect();
        let middle = uses.len() / 2;
        if uses.is_empty() {
            return;
        }
        let (_, &mut last, _) = uses.select_nth_unstable(middle);
        self.by_text.retain(|_, entry| entry.used > last);
        self.bytes = self.by_text.values().map(|entry| entry.bytes).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::definition;
    use crate::model::schema::Schema;
    use crate::time::Millis;

    #[test]
    fn a_text_is_compiled_once_and_the_least_used_goes_first() {
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
            assert!(programs.kept.lock().bytes <= limits::PROGRAMS_BYTES_MAX);
        }
        let kept = programs.kept.lock();
        assert!(kept.by_text.len() < 100, "{} kept", kept.by_text.len());
        assert_eq!(kept.bytes, kept.by_text.values().map(|entry| entry.bytes).sum::<usize>());
        assert!(!kept.by_text.keys().any(|(_, version, ..)| *version == Seq(2)), "what is not used goes");
    }
}
