//! Rows, index entries and tallies follow from the entries alone, and agree with each other whatever happened.

use crate::error::Kind;
use crate::id::{CollectionId, Generation, RecordId};
use crate::model::change::{Change, Entry};
use crate::model::schema::Schema;
use crate::model::value::{Fields, Value};
use crate::state::tests::fixture::{Dice, History, NAME, OWNER, TAGS, defined, disk, open, position, things};
use crate::state::{
    Overlay, Read, Stack, Tally, apply, check, effects, garbage, reclaimable, record, referrers, schema_of, tally,
    unique_holder,
};

fn assert_sound(history: &History) {
    let report = check(&history.stack, &history.schema).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.rows, history.records.len() as u64);
    let (collection, generation) = (history.collection.id, history.collection.generation);
    let stored = tally(&history.stack, collection, generation).unwrap();
    assert_eq!(report.tallies, [(collection, generation, stored)]);
    assert_eq!(schema_of(&history.stack).unwrap(), history.schema);
}

#[test]
fn tallies_and_indexes_follow_every_change() {
    for seed in 0..10 {
        let mut dice = Dice::new("effects", seed);
        let mut history = History::new(seed);
        for _ in 0..15 {
            for _ in 0..10 {
                history.step(&mut dice);
                history.churn(&mut dice);
            }
            assert_sound(&history);
            for (id, (version, fields)) in &history.records {
                let found = record(&history.stack, &history.collection, id).unwrap().unwrap();
                assert_eq!((&found.version, &found.fields), (version, fields));
            }
        }
    }
}

#[test]
fn equal_rows_have_equal_digests_however_they_came_to_be() {
    let mut dice = Dice::new("digest", 1);
    let mut history = History::new(1);
    (0..100).for_each(|_| history.step(&mut dice));
    let mut other = History::new(2);
    for (id, (_, fields)) in history.records.iter().rev() {
        let (id, after) = (id.clone(), fields.clone());
        other.commit(vec![Change::Created { collection: CollectionId(1), generation: Generation(1), id, after }]);
    }
    let of = |history: &History| tally(&history.stack, CollectionId(1), Generation(1)).unwrap();
    assert_eq!(of(&history), of(&other));
    let (id, (since, was)) = history.records.pop_first().unwrap();
    let mut after = was.clone();
    after.set(NAME, Value::text("something else"));
    let before = after.before_image(&was);
    let (collection, generation, since) = (CollectionId(1), Generation(1), since.seq);
    history.commit(vec![Change::Updated { collection, generation, id, after, before, since }]);
    assert_ne!(of(&history).digest, of(&other).digest);
}

#[test]
fn effects_reach_an_overlay_a_stack_and_a_layer_alike() {
    let mut dice = Dice::new("alike", 2);
    let mut history = History::new(1);
    (0..50).for_each(|_| history.step(&mut dice));
    let after = dice.fields();
    let id = RecordId::new("new").unwrap();
    let changes = vec![Change::Created { collection: CollectionId(1), generation: Generation(1), id, after }];
    let entry = Entry { changes };
    let make = || effects(&history.schema, position(99), &entry).unwrap();
    let mut stack = history.stack.clone();
    stack.apply(make()).unwrap();
    let mut overlay = Overlay::new(&history.stack);
    overlay.apply(make()).unwrap();
    let mut layer = history.stack.fresh.clone();
    apply(make(), &history.stack, &mut layer).unwrap();
    let layered = Stack { fresh: layer, ..history.stack.clone() };
    let all = |read: &dyn Read| -> Vec<_> {
        let scan = read.scan(&[1], &[0xFF], false).unwrap();
        scan.map(|pair| pair.map(|pair| (pair.key().to_vec(), pair.value().to_vec())).unwrap()).collect()
    };
    assert_eq!(all(&stack), all(&overlay));
    assert_eq!(all(&stack), all(&layered));
    assert!(all(&stack).len() > all(&history.stack).len());
}

#[test]
fn a_truncated_and_a_dropped_collection_leave_garbage_that_is_reclaimed() {
    let mut dice = Dice::new("garbage", 4);
    let mut history = History::new(1);
    (0..60).for_each(|_| {
        history.step(&mut dice);
        history.churn(&mut dice);
    });
    assert_eq!(garbage(&history.stack).unwrap(), None);

    let truncated = things(1, 2);
    history.commit(vec![defined(&truncated)]);
    history.records.clear();
    assert_eq!(garbage(&history.stack).unwrap(), Some((CollectionId(1), Generation(1), None)));
    assert_eq!(tally(&history.stack, CollectionId(1), Generation(1)).unwrap(), Tally::default());
    assert_sound(&history);
    (0..30).for_each(|_| history.step(&mut dice));
    assert_sound(&history);

    let definition = serde_json::to_string(&truncated).unwrap();
    history.commit(vec![Change::Dropped { collection: CollectionId(1), definition }]);
    history.records.clear();
    let mut entries = 0;
    let mut last = None;
    while let Some((collection, generation, _)) = garbage(&history.stack).unwrap() {
        let after = last.take().filter(|(filling, _)| *filling == (collection, generation)).map(|(_, key)| key);
        let (keys, done) = reclaimable(&history.stack, collection, generation, None, after.as_deref(), 7).unwrap();
        let all = reclaimable(&history.stack, collection, generation, None, None, 7).unwrap();
        assert_eq!((&keys, done), (&all.0, all.1), "what is left lies behind the last key");
        last = keys.last().map(|key| ((collection, generation), key.clone()));
        assert!(keys.len() <= 7 && (done || keys.len() == 7));
        history.commit(vec![Change::Reclaimed { collection, generation, keys, done }]);
        assert_eq!(check(&history.stack, &history.schema).unwrap().problems, Vec::<String>::new());
        entries += 1;
    }
    assert!(entries > 4, "{entries}");
    let left: Vec<_> =
        history.stack.scan(&[1], &[0xFF], false).unwrap().map(|pair| pair.unwrap().key().to_vec()).collect();
    assert_eq!(left, [crate::state::key::LAST_COLLECTION.to_vec()]);
    assert_eq!(schema_of(&history.stack).unwrap().last_collection, CollectionId(1));
}

/// A state that notes where scans begin.
struct Noting<'a>(&'a Stack, std::cell::RefCell<Vec<Vec<u8>>>);

impl Read for Noting<'_> {
    fn get(&self, key: &[u8]) -> crate::error::Result<Option<bytes::Bytes>> {
        self.0.get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8], backwards: bool) -> crate::error::Result<crate::state::Scan<'a>> {
        if from < to {
            self.1.borrow_mut().push(from.to_vec());
        }
        self.0.scan(from, to, backwards)
    }
}

#[test]
fn a_piece_of_reclaiming_does_not_step_over_the_tombstones_of_those_before() {
    let mut dice = Dice::new("pieces", 5);
    let mut history = History::new(5);
    (0..60).for_each(|_| history.step(&mut dice));
    history.commit(vec![defined(&things(1, 2))]);
    let (collection, generation) = (CollectionId(1), Generation(1));
    let mut last: Option<Vec<u8>> = None;
    loop {
        let state = Noting(&history.stack, Default::default());
        let (keys, done) = reclaimable(&state, collection, generation, None, last.as_deref(), 9).unwrap();
        let began = state.1.into_inner();
        assert!(!began.is_empty() && began.iter().all(|from| Some(from) > last.as_ref()), "{began:?}");
        last = keys.last().cloned().or(last);
        history.commit(vec![Change::Reclaimed { collection, generation, keys, done }]);
        if done {
            break;
        }
    }
    assert!(last.unwrap().starts_with(&[3]), "rows, then entries");
    assert_eq!(check(&history.stack, &history.schema).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_later_change_of_an_entry_sees_a_definition_made_earlier_in_it() {
    let after = Fields::new();
    let id = RecordId::new("a").unwrap();
    let create = Change::Created { collection: CollectionId(4), generation: Generation(1), id, after };
    let entry = Entry { changes: vec![defined(&things(4, 1)), create.clone()] };
    let made = effects(&Schema::default(), position(8), &entry).unwrap();
    let schema = made.schema.unwrap();
    assert_eq!(schema.get(CollectionId(4)).unwrap().version, position(8).seq);
    assert_eq!(schema.last_collection, CollectionId(4));
    assert_eq!(made.tallies.len(), 1);
    let alone = effects(&Schema::default(), position(8), &Entry { changes: vec![create] });
    assert_eq!(alone.unwrap_err().kind(), Kind::Damaged);
}

#[test]
fn an_entry_that_contradicts_the_state_is_damage() {
    let mut schema = Schema::default();
    schema.put(things(1, 2));
    let id = RecordId::new("a").unwrap();
    let (collection, after) = (CollectionId(1), Fields::new());
    let twin = {
        let mut twin = things(9, 1);
        twin.name = "things1".into();
        twin
    };
    let table = [
        Change::Created { collection, generation: Generation(1), id: id.clone(), after },
        Change::Defined { collection, definition: "{".to_owned() },
        Change::Defined { collection: CollectionId(2), definition: serde_json::to_string(&things(1, 2)).unwrap() },
        defined(&things(1, 1)),
        defined(&twin),
        Change::Dropped { collection: CollectionId(2), definition: String::new() },
        Change::Reclaimed { collection, generation: Generation(2), keys: Vec::new(), done: true },
        Change::Reclaimed { collection, generation: Generation(1), keys: vec![vec![1, 2, 3]], done: true },
    ];
    for change in table {
        let what = format!("{change:?}");
        let refused = effects(&schema, position(3), &Entry { changes: vec![change] });
        assert_eq!(refused.expect_err(&what).kind(), Kind::Damaged, "{what}");
    }
    let stack = Stack::new(open(&disk(1)).base.view());
    let gone =
        Change::Deleted { collection, generation: Generation(2), id, before: Fields::new(), since: position(1).seq };
    let below_zero = effects(&schema, position(3), &Entry { changes: vec![gone] }).unwrap();
    assert_eq!(stack.clone().apply(below_zero).unwrap_err().kind(), Kind::Damaged);
}

#[test]
fn holders_of_unique_values_and_referrers_are_found() {
    let mut dice = Dice::new("lookup", 6);
    let mut history = History::new(1);
    for _ in 0..150 {
        history.step(&mut dice);
        history.churn(&mut dice);
    }
    let (stack, collection) = (&history.stack, &history.collection);
    for (own, (_, fields)) in &history.records {
        for index in &collection.indexes {
            let holder = unique_holder(stack, collection, index, fields, own).unwrap();
            let null = index.fields.iter().any(|part| fields.get(part.field).is_null());
            let same = |other: &Fields| {
                index.fields.iter().all(|part| {
                    let (a, b) = (fields.get(part.field), other.get(part.field));
                    if part.field == TAGS { a.each().iter().any(|tag| b.each().contains(tag)) } else { a == b }
                })
            };
            let others: Vec<_> = history.records.iter().filter(|(id, (_, other))| *id != own && same(other)).collect();
            match holder {
                Some(id) => assert!(!null && others.iter().any(|(other, _)| **other == id)),
                None => assert!(null || others.is_empty(), "{} of {own}", index.name),
            }
        }
        let pointing = referrers(stack, collection, OWNER, own, usize::MAX).unwrap();
        let expected: Vec<_> = history
            .records
            .iter()
            .filter(|(_, (_, fields))| fields.get(OWNER).as_text() == Some(own.as_str()))
            .map(|(id, _)| id.clone())
            .collect();
        assert_eq!(referrers(stack, collection, OWNER, own, 1).unwrap(), expected[..expected.len().min(1)]);
        assert_eq!(pointing, expected);
    }
}

#[test]
fn a_check_names_what_is_wrong() {
    let mut dice = Dice::new("check", 7);
    let mut history = History::new(1);
    (0..60).for_each(|_| history.step(&mut dice));
    let stray = crate::state::Key::from(&[3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5, b'q', 0, 1, b'i'][..]);
    let lost = history.stack.scan(&[3], &[4], false).unwrap().next().unwrap().unwrap().key().to_vec();
    let foreign = crate::state::Key::from(&[2, 0, 0, 0, 9, 0, 0, 0, 1, b'i'][..]);
    let cases = [
        (stray, Some(bytes::Bytes::new()), "that its row does not have"),
        (crate::state::Key::from(&lost[..]), None, "lacks the record"),
        (foreign, Some(bytes::Bytes::new()), "neither in use nor garbage"),
        (
            crate::state::Key::from(&crate::state::key::tally(CollectionId(1), Generation(1))[..]),
            None,
            "its tally says",
        ),
    ];
    for (key, value, expected) in cases {
        let mut broken = history.stack.clone();
        broken.fresh.put(key, value);
        let report = check(&broken, &history.schema).unwrap();
        assert!(report.problems.iter().any(|problem| problem.contains(expected)), "{expected}: {report:?}");
    }
}
