//! What was asked of the server, as the journal has it, for superusers: lists, one line, how many in each hour.
//!
//! A line has the names of the shape below.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::config::{Level, Settings};
use crate::core::Core;
use crate::error::{Error, Kind, Result};
use crate::id::FieldId;
use crate::journal::{Entry, Journal, Keep, Line, LineId, Meters};
use crate::limits;
use crate::model::expr::{Exhausted, Input, NoRelations, Program, Row};
use crate::model::json::{write_date, write_i64};
use crate::model::look::Look;
use crate::model::value::{Fields, Value};
use crate::service::auth::API_KEYS;
use crate::service::lists::offset;
use crate::service::relations::OVER;
use crate::service::shape::{Order, Shape};
use crate::service::{Caller, Paging, Service, access, output};
use crate::time::Millis;

const LINES: &str = r#"{"name":"_logs","fields":[{"name":"created","type":"date"},
    {"name":"level","type":"number","integer":true},{"name":"message","type":"text"},{"name":"data","type":"json"}]}"#;
// Its fields, in that order.
const CREATED: FieldId = FieldId(1);
const LEVEL: FieldId = FieldId(2);
const MESSAGE: FieldId = FieldId(3);
const DATA: FieldId = FieldId(4);
const HOUR_MS: i64 = 3_600_000;
/// Lines between two looks at the clock.
const CLOCK_LINES: usize = 256;

static SHAPE: LazyLock<Shape> = LazyLock::new(|| Shape::new(LINES));

/// The journal and what of the lines that come goes into it.
#[derive(Debug)]
pub(super) struct Logs {
    journal: Journal,
    level: Level,
}

impl Logs {
    /// `None` where the settings keep no lines.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub(super) fn start(core: &Core, settings: &Settings) -> Result<Option<Logs>> {
        let age = Duration::from_secs(u64::from(settings.request_log_hours) * 3_600);
        let keep = Keep { lines: settings.request_log_lines, age };
        if keep.lines == 0 || keep.age.is_zero() {
            return Ok(None);
        }
        let (disk, dir) = core.folder();
        let journal = Journal::start(disk.clone(), dir, keep, core.clock().clone())?;
        Ok(Some(Logs { journal, level: settings.request_log_level }))
    }
}

/// What there is to be read: no lines where none are kept.
struct Lines<'a>(Option<&'a Logs>);

impl Lines<'_> {
    fn visit(&self, visit: &mut dyn FnMut(Line) -> Result<ControlFlow<()>>) -> Result<()> {
        self.0.map_or(Ok(()), |logs| logs.journal.visit(visit))
    }
}

/// A list of lines, as asked for.
#[derive(Clone, Copy, Debug)]
pub struct LogsRequest<'a> {
    /// The condition that they meet.
    pub filter: Option<&'a str>,
    /// Their order; newest first where there is none.
    pub sort: Option<&'a str>,
    /// What is shown of each.
    pub fields: Option<&'a str>,
    /// Which of them.
    pub paging: Paging,
}

impl Service {
    /// Whether a line of that gravity is kept, so that it is worth making.
    pub fn keeps_line(&self, level: Level) -> bool {
        self.0.logs.as_ref().is_some_and(|logs| level >= logs.level)
    }

    /// Puts a line into the journal: `data` is the text of an object. Never waits.
    pub fn put_line(&self, level: Level, message: String, data: String) {
        if let Some(logs) = self.0.logs.as_ref().filter(|logs| level >= logs.level) {
            let at = self.core().clock().now();
            logs.journal.put(Entry { at, level, message: message.into(), data: data.into() });
        }
    }

    /// What the journal counts; nothing where there is none.
    pub fn line_meters(&self) -> Option<&Meters> {
        self.0.logs.as_ref().map(|logs| logs.journal.meters())
    }

    /// The collection and the record that a caller shows itself to be; empty where it is none.
    pub fn shown_as(&self, caller: &Caller) -> (String, String) {
        match (caller, caller.record()) {
            (Caller::Key(key), _) => (API_KEYS.to_owned(), key.id.to_string()),
            (_, Some((collection, record))) => {
                let view = self.core().view();
                let name = view.schema.get(collection).map(|known| known.name.to_string());
                (name.unwrap_or_default(), record.id.to_string())
            }
            (_, None) => Default::default(),
        }
    }

    /// A page of lines.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `Invalid` with code `bad_filter`, `bad_sort` or `bad_fields`; `Unavailable` while
    /// too many queries wait; `Unprocessable` for one that takes too long.
    pub async fn list_lines(&self, caller: Caller, request: LogsRequest<'_>) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let filter = SHAPE.filter(request.filter)?;
        let (order, look) = (SHAPE.order(request.sort)?, SHAPE.look(request.fields)?);
        let paging = Paging { per_page: request.paging.per_page.min(limits::PAGE_MAX), ..request.paging };
        let mut page = LinePage { skip: offset(paging)?, paging, order, look, total: 0, found: Vec::new(), bytes: 0 };
        self.over_lines(filter, move |lines, holds| {
            lines.visit(&mut |line| match holds(&line)? {
                true => page.take(line),
                false => Ok(ControlFlow::Continue(())),
            })?;
            page.write()
        })
        .await
    }

    /// One line.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`; `Invalid` with code `bad_fields`; `NotFound`, also for one that is not kept any
    /// more.
    pub async fn view_line(&self, caller: Caller, id: &str, fields: Option<&str>) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let look = SHAPE.look(fields)?;
        let none = || Error::new(Kind::NotFound, "there is no such line");
        let id = LineId::parse(id).ok_or_else(none)?;
        let found = self.over_lines(None, move |lines, _| {
            let mut found = Vec::new();
            lines.visit(&mut |line| {
                if line.id == id {
                    write(&look, &line, &mut found)?;
                }
                Ok(if line.id > id { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            Ok(found)
        });
        Some(found.await?).filter(|found| !found.is_empty()).ok_or_else(none)
    }

    /// How many lines there are of each hour that has any, oldest first: `[{total, date}]`.
    ///
    /// # Errors
    /// As [`Service::list_lines`].
    pub async fn count_lines(&self, caller: Caller, text: Option<&str>) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let mut hours: BTreeMap<i64, i64> = BTreeMap::new();
        self.over_lines(SHAPE.filter(text)?, move |lines, holds| {
            lines.visit(&mut |line| {
                if holds(&line)? {
                    *hours.entry(line.at.0.div_euclid(HOUR_MS)).or_default() += 1;
                }
                Ok(ControlFlow::Continue(()))
            })?;
            let mut out = vec![b'['];
            for (at, (hour, total)) in hours.into_iter().enumerate() {
                out.extend_from_slice(if at == 0 { b"{\"total\":" } else { b",{\"total\":" });
                write_i64(&mut out, total);
                out.extend_from_slice(b",\"date\":");
                write_date(&mut out, Millis(hour * HOUR_MS));
                out.push(b'}');
            }
            out.push(b']');
            Ok(out)
        })
        .await
    }

    /// Does something with the journal on one of the threads for what takes long; it is told which lines a filter lets
    /// through, as long as there is time.
    async fn over_lines(
        &self,
        filter: Option<Program>,
        work: impl FnOnce(&Lines<'_>, &mut dyn FnMut(&Line) -> Result<bool>) -> Result<Vec<u8>> + Send + 'static,
    ) -> Result<Vec<u8>> {
        let deadline = Instant::now() + limits::QUERY_TIME_MAX;
        // Not the service: who drops the last of it joins this thread.
        let (logs, now) = (self.0.logs.clone(), self.core().clock().now());
        let run = move || {
            let mut seen = 0_usize;
            let mut holds = |line: &Line| {
                seen += 1;
                if seen.is_multiple_of(CLOCK_LINES) && Instant::now() >= deadline {
                    return Err(too_long());
                }
                let Some(filter) = &filter else { return Ok(true) };
                let (id, fields) = fields(line);
                let row = Row { id: &id, fields: &fields };
                filter.holds(row, &Input::at(now), &NoRelations).map_err(Exhausted::error)
            };
            work(&Lines(logs.as_deref()), &mut holds)
        };
        self.0.pool.run(deadline, run).await
    }
}

fn too_long() -> Error {
    Error::new(Kind::Unprocessable, "so many lines can't be looked at in the time there is: narrow the filter")
        .code(OVER)
}

/// A line as an expression sees it.
fn fields(line: &Line) -> (String, Fields) {
    let mut fields = Fields::new();
    fields.set(CREATED, Value::Date(line.at));
    fields.set(LEVEL, Value::Int(line.level.into()));
    fields.set(MESSAGE, Value::Text(line.message.clone()));
    fields.set(DATA, Value::Json(line.data.clone()));
    (line.id.to_string(), fields)
}

/// About what it takes, its keys included.
fn bytes(line: &Line) -> usize {
    2 * (line.message.len() + line.data.len()) + 64
}

/// A line in the shape that PocketBase's clients read.
fn write(look: &Look, line: &Line, out: &mut Vec<u8>) -> Result<()> {
    let (id, fields) = fields(line);
    SHAPE.write(look, &id, fields, out)
}

/// The page of a list that is being read, newest lines first.
struct LinePage {
    skip: usize,
    paging: Paging,
    order: Order,
    look: Look,
    total: usize,
    /// With what they are sorted by. Of more than the page's end needs, the last are let go now and then.
    found: Vec<(Vec<Value>, Line)>,
    /// Of their texts.
    bytes: usize,
}

impl LinePage {
    fn take(&mut self, line: Line) -> Result<ControlFlow<()>> {
        self.total += 1;
        let end = self.skip + self.paging.per_page;
        if !self.order.is_empty() {
            self.bytes += bytes(&line);
            let (id, fields) = fields(&line);
            self.found.push((self.order.keys(Row { id: &id, fields: &fields })?, line));
            if self.found.len() >= 2 * end + CLOCK_LINES {
                self.sort(end);
            }
            if self.bytes > limits::SORT_BYTES_MAX {
                return Err(too_long());
            }
        } else if self.total > self.skip && self.total <= end {
            self.found.push((Vec::new(), line));
        }
        let full = self.order.is_empty() && !self.paging.count && self.total >= end;
        Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn sort(&mut self, end: usize) {
        let order = &self.order;
        self.found.sort_by(|(a, line), (b, other)| order.compare(a, b).then(other.id.cmp(&line.id)));
        self.found.truncate(end);
        self.bytes = self.found.iter().map(|(_, line)| bytes(line)).sum();
    }

    fn write(mut self) -> Result<Vec<u8>> {
        if !self.order.is_empty() {
            self.sort(self.skip + self.paging.per_page);
            self.found.drain(..self.skip.min(self.found.len()));
        }
        let total = self.paging.count.then_some(self.total);
        let write = |(_, line): &(Vec<Value>, Line), out: &mut Vec<u8>| write(&self.look, line, out);
        output::page(self.paging, total, &self.found, write, None, b"")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::service::fixture::{begin, hold, start};

    #[test]
    fn what_waits_for_a_thread_holds_no_service() {
        let (service, threads) = start(0);
        {
            let _held = hold(&service.0.pool, limits::SCAN_THREADS);
            let paging = Paging { page: 1, per_page: 1, count: false };
            let request = LogsRequest { filter: None, sort: None, fields: None, paging };
            let _waiting = begin(service.list_lines(Caller::Superuser, request));
            assert_eq!(Arc::strong_count(&service.0), 1);
        }
        drop(service);
        threads.stop().unwrap();
    }
}
