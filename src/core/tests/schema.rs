//! Decisions about collections: defining, dropping, and removing what a drop leaves behind.

use super::fixture::{NOW, Stepped, id, refused};
use crate::id::{CollectionId, Generation, Seq};
use crate::limits;
use crate::model::change::Change;
use crate::model::command::{Command, Op};
use crate::model::schema::FieldKind;
use crate::state;

const PLAIN: &str = r#"{"name":"plain","fields":[{"name":"text","type":"text"}]}"#;
const POINTING: &str = r#"{"name":"pointing","fields":[{"name":"to","type":"relation","collection":"plain"},
    {"name":"next","type":"relation","collection":"pointing","onDelete":"cascade"}]}"#;

fn refusal(outcome: crate::core::Outcome) -> String {
    let error = outcome.expect_err("refused");
    refused(error.kind(), error.code_str())
}

#[test]
fn a_name_is_taken_once() {
    let mut core = Stepped::with(&[PLAIN]);
    let wanted = core.wanted(PLAIN);
    assert_eq!(refusal(core.submit(Command::Define(Box::new(wanted.clone())))), "Conflict exists");
    let plain = core.collection("plain").id;
    core.submit(Command::Drop(plain)).unwrap();
    let again = *core.submit(Command::Define(Box::new(wanted))).unwrap().collection.unwrap();
    assert!(again.id > plain, "a dropped one's id is not used again");
    assert_eq!(again.version, core.view().position.seq, "its version is the entry that wrote it");
    core.assert_one_state(Seq(2));
}

#[test]
fn ids_are_not_used_again_after_a_restart_either() {
    let mut core = Stepped::with(&[PLAIN]);
    let plain = core.collection("plain").id;
    core.submit(Command::Drop(plain)).unwrap();
    while let Some(reclaim) = core.writer.work().unwrap() {
        core.submit(reclaim).unwrap();
    }
    core.flush();
    let disk = core.close();
    let mut core = Stepped::open(&disk).unwrap();
    assert!(core.define(PLAIN).id > plain);
}

#[test]
fn a_relation_to_itself_gets_the_id_that_is_given() {
    let core = Stepped::with(&[PLAIN, POINTING]);
    let pointing = core.collection("pointing");
    let FieldKind::Relation { collection, .. } = pointing.field("next").unwrap().kind else { panic!("a relation") };
    assert_eq!(collection, pointing.id);
    assert_eq!((pointing.created, pointing.updated), (NOW, NOW));
}

#[test]
fn a_definition_whose_target_has_gone_is_refused() {
    let mut core = Stepped::with(&[PLAIN]);
    let wanted = core.wanted(POINTING);
    let plain = core.collection("plain").id;
    core.submit(Command::Drop(plain)).unwrap();
    let error = core.submit(Command::Define(Box::new(wanted))).unwrap_err();
    assert_eq!(error.field_faults()[0].code, "relation_missing");
}

#[test]
fn a_collection_is_not_dropped_while_another_points_at_it() {
    let mut core = Stepped::with(&[PLAIN, POINTING]);
    let (plain, pointing) = (core.collection("plain").id, core.collection("pointing").id);
    core.fill(&[("plain", r#"{"id":"a"}"#)]);
    assert_eq!(refusal(core.submit(Command::Drop(plain))), "Conflict referred_to");
    core.submit(Command::Drop(pointing)).unwrap();
    core.submit(Command::Drop(plain)).unwrap();
    assert_eq!(refusal(core.submit(Command::Drop(plain))), "NotFound not_found");
    core.assert_one_state(Seq(3));
}

#[test]
fn what_was_checked_before_a_drop_is_refused_after_it() {
    let mut core = Stepped::with(&[PLAIN]);
    let create = core.command(&[("plain", core.create("plain", r#"{"id":"a"}"#))]);
    let plain = core.collection("plain").id;
    let outcomes = core.writer.commit(&[Command::Drop(plain), create.clone()], NOW).unwrap();
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[1].as_ref().unwrap_err().code_str(), "not_found");
    core.define(PLAIN);
    assert_eq!(refusal(core.submit(create)), "NotFound not_found", "one of the same name is another");
}

#[test]
fn a_database_has_so_many_collections_and_no_more() {
    let mut core = Stepped::new();
    let mut wanted = core.wanted(PLAIN);
    let mut define = |n: usize| {
        wanted.name = format!("c{n}").into();
        Command::Define(Box::new(wanted.clone()))
    };
    let most: Vec<Command> = (0..limits::COLLECTIONS_MAX).map(&mut define).collect();
    assert!(core.writer.commit(&most, NOW).unwrap().iter().all(Result::is_ok));
    assert_eq!(refusal(core.submit(define(limits::COLLECTIONS_MAX))), "Unprocessable unprocessable");
    core.submit(Command::Drop(CollectionId(1))).unwrap();
    core.submit(define(limits::COLLECTIONS_MAX)).unwrap();
}

#[test]
fn what_a_drop_leaves_is_removed_piece_by_piece() {
    let mut core = Stepped::with(&[PLAIN, POINTING]);
    let empty = core.keys();
    let plain = core.collection("pointing").id;
    let many = limits::WORK_ROWS_PIECE + 100;
    let writes: Vec<(&str, Op)> = (0..many)
        .map(|n| ("pointing", core.create("pointing", &format!(r#"{{"id":"r{n}","next":"r{n}"}}"#))))
        .collect();
    core.write(&writes).unwrap();
    core.flush();
    core.submit(Command::Drop(plain)).unwrap();
    assert_eq!(state::garbage(&core.view().stack).unwrap(), Some((plain, Generation(1), None)));
    let mut pieces = 0;
    while let Some(reclaim) = core.writer.work().unwrap() {
        core.submit(reclaim).unwrap();
        pieces += 1;
        if pieces == 2 {
            // Begun before a restart, gone on with after it.
            core.flush();
            core = Stepped::open(&core.close()).unwrap();
        }
    }
    // Rows, and the entries of two relations of each.
    assert_eq!(pieces, (3 * many).div_ceil(limits::WORK_ROWS_PIECE));
    let pieces = core.entries();
    let pieces = pieces.iter().flat_map(|logged| &logged.entry.changes).filter_map(|change| match change {
        Change::Reclaimed { keys, .. } => Some(keys.len()),
        _ => None,
    });
    assert!(pieces.clone().all(|keys| keys <= limits::WORK_ROWS_PIECE), "no piece holds the writer long");
    assert_eq!(pieces.sum::<usize>(), 3 * many, "each key is removed once");
    let wanted = core.wanted(POINTING);
    core.submit(Command::Define(Box::new(wanted))).unwrap();
    let left = core.keys();
    assert_eq!(left.len(), empty.len(), "nothing is left of it");
    assert!(core.record("pointing", "r0").is_none() && !core.keys().is_empty());
    assert!(state::exists(&core.view().stack, &core.collection("pointing"), &id("r1")).is_ok_and(|there| !there));
    core.assert_one_state(Seq(5));
}
