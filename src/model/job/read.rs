//! A record of `_jobs` read against a schema: each fault with its field, and in an expression with its column.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::{Flaw, Form, Job, Schedule, Store, Task};
use crate::error::Result;
use crate::limits;
use crate::model::aggregate::{self, Aggregation, Grouping, Texts};
use crate::model::expr::{Program, Scope};
use crate::model::faults::Faults;
use crate::model::handler::read::{Stored, expression, field, flawed, named, takes};
use crate::model::handler::webhook::Said;
use crate::model::handler::{Setting, Webhook};
use crate::model::schema::{Collection, CollectionKind, IndexState, Schema};
use crate::model::value::{Fields, Value};

/// What a job may do.
const TASKS: &str =
    "is one of {\"update\": {…}}, {\"delete\": {}}, {\"webhook\": {…}}, {\"aggregate\": {…}}, {\"export\": {…}}";

impl Job {
    /// Reads a record of `own`, which is `_jobs`.
    ///
    /// # Errors
    /// `Invalid` with all faults.
    pub fn read(schema: &Schema, own: &Collection, fields: &Fields) -> Result<Job> {
        let stored = Stored { own, fields };
        let mut faults = Faults::default();
        let schedule = schedule(stored, &mut faults);
        let source = source(schema, stored, &mut faults);
        let reader = Reader { schema, stored };
        let task = match (&source, stored.json("task")) {
            (Some((collection, filter)), Some(Json::Object(task))) if task.len() == 1 => {
                reader.task(collection, filter.as_ref(), &task, &mut faults)
            }
            (None, Some(Json::Object(task))) if task.len() == 1 => None,
            _ => {
                faults.add("task", "invalid", TASKS);
                None
            }
        };
        let store = reader.store(task.as_ref(), &mut faults);
        let notify = reader.notify(&mut faults);
        faults.into_result("the job has faults")?;
        // Where one is missing, a fault says why.
        let ((collection, filter), task) =
            source.zip(task).ok_or_else(|| crate::error::Error::internal("a job without faults is none"))?;
        let number = |name: &str| match stored.get(name) {
            Value::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        };
        Ok(Job {
            name: stored.text("name").unwrap_or_default().into(),
            enabled: is_enabled(own, fields),
            schedule,
            source: collection.id,
            filter: filter.map(|(program, _)| Arc::new(program)),
            chunk: number("chunk").unwrap_or(limits::JOB_CHUNK),
            parallel: number("parallel").unwrap_or(limits::JOB_PARALLEL),
            task,
            stop_on_error: *stored.get("stopOnError") == Value::Bool(true),
            store,
            notify: notify.map(Box::new),
            timeout: number("timeout").map(|seconds| Duration::from_secs(seconds as u64)),
            keep: number("keep").unwrap_or(limits::JOB_KEEP),
        })
    }
}

/// Whether the schedule of a record of `own`, which is `_jobs`, holds.
pub fn is_enabled(own: &Collection, fields: &Fields) -> bool {
    *Stored { own, fields }.get("enabled") != Value::Bool(false)
}

fn schedule(stored: Stored<'_>, faults: &mut Faults) -> Option<Schedule> {
    let zone = stored.text("timeZone");
    let Some(text) = stored.text("schedule") else {
        if zone.is_some() {
            faults.add("timeZone", "not_here", "is for a job with a schedule");
        }
        return None;
    };
    match Schedule::parse(text, zone) {
        Ok(schedule) => return Some(schedule),
        Err(Flaw::Cron(why)) => faults.add("schedule", "bad_cron", format!("is no cron expression: {why}")),
        Err(Flaw::Zone) => faults.add("timeZone", "unknown_zone", "is no time zone, such as Europe/Berlin"),
    }
    None
}

type Found<'a> = (&'a Collection, Option<(Program, Box<str>)>);

/// `{"collection", "filter"}`
fn source<'a>(schema: &'a Schema, stored: Stored<'_>, faults: &mut Faults) -> Option<Found<'a>> {
    let Some(Json::Object(object)) = stored.json("source") else {
        faults.add("source", "invalid", "is {\"collection\": NAME} and, where not all are meant, \"filter\"");
        return None;
    };
    known(&object, "source.", &["collection", "filter"], faults);
    let fits = |found: &Collection| !found.id.is_own();
    let collection =
        collection(schema, &object, "source", faults, (fits, "the server's own collections are no source"))?;
    let filter = match object.get("filter") {
        None | Some(Json::Null) => None,
        Some(Json::String(filter)) if filter.trim().is_empty() => None,
        Some(Json::String(filter)) => {
            let program = expression(schema, collection, "source.filter", filter, Program::condition, faults)?;
            Some((program, filter.as_str().into()))
        }
        Some(_) => {
            faults.add("source.filter", "invalid", "is an expression, as a text");
            None
        }
    };
    Some((collection, filter))
}

/// The collection that an object names, if it is one that fits; else why not.
fn collection<'a>(
    schema: &'a Schema,
    object: &Map<String, Json>,
    path: &str,
    faults: &mut Faults,
    (fits, why): (impl Fn(&Collection) -> bool, &str),
) -> Option<&'a Collection> {
    let path = format!("{path}.collection");
    match text(object, "collection").map(|name| named(schema, name)) {
        None => faults.add(path, "required", "is the name of a collection"),
        Some(None) => faults.add(path, "unknown_collection", "there is no such collection"),
        Some(Some(found)) if !fits(found) => faults.add(path, "not_here", why),
        Some(found) => return found,
    }
    None
}

/// What is in an object beside these is a fault.
fn known(object: &Map<String, Json>, path: &str, names: &[&str], faults: &mut Faults) {
    for name in object.keys().filter(|name| !names.contains(&&***name)) {
        faults.add(format!("{path}{name}"), "unknown_field", "is not known here");
    }
}

fn text<'a>(object: &'a Map<String, Json>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Json::as_str).filter(|text| !text.is_empty())
}

/// Reads what a job does.
#[derive(Clone, Copy)]
struct Reader<'a> {
    schema: &'a Schema,
    stored: Stored<'a>,
}

impl Reader<'_> {
    fn task(
        self,
        collection: &Collection,
        filter: Option<&(Program, Box<str>)>,
        task: &Map<String, Json>,
        faults: &mut Faults,
    ) -> Option<Task> {
        let (kind, said) = task.iter().next()?;
        let path = format!("task.{kind}");
        let Json::Object(said) = said else {
            faults.add(path, "invalid", "is an object");
            return None;
        };
        match &**kind {
            "update" => self.update(collection, said, faults).map(Task::Update),
            "delete" => {
                known(said, "task.delete.", &[], faults);
                Some(Task::Delete)
            }
            "webhook" => self.webhook("task.webhook.", said, faults).map(|webhook| Task::Webhook(Box::new(webhook))),
            "aggregate" => self.aggregate(collection, filter.map(|(_, text)| &**text), said, faults),
            "export" => {
                known(said, "task.export.", &["format"], faults);
                match said.get("format").map(Json::as_str) {
                    None | Some(Some("ndjson")) => Some(Task::Export(Form::Ndjson)),
                    Some(Some("csv")) => Some(Task::Export(Form::Csv)),
                    Some(_) => {
                        faults.add("task.export.format", "invalid", "is ndjson or csv");
                        None
                    }
                }
            }
            _ => {
                faults.add(path, "unknown_field", TASKS);
                None
            }
        }
    }

    /// Fields of the source itself, each with an expression.
    fn update(self, collection: &Collection, said: &Map<String, Json>, faults: &mut Faults) -> Option<Vec<Setting>> {
        if said.is_empty() || collection.kind != CollectionKind::Base {
            let message = "is an object of fields, each with an expression, and of no auth collection";
            faults.add("task.update", "required", message);
            return None;
        }
        let mut settings: Vec<Setting> = Vec::with_capacity(said.len());
        for (name, text) in said {
            let path = format!("task.update.{name}");
            let Some(text) = text.as_str() else {
                faults.add(path, "invalid", "is an expression, as a text");
                continue;
            };
            let Some((field, way)) = field(collection, name, &path, faults) else { continue };
            if settings.iter().any(|setting| setting.field == field.id) {
                faults.add(path, "duplicate", "is set in two ways");
                continue;
            }
            let program = expression(self.schema, collection, &path, text, Program::value_of, faults);
            let Some(program) = program else { continue };
            if takes(field, way, program.is()) {
                settings.push(Setting { field: field.id, way, program });
            } else {
                let (is, kind) = (program.is(), field.kind.name());
                let message = format!("gives {is}, which doesn't go into the {kind} {}", field.name);
                flawed(collection, &path, &crate::model::expr::Fault::new(0, message), faults);
            }
        }
        Some(settings)
    }

    fn webhook(self, path: &str, said: &Map<String, Json>, faults: &mut Faults) -> Option<Webhook> {
        known(said, path, &["url", "headers", "timeout"], faults);
        let timeout_seconds = match said.get("timeout") {
            None | Some(Json::Null) => None,
            Some(timeout) => {
                let seconds =
                    timeout.as_u64().filter(|seconds| (1..=limits::HANDLER_TIMEOUT_SECONDS_MAX).contains(seconds));
                if seconds.is_none() {
                    let message = format!("is 1 to {} seconds", limits::HANDLER_TIMEOUT_SECONDS_MAX);
                    faults.add(format!("{path}timeout"), "invalid", message);
                }
                seconds
            }
        };
        let (url, secret) = (text(said, "url"), self.stored.text("secret"));
        Said { path, url, secret, headers: said.get("headers").cloned(), timeout_seconds }.read(faults)
    }

    fn notify(self, faults: &mut Faults) -> Option<Webhook> {
        match self.stored.json("notify") {
            None | Some(Json::Null) => None,
            Some(Json::Object(object)) => {
                known(&object, "notify.", &["webhook"], faults);
                let Some(Json::Object(said)) = object.get("webhook") else {
                    faults.add("notify.webhook", "required", "is {\"url\": …}");
                    return None;
                };
                self.webhook("notify.webhook.", said, faults)
            }
            Some(_) => {
                faults.add("notify", "invalid", "is {\"webhook\": {\"url\": …}}");
                None
            }
        }
    }

    /// As `GET …/records/aggregate` takes it.
    fn aggregate(
        self,
        collection: &Collection,
        filter: Option<&str>,
        said: &Map<String, Json>,
        faults: &mut Faults,
    ) -> Option<Task> {
        known(said, "task.aggregate.", &["group", "values", "having", "sort", "limit"], faults);
        let part = |name: &str| match said.get(name) {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let (group, values, having, sort) = (part("group"), part("values"), part("having"), part("sort"));
        let limit =
            said.get("limit").map_or(Some(limits::AGGREGATE_ROWS_MAX as u64), Json::as_u64).filter(|limit| *limit > 0);
        if limit.is_none() {
            faults.add("task.aggregate.limit", "invalid", "is a whole number from 1");
        }
        let texts = Texts {
            group: group.as_deref(),
            values: values.as_deref(),
            filter,
            having: having.as_deref(),
            sort: sort.as_deref(),
            timeout: None,
            limit: usize::try_from(limit?).unwrap_or(usize::MAX),
            partial: false,
            explain: false,
        };
        match self.asked(collection, texts) {
            Ok(asked) => Some(Task::Aggregate(Arc::new(asked))),
            Err(error) => {
                let mut told = false;
                for fault in error.field_faults() {
                    let code = match fault.code {
                        std::borrow::Cow::Borrowed(code) => code,
                        std::borrow::Cow::Owned(_) => "invalid",
                    };
                    faults.add(format!("task.aggregate.{}", fault.field), code, &*fault.message);
                    told = true;
                }
                if !told {
                    faults.add("task.aggregate", error.code_str(), error.message());
                }
                None
            }
        }
    }

    fn asked(self, collection: &Collection, texts: Texts<'_>) -> Result<Aggregation> {
        let mut asked = aggregate::of_texts(&collection.name, texts)?;
        // A job has its own time.
        asked.timeout = limits::JOB_AGGREGATE_TIME;
        let scope = Scope { schema: self.schema, collection, callers: self.schema.callers(), sees_hidden: true };
        for source in &asked.sources {
            Grouping::new(scope, source, "")?;
        }
        Ok(asked)
    }

    /// `{"collection", "key"}`
    fn store(self, task: Option<&Task>, faults: &mut Faults) -> Option<Store> {
        let object = match self.stored.json("store") {
            None | Some(Json::Null) => return None,
            Some(Json::Object(object)) => object,
            Some(_) => {
                faults.add("store", "invalid", "is {\"collection\": NAME} and, to replace rows, \"key\": FIELD");
                return None;
            }
        };
        if task.is_some_and(|task| !matches!(task, Task::Aggregate(_))) {
            faults.add("store", "not_here", "is for the result of an aggregate");
            return None;
        }
        known(&object, "store.", &["collection", "key"], faults);
        let fits = |found: &Collection| !found.id.is_own() && found.kind == CollectionKind::Base;
        let why = "a job writes into no auth collection and none of the server's own";
        let target = collection(self.schema, &object, "store", faults, (fits, why))?;
        let Some(key) = text(&object, "key") else { return Some(Store { collection: target.id, key: None }) };
        let Some(field) = target.field(key) else {
            faults.add("store.key", "unknown_field", format!("{} has no such field", target.name));
            return None;
        };
        let index = target.indexes.iter().find(|index| {
            index.unique
                && index.fields.len() == 1
                && index.fields[0].field == field.id
                && index.state == IndexState::Ready
        });
        let Some(index) = index else {
            let message =
                format!("has no unique index over it alone in {}, by which rows are found again", target.name);
            faults.add("store.key", "not_unique", message);
            return None;
        };
        Some(Store { collection: target.id, key: Some((field.id, index.id)) })
    }
}
