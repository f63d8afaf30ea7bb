//! Why a caller may or may not: a superuser's question about somebody else, answered by those who would decide it.
//!
//! Nothing is written: a write is judged by `core::decide` as it would be, and its decision is let go. A part of a rule is
//! judged by asking the same with that part in the rule's place.

use serde_json::{Value as Json, json};

use super::super::access::{self, Account, Asker, Caller};
use super::super::records::{find, no_record};
use super::super::{Service, ids};
use super::{is_superusers, record_and_key};
use crate::core::{
    Published,
    decide::{Pieces, decide},
};
use crate::error::{Error, Kind, Result};
use crate::id::{Position, RecordId};
use crate::limits;
use crate::model::command::{Command, Op, Write};
use crate::model::expr::{Parts, Program, Scope, parts};
use crate::model::faults::Faults;
use crate::model::guard::{Action, Guard};
use crate::model::json;
use crate::model::pipeline;
use crate::model::record::Record;
use crate::model::schema::Collection;
use crate::state;
use crate::time::Millis;

/// What is asked.
#[derive(Default)]
struct Question {
    /// The collection and the id of the caller; `None` for nobody.
    caller: Option<(String, String)>,
    action: Option<Action>,
    id: Option<String>,
    body: Option<String>,
}

/// What is to be judged: the same for a rule and for each of its parts.
struct Case<'a> {
    view: &'a Published,
    collection: &'a Collection,
    action: Action,
    record: Option<&'a Record>,
    op: Option<Op>,
    asker: &'a Asker,
    now: Millis,
}

impl Service {
    /// Whether a caller may do something, and which part of which rule says no.
    ///
    /// # Errors
    /// `Unauthenticated` or `Forbidden` but for a superuser; `NotFound` for the collection or the caller's record; `Invalid` for
    /// the question or the body in it.
    pub fn explain_access(&self, asker: &Asker, name: &str, body: &[u8]) -> Result<Vec<u8>> {
        access::superuser(&asker.caller)?;
        let view = self.core().view();
        let collection = find(&view.schema, name)?;
        let question = Question::read(body)?;
        let action = question.action.ok_or_else(|| Error::internal("a question without an action"))?;
        let method = match action {
            Action::List | Action::View => "GET",
            Action::Create => "POST",
            Action::Update => "PATCH",
            Action::Delete => "DELETE",
        };
        let subject = self.asker(caller_of(&view, question.caller.as_ref())?, method, Vec::new().into());
        let guard = subject.guard(&view.schema, collection)?;
        let id = question.id.as_deref().map(RecordId::new).transpose()?;
        let record = match &id {
            Some(id) => state::record(&view.stack, collection, id)?,
            None => None,
        };
        let op = op_of(collection, action, id.as_ref(), question.body.as_deref(), &guard, self.core().clock().now())?;
        let (record, now) = (record.as_ref(), self.core().clock().now());
        let case = Case { view: &view, collection, action, record, op, asker: &subject, now };
        let missing = id.is_some() && record.is_none();
        let outcome = if missing { Some(no_record()) } else { case.judged(&guard)?.err() };
        let (rule_name, rule) = collection.rules.named()[action as usize];
        let mut left = limits::FAULTS_MAX;
        let told = match rule.filter(|rule| !rule.is_empty() && !missing && !guard.is_superuser()) {
            Some(rule) if case.has_row() => case.told(rule, &mut left)?,
            _ => Json::Null,
        };
        let hidden = collection.fields.iter().filter(|field| !field.is_seen(guard.is_superuser()));
        let hidden: Vec<&str> = hidden.map(|field| &*field.name).collect();
        let answer = json!({
            "allowed": outcome.is_none(),
            "code": outcome.as_ref().map(Error::code_str),
            "reason": outcome.as_ref().map(Error::message),
            "superuser": guard.is_superuser(),
            "rule": {"name": rule_name, "expr": rule},
            "parts": told,
            "hidden": hidden,
        });
        serde_json::to_vec(&answer).map_err(|error| Error::internal("no JSON").source(error))
    }
}

fn caller_of(view: &Published, asked: Option<&(String, String)>) -> Result<Caller> {
    let Some((collection, id)) = asked else { return Ok(Caller::Anonymous) };
    let gone = || Error::new(Kind::NotFound, "there is no such caller").fault("caller", "not_found", "is no record");
    let collection = view.schema.find(collection).ok_or_else(gone)?;
    let (record, _) = record_and_key(view, collection, &RecordId::new(id)?)?.ok_or_else(gone)?;
    let superuser = is_superusers(collection);
    let (collection, record) = (collection.id, record.into());
    Ok(Caller::Account(Account { collection, record, superuser, expires: Millis(0), refreshable: false }.into()))
}

/// The write that is asked about. A password in it counts as hashed, and the old one as known.
fn op_of(
    collection: &Collection,
    action: Action,
    id: Option<&RecordId>,
    body: Option<&str>,
    guard: &Guard,
    now: Millis,
) -> Result<Option<Op>> {
    let sees_hidden = guard.is_superuser();
    let body = body.unwrap_or("{}").as_bytes();
    let mut op = match (action, id) {
        (Action::Create, id) => {
            let id = id.cloned().map_or_else(|| ids::record_id(now), Ok)?;
            pipeline::create(collection, body, id, sees_hidden)?
        }
        (Action::Update, Some(id)) => pipeline::merge(collection, id, body, None, sees_hidden)?,
        (Action::Delete, Some(id)) => Op::Delete { id: id.clone(), if_match: None },
        _ => return Ok(None),
    };
    if let Some(auth) = collection.auth_fields()
        && pipeline::new_password(&op, auth).is_some()
    {
        pipeline::set_secrets(&mut op, [auth.password, auth.token_key].map(|field| (field, "hashed".into())));
    }
    Ok(Some(op))
}

impl Case<'_> {
    /// Whether there is a record to ask a rule of.
    fn has_row(&self) -> bool {
        self.record.is_some() || self.action == Action::Create
    }

    /// What `guard` says: the refusal is a value, what went wrong below an error.
    fn judged(&self, guard: &Guard) -> Result<Result<()>> {
        if let Err(refusal) = guard.allow(self.action) {
            return Ok(Err(refusal));
        }
        let Some(op) = &self.op else {
            let Some(record) = self.record else { return Ok(Ok(())) };
            let (stack, schema) = (&self.view.stack, &self.view.schema);
            let permitted = state::permits(stack, schema, guard, self.action, &record.id, &record.fields)?;
            return Ok(if permitted { Ok(()) } else { Err(no_record()) });
        };
        let mut guard = guard.clone();
        if let (Some(record), Some(auth)) = (self.record, self.collection.auth_fields())
            && let Some(hash) = record.fields.get(auth.password).as_text()
        {
            guard = guard.proving(hash.into());
        }
        let write = Write { collection: self.collection.id, schema: self.collection.version, guard, op: op.clone() };
        let position = Position { seq: self.view.position.seq.next(), ..self.view.position };
        let command = Command::Write(vec![write]);
        match decide(&self.view.schema, &self.view.stack, position, &command, self.now, Pieces::default()) {
            Ok(_) => Ok(Ok(())),
            Err(error) if matches!(error.kind(), Kind::Internal | Kind::Damaged) => Err(error),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// A condition with whether it holds, and so its parts; as many as `left` says.
    fn told(&self, text: &str, left: &mut usize) -> Result<Json> {
        let Some(rest) = left.checked_sub(1) else { return Ok(Json::Null) };
        *left = rest;
        let mut told = json!({"expr": text, "holds": self.holds(text)?});
        let (word, inner) = match parts(text) {
            Parts::One(_) => return Ok(told),
            Parts::All(inner) => ("all", inner),
            Parts::Any(inner) => ("any", inner),
        };
        let inner = inner.into_iter().map(|part| self.told(part, left)).collect::<Result<Vec<_>>>()?;
        told[word] = Json::Array(inner);
        Ok(told)
    }

    fn holds(&self, text: &str) -> Result<bool> {
        let (schema, collection) = (&*self.view.schema, self.collection);
        let scope = Scope { schema, collection, callers: schema.callers(), sees_hidden: true };
        let program = Program::condition(scope, text).map_err(|fault| fault.error("rule", "bad_expression"))?;
        let guard = self.asker.guard_by(schema, collection, self.action, program.into())?;
        Ok(match self.judged(&guard)? {
            Ok(()) => true,
            // Past the rule: what comes behind it refused.
            Err(refusal) => !matches!(refusal.kind(), Kind::Forbidden | Kind::Unauthenticated | Kind::NotFound),
        })
    }
}

impl Question {
    fn read(body: &[u8]) -> Result<Question> {
        let mut faults = Faults::default();
        let mut question = Question::default();
        for (key, raw) in json::members(json::checked_text(body)?)? {
            let text = || json::text_of(raw).map(|text| text.into_owned());
            let taken = match &*key {
                "caller" => {
                    question.caller = named(raw);
                    raw == "null" || question.caller.is_some()
                }
                "action" => {
                    let name = text();
                    question.action = Action::ALL.into_iter().find(|action| name.as_deref() == Some(action.name()));
                    question.action.is_some()
                }
                "id" => {
                    question.id = text();
                    raw == "null" || question.id.is_some()
                }
                "body" => {
                    question.body = (raw != "null").then(|| raw.to_owned());
                    true
                }
                other => {
                    let shown: String = other.chars().take(limits::NAME_BYTES_MAX).collect();
                    faults.add(shown, "unknown_field", "is not known here");
                    true
                }
            };
            if !taken {
                let wanted = match &*key {
                    "caller" => "must be null for nobody, or an object with collection and id",
                    "action" => "must be list, view, create, update or delete",
                    _ => "must be a text",
                };
                faults.add(key, "wrong_type", wanted);
            }
            if faults.full() {
                break;
            }
        }
        if faults.is_empty() {
            let needs_id = matches!(question.action, Some(Action::View | Action::Update | Action::Delete));
            if question.action.is_none() {
                faults.add("action", "required", "is required");
            } else if needs_id && question.id.is_none() {
                faults.add("id", "required", "is required for this action");
            }
        }
        faults.into_result("the question has faults")?;
        Ok(question)
    }
}

/// `{collection, id}`
fn named(raw: &str) -> Option<(String, String)> {
    let members = json::members(raw).ok()?;
    let text = |name: &str| {
        let (_, raw) = members.iter().find(|(key, _)| key == name)?;
        json::text_of(raw).map(|text| text.into_owned())
    };
    (members.len() == 2).then_some((text("collection")?, text("id")?))
}
