//! Commands that are done once: asked for again they are answered as they were, over restarts, until their time is over.

use super::fixture::{NOW, Stepped, id};
use crate::core::Outcome;
use crate::error::Kind;
use crate::id::Seq;
use crate::limits;
use crate::model::change::{Change, Entry};
use crate::model::command::{Command, Op, Written};
use crate::model::definition::Import;
use crate::model::once::{Fingerprint, Keep, Kept, Once, Remembered};
use crate::state;
use crate::time::Millis;

const THINGS: &str =
    r#"{"name":"things","fields":[{"name":"n","type":"number"},{"name":"text","type":"text","max":2000000}]}"#;
const DAY_MS: i64 = limits::ANSWERS_AGE_MAX.as_millis() as i64;

fn fingerprint(of: u64) -> Fingerprint {
    Fingerprint(u128::from(of).to_be_bytes())
}

fn once(key: u64, body: u64, command: Command) -> Command {
    keeping(key, body, Keep::All, command)
}

fn keeping(key: u64, body: u64, keep: Keep, command: Command) -> Command {
    Command::Once(Once { key: fingerprint(key), body: fingerprint(body) }, keep, Box::new(command))
}

fn filled() -> Stepped {
    let mut core = Stepped::with(&[THINGS]);
    core.fill(&[("things", r#"{"id":"a","n":1}"#)]);
    core
}

/// A command that is not the same when it is done twice.
fn add(core: &Stepped, key: u64) -> Command {
    once(key, 7, core.command(&[("things", core.merge("things", "a", r#"{"n+":1}"#, None))]))
}

fn assert_replay(first: &Outcome, again: &Outcome) {
    let (first, again) = (first.as_ref().unwrap(), again.as_ref().unwrap());
    assert!(first.replayed.is_none() && again.replayed.is_some());
    assert_eq!((again.position, &again.writes), (first.position, &first.writes));
    assert_eq!(again.collection, first.collection);
}

fn refused(outcome: Outcome) -> (Kind, &'static str) {
    let error = outcome.unwrap_err();
    (error.kind(), error.code_str())
}

/// The entries that keep an answer.
fn kept(core: &Stepped) -> Vec<u64> {
    let view = core.view();
    state::lines(&view.stack, Seq::ZERO).unwrap().map(|line| line.unwrap().entry.0).collect()
}

#[test]
fn a_command_is_done_once_and_answered_as_it_was() {
    let mut core = filled();
    let command = add(&core, 1);
    let first = core.submit(command.clone());
    assert_eq!(core.shown("things", "a"), "n=2");
    core.write(&[("things", core.merge("things", "a", r#"{"n":50}"#, None))]).unwrap();
    let keys = core.keys();
    assert_replay(&first, &core.submit(command.clone()));
    let Command::Once(_, _, inner) = command else { panic!("it is done once") };
    let mismatch = (Kind::Unprocessable, "idempotency_mismatch");
    assert_eq!(refused(core.submit(once(1, 8, *inner.clone()))), mismatch);
    assert_eq!(core.keys(), keys, "nothing is done again");
    assert!(core.submit(once(2, 7, *inner)).unwrap().replayed.is_none());
    assert_eq!(core.shown("things", "a"), "n=51");
    core.assert_one_state(Seq(3));
}

#[test]
fn of_two_in_one_group_commit_the_second_is_answered_like_the_first() {
    let mut core = filled();
    let command = add(&core, 1);
    let other = once(1, 8, Command::Drop(core.collection("things").id));
    let outcomes = core.writer.commit(&[command.clone(), command, other], core.now).unwrap();
    assert_replay(&outcomes[0], &outcomes[1]);
    assert_eq!(outcomes[2].as_ref().unwrap_err().code_str(), "idempotency_mismatch");
    assert_eq!((core.shown("things", "a"), core.entries().len()), ("n=2".to_owned(), 3));
}

#[test]
fn a_restart_forgets_no_answer() {
    for (flush, clean) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut core = filled();
        let command = add(&core, 1);
        let first = core.submit(command.clone());
        if flush {
            core.flush();
        }
        let disk = if clean { core.close() } else { core.disk.crash(9) };
        let mut core = Stepped::open(&disk).unwrap();
        assert_replay(&first, &core.submit(command));
        assert_eq!(core.shown("things", "a"), "n=2");
    }
}

#[test]
fn every_kind_of_answer_is_kept() {
    let mut core = filled();
    let wanted = core.wanted(r#"{"name":"others","fields":[{"name":"text","type":"text"}]}"#);
    let define = once(1, 7, Command::Define(Box::new(wanted)));
    let same = once(2, 7, core.command(&[("things", core.merge("things", "a", r#"{"n":1}"#, None))]));
    let all = once(
        3,
        7,
        core.command(&[
            ("things", core.create("things", r#"{"id":"b","n":1}"#)),
            ("things", core.put("things", "b", r#"{"n":2}"#, None, false)),
            ("things", core.merge("things", "b", r#"{"n":2}"#, None)),
            ("things", Op::Delete { id: id("a"), if_match: None }),
            ("things", core.put("things", "a", "{}", None, true)),
        ]),
    );
    let drop = once(4, 7, Command::Drop(core.collection("things").id));
    let commands = [define, same, all, drop];
    let first: Vec<Outcome> = commands.iter().map(|command| core.submit(command.clone())).collect();
    let [Written::Created(one), Written::Updated(two), Written::Updated(three), Written::Deleted, Written::Created(_)] =
        &first[2].as_ref().unwrap().writes[..]
    else {
        panic!("{first:?}")
    };
    assert_ne!(one, two);
    assert_eq!(two, three);
    core.assert_one_state(Seq(4));
    let position = core.view().position;
    for (first, command) in first.iter().zip(&commands) {
        assert_replay(first, &core.submit(command.clone()));
    }
    assert_eq!(core.view().position, position);
}

#[test]
fn a_refusal_is_not_kept() {
    let mut core = Stepped::with(&[THINGS]);
    let command = add(&core, 1);
    assert_eq!(refused(core.submit(command.clone())), (Kind::NotFound, "not_found"));
    core.fill(&[("things", r#"{"id":"a","n":1}"#)]);
    assert!(core.submit(command).unwrap().replayed.is_none());
}

#[test]
fn what_changes_nothing_is_kept_too() {
    let mut core = filled();
    let same = once(1, 7, core.command(&[("things", core.merge("things", "a", r#"{"n":1}"#, None))]));
    let first = core.submit(same.clone());
    let last = core.entries().pop().unwrap();
    let [Change::Remembered(remembered)] = &last.entry.changes[..] else { panic!("{last:?}") };
    assert!(matches!(remembered.kept[..], [Kept::Record(..)]));
    core.write(&[("things", core.merge("things", "a", r#"{"n":9}"#, None))]).unwrap();
    assert_replay(&first, &core.submit(same));
}

#[test]
fn an_answer_is_kept_for_a_day() {
    let mut core = filled();
    let command = add(&core, 1);
    let first = core.submit(command.clone());
    core.now = Millis(NOW.0 + DAY_MS - 1);
    assert_replay(&first, &core.submit(command.clone()));
    core.now = Millis(NOW.0 + DAY_MS);
    let second = core.submit(command.clone());
    assert!(second.as_ref().unwrap().replayed.is_none());
    assert_eq!((core.shown("things", "a"), kept(&core)), ("n=3".to_owned(), vec![4]));
    assert_replay(&second, &core.submit(command));
    core.assert_one_state(Seq(3));
}

#[test]
fn old_answers_go_by_the_clock_when_none_comes() {
    let mut core = filled();
    let many = limits::ANSWERS_FORGOTTEN_PIECE as u64 + 3;
    for key in 0..many {
        core.submit(add(&core, key)).unwrap();
    }
    core.now = Millis(NOW.0 + 1);
    core.submit(add(&core, many)).unwrap();
    core.now = Millis(NOW.0 + DAY_MS - 1);
    assert!(!core.writer.has_old_answers(core.now).unwrap());
    let position = core.view().position;
    core.submit(Command::Forget).unwrap();
    assert_eq!(core.view().position, position, "there is nothing to forget");

    core.now = Millis(NOW.0 + DAY_MS);
    let mut pieces = 0;
    while core.writer.has_old_answers(core.now).unwrap() {
        core.submit(Command::Forget).unwrap();
        pieces += 1;
    }
    assert_eq!((pieces, kept(&core).len()), (2, 1), "the last one is a millisecond younger");
    assert!(core.submit(add(&core, many)).unwrap().replayed.is_some());
    core.assert_one_state(Seq(many));
    core.now = Millis(NOW.0 + DAY_MS + 1);
    core.submit(Command::Forget).unwrap();
    assert!(kept(&core).is_empty() && !core.writer.has_old_answers(core.now).unwrap());
    // What comes then is as the first.
    core.submit(add(&core, 0)).unwrap();
    assert_eq!(kept(&core).len(), 1);
    core.assert_one_state(Seq(many));
}

#[test]
fn old_answers_go_as_new_ones_come() {
    let mut core = filled();
    for key in 0..20 {
        core.submit(add(&core, key)).unwrap();
    }
    assert_eq!(kept(&core).len(), 20);
    core.now = Millis(NOW.0 + DAY_MS);
    // Its own old one is the last of them.
    core.submit(add(&core, 19)).unwrap();
    assert_eq!(kept(&core).len(), 20 - limits::ANSWERS_FORGOTTEN - 1 + 1);
    core.submit(add(&core, 100)).unwrap();
    core.submit(add(&core, 101)).unwrap();
    assert_eq!(kept(&core), [23, 24, 25]);
    core.submit(add(&core, 102)).unwrap();
    assert_eq!(kept(&core), [23, 24, 25, 26]);
    core.assert_one_state(Seq(22));
}

#[test]
fn an_answer_has_a_bound() {
    let mut core = filled();
    let large = |core: &Stepped, id: &str| {
        let body = format!(r#"{{"id":"{id}","text":"{}"}}"#, "x".repeat(1_500_000));
        ("things", core.create("things", &body))
    };
    let two = core.command(&[large(&core, "b"), large(&core, "c")]);
    let three = core.command(&[large(&core, "d"), large(&core, "e"), large(&core, "f")]);
    core.submit(once(1, 7, two)).unwrap();
    assert_eq!(refused(core.submit(once(2, 7, three.clone()))), (Kind::TooLarge, "answer_too_large"));
    core.submit(three).unwrap();
}

#[test]
fn of_an_import_is_kept_what_it_came_to_whatever_its_lines_are() {
    let mut core = filled();
    let line = |n: usize| ("things", core.put("things", &format!("l{n}"), r#"{"n":1}"#, None, false));
    let mut lines: Vec<(&str, Op)> = (1..limits::ATOMIC_LINES_MAX).map(line).collect();
    lines.push(("things", core.put("things", "a", r#"{"n":5}"#, None, false)));
    let command = keeping(1, 7, Keep::Counts, core.command(&lines));
    let first = core.submit(command.clone()).unwrap();
    assert_eq!((first.writes.len(), &first.loaded), (limits::ATOMIC_LINES_MAX, &None));
    let last = core.entries().pop().unwrap();
    // As many changes as one entry may have, and the answer beside them.
    let [changes @ .., Change::Remembered(remembered)] = &last.entry.changes[..] else { panic!("no answer is kept") };
    assert_eq!(changes.len(), limits::ENTRY_CHANGES_MAX);
    assert_eq!(remembered.kept, [Kept::Counts(limits::ATOMIC_LINES_MAX as u64 - 1, 1)]);
    assert_eq!(remembered.bytes, (limits::ANSWER_BYTES_MIN + 64) as u64, "the records don't count");
    core.flush();
    let mut core = Stepped::open(&core.disk.crash(9)).unwrap();
    let again = core.submit(command).unwrap();
    let loaded = again.loaded.unwrap();
    assert!(again.replayed.is_some() && again.writes.is_empty());
    assert_eq!((again.position, loaded.created, loaded.updated), (first.position, limits::ATOMIC_LINES_MAX - 1, 1));
    let empty = keeping(2, 7, Keep::Counts, Command::Write(Vec::new()));
    let first = core.submit(empty.clone());
    assert_replay(&first, &core.submit(empty));
}

#[test]
fn what_an_import_of_definitions_told_is_kept_beside_the_definition() {
    let mut core = filled();
    let import = Import { schema: core.view().schema.version(), ..Import::default() };
    let apply = keeping(1, 7, Keep::Told("{}".into()), Command::Apply(Box::new(import)));
    let redefine = Command::Redefine(Box::new((*core.collection("things")).clone()));
    let redefine = keeping(2, 7, Keep::Told("[]".into()), redefine);
    let first = [&apply, &redefine].map(|command| core.submit(command.clone()));
    let mut core = Stepped::open(&core.disk.crash(9)).unwrap();
    for (first, (command, told)) in first.iter().zip([(apply, "{}"), (redefine, "[]")]) {
        let again = core.submit(command);
        assert_replay(first, &again);
        assert_eq!((&first.as_ref().unwrap().told, again.unwrap().told.as_deref()), (&None, Some(told)));
    }
}

#[test]
fn a_damaged_entry_keeps_no_answer() {
    let core = filled();
    let view = core.view();
    let remembered = |kept, forgotten, oldest| Remembered {
        key: fingerprint(1),
        body: fingerprint(2),
        time: NOW,
        kept,
        bytes: 600,
        before: 0,
        forgotten,
        oldest: Seq(oldest),
    };
    let next = view.position.seq.next();
    let cases = [
        (remembered(vec![], vec![], next.0), None),
        (remembered(vec![Kept::Change(0)], vec![], next.0), Some("what it does not do")),
        (remembered(vec![Kept::Change(u32::MAX)], vec![], next.0), Some("what it does not do")),
        (remembered(vec![], vec![(next, fingerprint(3))], next.0), Some("not there yet")),
        (remembered(vec![], vec![], next.0 + 1), Some("not there yet")),
    ];
    for (remembered, expected) in cases {
        let entry = Entry { changes: vec![Change::Remembered(remembered)] };
        let position = crate::id::Position { seq: next, ..view.position };
        match (state::effects(&view.schema, position, &entry), expected) {
            (Ok(_), None) => {}
            (Err(error), Some(why)) => {
                assert!(error.kind() == Kind::Damaged && error.message().contains(why), "{error}");
            }
            (other, _) => panic!("{entry:?}: {other:?}"),
        }
    }
}

#[test]
fn a_check_finds_an_answer_without_its_line_and_a_line_without_its_answer() {
    let mut core = filled();
    for key in 1..=2 {
        core.submit(add(&core, key)).unwrap();
    }
    let view = core.view();
    assert_eq!(state::check(&view.stack, &view.schema).unwrap().answers, 2);
    // Byte 8 and the key, byte 9 and the entry: the layout that `state::key` documents.
    let answer = [&[8][..], &fingerprint(1).0].concat();
    let line = [&[9][..], &3u64.to_be_bytes()].concat();
    for (gone, expected) in [(answer, "entries that kept one"), (line, "not among those of the entry 3")] {
        let mut stack = view.stack.clone();
        stack.fresh.put(state::Key::from(&gone[..]), None);
        let problems = state::check(&stack, &view.schema).unwrap().problems;
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
    }
}

#[test]
fn once_is_once() {
    let mut core = filled();
    let command = once(2, 7, add(&core, 1));
    assert_eq!(refused(core.submit(command)), (Kind::Internal, "internal"));
}
