//! Deletions and all that goes, or loses its relation, with them.

use super::fixture::{Stepped, id, told};
use crate::error::Kind;
use crate::id::{CollectionId, Seq};
use crate::limits;
use crate::model::command::{Command, Op};
use crate::model::guard::{Guard, Rows};
use crate::model::schema::{FieldKind, OnDelete};

/// Every pair of ways in which one record may point at another, in both orders of the fields.
const A: &str = r#"{"name":"a","fields":[{"name":"n","type":"number"}]}"#;
const B: &str = r#"{"name":"b","fields":[
    {"name":"casc","type":"relation","collection":"a","onDelete":"cascade"},
    {"name":"opt","type":"relation","collection":"a","onDelete":"setNull"},
    {"name":"rest","type":"relation","collection":"a"},
    {"name":"casc2","type":"relation","collection":"a","onDelete":"cascade"},
    {"name":"nulls","type":"relation","collection":"a","onDelete":"setNull","maxSelect":4},
    {"name":"rests","type":"relation","collection":"a","maxSelect":4},
    {"name":"cascs","type":"relation","collection":"b","onDelete":"cascade","maxSelect":4},
    {"name":"peer","type":"relation","collection":"b","onDelete":"setNull"}]}"#;
const C: &str = r#"{"name":"c","fields":[
    {"name":"b","type":"relation","collection":"b","onDelete":"cascade"},
    {"name":"also","type":"relation","collection":"b","onDelete":"setNull"},
    {"name":"a","type":"relation","collection":"a"}]}"#;

struct Case {
    /// Created in order, in one transaction.
    there: &'static [(&'static str, &'static str)],
    delete: (&'static str, &'static str),
    told: &'static str,
    /// What is there after it.
    then: &'static [(&'static str, &'static str, &'static str)],
}

fn play(cases: &[Case]) {
    for Case { there, delete, told: expected, then } in cases {
        let mut core = Stepped::with(&[A, B, C]);
        core.fill(there);
        let (before, keys) = (core.view().position, core.keys());
        let outcome = core.write(&[(delete.0, Op::Delete { id: id(delete.1), if_match: None })]);
        assert_eq!(told(&core, before, &outcome), *expected, "{delete:?} of {there:?}");
        if outcome.is_err() {
            assert_eq!(core.keys(), keys);
        }
        for (collection, record, shown) in *then {
            assert_eq!(core.shown(collection, record), *shown, "{delete:?} of {there:?}: {collection} {record}");
        }
        core.assert_one_state(Seq(4));
        core.flush();
        core.assert_one_state(Seq(3));
    }
}

#[test]
fn each_relation_does_what_its_definition_says() {
    let a = ("a", r#"{"id":"a"}"#);
    let case = |b, told, then| Case { there: Box::leak(Box::new([a, ("b", b)])), delete: ("a", "a"), told, then };
    play(&[
        case(r#"{"id":"b","rest":"a"}"#, "Conflict referred_to", &[]),
        case(r#"{"id":"b","rests":["a"]}"#, "Conflict referred_to", &[]),
        case(r#"{"id":"b","casc":"a"}"#, "deleted", &[("a", "a", "gone"), ("b", "b", "gone")]),
        case(r#"{"id":"b","opt":"a"}"#, "deleted", &[("a", "a", "gone"), ("b", "b", "")]),
        case(r#"{"id":"b","nulls":["a"]}"#, "deleted", &[("b", "b", "")]),
        case(r#"{"id":"b","opt":"a","nulls":["a"]}"#, "deleted", &[("b", "b", "")]),
    ]);
}

#[test]
fn what_goes_with_it_refuses_nothing_and_is_changed_no_more() {
    let a = ("a", r#"{"id":"a"}"#);
    let case = |b| Case {
        there: Box::leak(Box::new([a, ("b", b)])),
        delete: ("a", "a"),
        told: "deleted",
        then: &[("a", "a", "gone"), ("b", "b", "gone")],
    };
    play(&[
        case(r#"{"id":"b","casc":"a","opt":"a"}"#),
        case(r#"{"id":"b","opt":"a","casc2":"a"}"#),
        case(r#"{"id":"b","casc":"a","casc2":"a"}"#),
        case(r#"{"id":"b","casc":"a","rest":"a"}"#),
        case(r#"{"id":"b","rest":"a","casc2":"a","rests":["a"],"nulls":["a"]}"#),
    ]);
}

#[test]
fn a_list_loses_one_and_keeps_the_others() {
    play(&[Case {
        there: &[
            ("a", r#"{"id":"x"}"#),
            ("a", r#"{"id":"y"}"#),
            ("a", r#"{"id":"z"}"#),
            ("b", r#"{"id":"b","nulls":["x","y","z"]}"#),
        ],
        delete: ("a", "y"),
        told: "deleted",
        then: &[("b", "b", r#"nulls=["x","z"]"#)],
    }]);
}

#[test]
fn chains_cycles_and_diamonds_come_to_an_end() {
    play(&[
        Case {
            there: &[
                ("a", r#"{"id":"a"}"#),
                ("b", r#"{"id":"b1","casc":"a"}"#),
                ("b", r#"{"id":"b2","cascs":["b1"]}"#),
                ("c", r#"{"id":"c","b":"b2"}"#),
            ],
            delete: ("a", "a"),
            told: "deleted",
            then: &[("b", "b1", "gone"), ("b", "b2", "gone"), ("c", "c", "gone")],
        },
        // Itself, by every kind.
        Case {
            there: &[("b", r#"{"id":"b","cascs":["b"],"peer":"b"}"#)],
            delete: ("b", "b"),
            told: "deleted",
            then: &[("b", "b", "gone")],
        },
        // The diamond's foot is reached twice, and once by a relation that would only be emptied.
        Case {
            there: &[
                ("a", r#"{"id":"a"}"#),
                ("b", r#"{"id":"left","casc":"a"}"#),
                ("b", r#"{"id":"right","casc2":"a"}"#),
                ("b", r#"{"id":"foot","cascs":["left","right"],"peer":"right"}"#),
                ("c", r#"{"id":"c","b":"foot","also":"left"}"#),
            ],
            delete: ("a", "a"),
            told: "deleted",
            then: &[("b", "left", "gone"), ("b", "right", "gone"), ("b", "foot", "gone"), ("c", "c", "gone")],
        },
        // Emptied first, doomed later.
        Case {
            there: &[
                ("a", r#"{"id":"a"}"#),
                ("b", r#"{"id":"b1","casc":"a"}"#),
                ("b", r#"{"id":"b2","casc":"a","cascs":["b1"]}"#),
                ("b", r#"{"id":"b3","opt":"a","cascs":["b2"]}"#),
                ("c", r#"{"id":"c","b":"b3","also":"b1"}"#),
            ],
            delete: ("a", "a"),
            told: "deleted",
            then: &[("b", "b1", "gone"), ("b", "b2", "gone"), ("b", "b3", "gone"), ("c", "c", "gone")],
        },
    ]);
}

#[test]
fn a_cycle_of_two_goes_as_a_whole() {
    let mut core = Stepped::with(&[A, B, C]);
    core.fill(&[("b", r#"{"id":"x"}"#), ("b", r#"{"id":"y","cascs":["x"]}"#), ("b", r#"{"id":"p","peer":"x"}"#)]);
    let merge = core.merge("b", "x", r#"{"cascs":["y"],"peer":"p"}"#, None);
    core.write(&[("b", merge)]).unwrap();
    core.write(&[("b", Op::Delete { id: id("y"), if_match: None })]).unwrap();
    assert_eq!([core.shown("b", "x"), core.shown("b", "y"), core.shown("b", "p")], ["gone", "gone", ""]);
    core.assert_one_state(Seq(5));
}

#[test]
fn a_restriction_anywhere_below_refuses_the_whole() {
    play(&[Case {
        there: &[
            ("a", r#"{"id":"a"}"#),
            ("a", r#"{"id":"other"}"#),
            ("b", r#"{"id":"b1","casc":"a"}"#),
            ("b", r#"{"id":"b2","opt":"a"}"#),
            ("c", r#"{"id":"c","a":"a","also":"b1"}"#),
        ],
        delete: ("a", "a"),
        told: "Conflict referred_to",
        then: &[("b", "b2", r#"opt="a""#), ("c", "c", r#"also="b1" a="a""#)],
    }]);
}

#[test]
fn a_restriction_counts_unless_its_record_is_known_to_fall() {
    // c would fall by b1 in the end, but when a falls only b1 is known to.
    let mut core = Stepped::with(&[A, B, C]);
    core.fill(&[("a", r#"{"id":"a"}"#), ("b", r#"{"id":"b1","casc":"a"}"#), ("c", r#"{"id":"c","b":"b1","a":"a"}"#)]);
    let delete = |name, record| (name, Op::Delete { id: id(record), if_match: None });
    assert_eq!(core.write(&[delete("a", "a")]).unwrap_err().code_str(), "referred_to");
    core.write(&[delete("c", "c"), delete("a", "a")]).unwrap();
    assert_eq!([core.shown("a", "a"), core.shown("b", "b1"), core.shown("c", "c")], ["gone", "gone", "gone"]);
    core.assert_one_state(Seq(4));
}

#[test]
fn a_relation_that_must_stay_filled_refuses_the_deletion() {
    // A client can't define these; an older definition or a later kind of field might.
    for (required, min, list, left) in
        [(true, 0, r#"["x"]"#, false), (false, 2, r#"["x","y"]"#, false), (false, 2, r#"["x","y","z"]"#, true)]
    {
        let mut core = Stepped::with(&[A]);
        let mut wanted = core.wanted(
            r#"{"name":"l","fields":[{"name":"to","type":"relation","collection":"a","onDelete":"setNull","maxSelect":4}]}"#,
        );
        wanted.fields[0].required = required;
        let FieldKind::Relation { min_select, .. } = &mut wanted.fields[0].kind else { panic!("a relation") };
        *min_select = min;
        core.submit(Command::Define(Box::new(wanted))).unwrap();
        core.fill(&[("a", r#"{"id":"x"}"#), ("a", r#"{"id":"y"}"#), ("a", r#"{"id":"z"}"#)]);
        let body = format!(r#"{{"id":"l","to":{list}}}"#);
        core.fill(&[("l", &body)]);
        let outcome = core.write(&[("a", Op::Delete { id: id("x"), if_match: None })]);
        assert_eq!(outcome.is_ok(), left, "required {required}, at least {min}, {list}");
        if let Err(refusal) = outcome {
            assert_eq!(refusal.code_str(), "referred_to");
        }
    }
}

#[test]
fn what_falls_need_not_stay_filled() {
    let mut core = Stepped::with(&[A]);
    let mut wanted = core.wanted(
        r#"{"name":"l","fields":[{"name":"casc","type":"relation","collection":"a","onDelete":"cascade"},
            {"name":"must","type":"relation","collection":"a","onDelete":"setNull"}]}"#,
    );
    wanted.fields[1].required = true;
    core.submit(Command::Define(Box::new(wanted))).unwrap();
    core.fill(&[("a", r#"{"id":"x"}"#), ("l", r#"{"id":"l","casc":"x","must":"x"}"#)]);
    core.write(&[("a", Op::Delete { id: id("x"), if_match: None })]).unwrap();
    assert_eq!(core.shown("l", "l"), "gone");
    core.assert_one_state(Seq(3));
}

#[test]
fn a_refusal_names_what_refers_to_superusers_only() {
    let mut core = Stepped::with(&[A, B, C]);
    core.fill(&[("a", r#"{"id":"a"}"#), ("b", r#"{"id":"hidden","rest":"a"}"#)]);
    let Command::Write(mut writes) = core.command(&[("a", Op::Delete { id: id("a"), if_match: None })]) else {
        panic!("a write")
    };
    let named = core.submit(Command::Write(writes.clone())).unwrap_err().to_string();
    assert!(named.contains("hidden") && named.contains("b.rest"), "{named}");
    writes[0].guard = Guard::for_caller(true, [const { Rows::All }; 5]);
    let refusal = core.submit(Command::Write(writes)).unwrap_err();
    assert!(!refusal.to_string().contains("hidden") && !refusal.to_string().contains("rest"), "{refusal}");
    assert_eq!(refusal.code_str(), "referred_to");
}

#[test]
fn a_deletion_takes_so_many_along_and_no_more() {
    for on_delete in [OnDelete::Cascade, OnDelete::SetNull] {
        let mut core = Stepped::with(&[A]);
        let mut wanted = core.wanted(r#"{"name":"l","fields":[{"name":"to","type":"relation","collection":"a"}]}"#);
        let FieldKind::Relation { on_delete: how, collection, .. } = &mut wanted.fields[0].kind else {
            panic!("a relation")
        };
        *how = on_delete;
        assert_eq!(*collection, CollectionId(1));
        core.submit(Command::Define(Box::new(wanted))).unwrap();
        core.fill(&[("a", r#"{"id":"a"}"#)]);
        // With the deleted one itself: one over the bound.
        let referrer = |core: &Stepped, n: usize| ("l", core.create("l", &format!(r#"{{"id":"r{n}","to":"a"}}"#)));
        let most: Vec<(&str, Op)> = (0..limits::ENTRY_CHANGES_MAX).map(|n| referrer(&core, n)).collect();
        core.write(&most).unwrap();
        let keys = core.keys();
        let delete = [("a", Op::Delete { id: id("a"), if_match: None })];
        let refusal = core.write(&delete).unwrap_err();
        assert_eq!(refusal.kind(), Kind::TooLarge);
        assert!(refusal.message().contains("delete what refers to this one first"), "{refusal}");
        assert_eq!(core.keys(), keys);
        core.write(&[("l", Op::Delete { id: id("r7"), if_match: None })]).unwrap();
        core.write(&delete).unwrap();
        assert_eq!(core.entries().last().unwrap().entry.changes.len(), limits::ENTRY_CHANGES_MAX);
        assert_eq!(core.shown("l", "r8"), if on_delete == OnDelete::Cascade { "gone" } else { "" });
    }
}

#[test]
fn a_deletion_is_bounded_in_bytes() {
    let mut core = Stepped::with(&[
        A,
        r#"{"name":"l","fields":[{"name":"to","type":"relation","collection":"a","onDelete":"cascade"},
            {"name":"text","type":"text","max":2000000}]}"#,
    ]);
    core.fill(&[("a", r#"{"id":"a"}"#)]);
    for n in 0..9 {
        let body = format!(r#"{{"id":"r{n}","to":"a","text":"{}"}}"#, "x".repeat(1_990_000));
        core.fill(&[("l", &body)]);
    }
    let delete = [("a", Op::Delete { id: id("a"), if_match: None })];
    assert_eq!(core.write(&delete).unwrap_err().kind(), Kind::TooLarge);
    core.write(&[("l", Op::Delete { id: id("r0"), if_match: None })]).unwrap();
    core.write(&delete).unwrap();
    assert_eq!(core.shown("l", "r8"), "gone");
}
