//! Decisions about records that can ask, and about the server's own collections.

use super::expressions::refusal;
use super::fixture::*;
use crate::id::CollectionId;
use crate::model::command::{Command, Op};
use crate::model::definition;
use crate::model::guard::{Guard, Rows};
use crate::model::pipeline;
use crate::model::value::Value;

const PEOPLE: &str = r#"{"name":"people","type":"auth","fields":[{"name":"role","type":"text"}]}"#;

/// An operation with its password as if it had been hashed.
fn hashed(core: &Stepped, mut op: Op, hash: &str, key: &str) -> Op {
    let auth = core.collection("people").auth_fields().unwrap();
    pipeline::set_secrets(&mut op, [(auth.password, hash.into()), (auth.token_key, key.into())]);
    op
}

/// A write of `people` by somebody who is no superuser and may all by the rules.
fn by_user(core: &mut Stepped, op: Op, proof: Option<&str>) -> crate::core::Outcome {
    let Command::Write(mut writes) = core.command(&[("people", op)]) else { panic!("writes") };
    let guard = Guard::for_caller(true, [const { Rows::All }; 5]);
    writes[0].guard = proof.map_or(guard.clone(), |hash| guard.proving(hash.into()));
    core.submit(Command::Write(writes))
}

fn with_ada() -> Stepped {
    let mut core = Stepped::with(&[PEOPLE]);
    let body = r#"{"id":"ada","email":"ada@example.com","password":"long enough"}"#;
    let op = hashed(&core, core.create("people", body), "hash 1", "key 1");
    core.write(&[("people", op)]).unwrap();
    core
}

#[test]
fn a_password_that_was_not_hashed_is_never_stored() {
    let mut core = with_ada();
    let ops = [
        core.create("people", r#"{"id":"bob","email":"bob@example.com","password":"long enough"}"#),
        core.merge("people", "ada", r#"{"password":"long enough"}"#, None),
        core.put("people", "ada", r#"{"email":"ada@example.com","password":"long enough"}"#, None, false),
        core.put("people", "bob", r#"{"email":"bob@example.com","password":"long enough"}"#, None, false),
    ];
    for op in ops {
        assert_eq!(refusal(core.write(&[("people", op)])), "Internal internal");
    }
    let without = core.put("people", "bob", r#"{"email":"bob@example.com"}"#, None, false);
    assert_eq!(refusal(core.write(&[("people", without)])), "Invalid invalid password:required");
}

#[test]
fn a_password_changes_only_for_who_knows_the_stored_one_and_ends_the_tokens() {
    let mut core = with_ada();
    let change = |core: &Stepped, hash: &str, key: &str| {
        let op = core.merge("people", "ada", r#"{"password":"another one"}"#, None);
        hashed(core, op, hash, key)
    };
    for proof in [None, Some("hash 0"), Some("")] {
        let op = change(&core, "hash 2", "key 2");
        assert_eq!(refusal(by_user(&mut core, op, proof)), "Invalid invalid oldPassword:bad_password", "{proof:?}");
    }
    let op = change(&core, "hash 2", "key 1");
    assert_eq!(refusal(by_user(&mut core, op, Some("hash 1"))), "Internal internal", "its tokens would go on");
    let op = change(&core, "hash 2", "key 2");
    by_user(&mut core, op, Some("hash 1")).unwrap();
    // Somebody else was faster: what was shown to be known is not the stored one any more.
    let op = change(&core, "hash 3", "key 3");
    assert_eq!(refusal(by_user(&mut core, op, Some("hash 1"))), "Invalid invalid oldPassword:bad_password");
    let op = change(&core, "hash 4", "key 4");
    core.write(&[("people", op)]).unwrap();
    assert!(core.shown("people", "ada").contains("password=\"hash 4\""), "a superuser needs no old one");
}

#[test]
fn a_replacement_keeps_what_it_cannot_name() {
    let mut core = with_ada();
    let verify = core.merge("people", "ada", r#"{"verified":true}"#, None);
    core.write(&[("people", verify)]).unwrap();
    let auth = core.collection("people").auth_fields().unwrap();
    let op = core.put("people", "ada", r#"{"email":"ada@example.com","role":"x"}"#, None, false);
    by_user(&mut core, op, None).unwrap();
    let kept = core.record("people", "ada").unwrap();
    assert_eq!(kept.fields.get(auth.password), &Value::text("hash 1"));
    assert_eq!(kept.fields.get(auth.token_key), &Value::text("key 1"));
    assert_eq!(kept.fields.get(auth.verified), &Value::Bool(true));
    let op = core.put("people", "ada", r#"{"email":"other@example.com"}"#, None, false);
    by_user(&mut core, op, None).unwrap();
    let moved = core.record("people", "ada").unwrap();
    assert_eq!(moved.fields.get(auth.verified), &Value::Bool(false), "another address is not verified");
}

#[test]
fn what_rules_ask_of_their_callers_stays() {
    let mut core = with_ada();
    let rule = r#"{"name":"notes","listRule":"@request.auth.role = 'editor'"}"#;
    core.define(rule);
    let people = core.collection("people").id;
    assert_eq!(refusal(core.submit(Command::Drop(people))), "Conflict referred_to");
    let notes = core.collection("notes").id;
    core.submit(Command::Drop(notes)).unwrap();
    core.submit(Command::Drop(people)).unwrap();
}

#[test]
fn the_servers_own_collections_stay_as_they_are() {
    let mut core = Stepped::with(&[PEOPLE]);
    let own = definition::parse_own(&core.view().schema, br#"{"name":"_own"}"#, NOW).unwrap();
    let made = core.submit(Command::Define(Box::new(own))).unwrap().collection.unwrap();
    assert_eq!(made.id, CollectionId::OWN_FIRST);
    let body = core.create("_own", r#"{"id":"a"}"#);
    core.write(&[("_own", body)]).unwrap();
    assert_eq!(refusal(core.submit(Command::Drop(made.id))), "Conflict own_collection");
    assert_eq!(refusal(core.submit(Command::Truncate(made.id))), "Conflict own_collection");
    assert_eq!(refusal(core.submit(Command::Redefine(made))), "Conflict own_collection");
    let next = core.define(r#"{"name":"next"}"#);
    assert_eq!(next.id, CollectionId(2), "they have numbers of their own");
    let mut plain = (*core.collection("people")).clone();
    plain.kind = crate::model::schema::CollectionKind::Base;
    assert_eq!(refusal(core.submit(Command::Redefine(Box::new(plain)))), "Unprocessable unprocessable type:read_only");
}
