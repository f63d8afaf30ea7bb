//! A source on another server: what that one is asked, and what it answers. Expressions are read there; here only their names
//! are known.

use std::time::Duration;

use super::{Column, Named, Source, Table};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::expr::{Many, Scalar, Type};
use crate::model::json::{checked_text, compact, elements, members, text_of, write_text};
use crate::model::value::Value;

impl Source {
    /// The URL that it is asked at, where it is another server's.
    pub fn endpoint(&self) -> Option<url::Url> {
        let mut url = self.remote.as_ref()?.url.clone();
        let path = format!("{}/api/aggregate", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Some(url)
    }

    /// The body that another server is asked with: this source alone, in the time that is left.
    pub fn request(&self, timeout: Duration) -> String {
        let mut out = b"{\"sources\":{".to_vec();
        write_text(&mut out, &self.name);
        out.extend_from_slice(b":{\"collection\":");
        write_text(&mut out, &self.collection);
        let text = |out: &mut Vec<u8>, key: &str, value: &Option<Box<str>>| {
            if let Some(value) = value {
                out.extend_from_slice(format!(",\"{key}\":").as_bytes());
                write_text(out, value);
            }
        };
        let named = |out: &mut Vec<u8>, key: &str, list: &[Named]| {
            for (at, Named { name, text }) in list.iter().enumerate() {
                let before = if at == 0 { format!(",\"{key}\":{{") } else { ",".to_owned() };
                out.extend_from_slice(before.as_bytes());
                write_text(out, name);
                out.push(b':');
                write_text(out, text);
            }
            if !list.is_empty() {
                out.push(b'}');
            }
        };
        text(&mut out, "filter", &self.filter);
        named(&mut out, "group", &self.group);
        named(&mut out, "values", &self.values);
        text(&mut out, "having", &self.having);
        out.extend_from_slice(format!("}}}},\"timeout\":\"{}ms\"}}", timeout.as_millis().max(1)).as_bytes());
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The columns of what another server answers: it is not known what is in them.
    pub fn columns(&self) -> Vec<Column> {
        let any = Type { of: Scalar::Any, many: Many::One };
        self.group.iter().chain(&self.values).map(|one| Column { name: one.name.clone(), is: any }).collect()
    }

    /// What another server answered, as a table.
    ///
    /// # Errors
    /// `Timeout` with code `source_failed` for what is no answer to it; `Unprocessable` for too many groups.
    pub fn table(&self, body: &[u8]) -> Result<Table> {
        let failed = || failed("it answers with something that is no aggregate");
        let text = checked_text(body).map_err(|_| failed())?;
        let items = members(text).map_err(|_| failed())?.into_iter().find(|(key, _)| key == "items");
        let items = items.and_then(|(_, raw)| elements(raw)).ok_or_else(failed)?;
        if items.len() > limits::AGGREGATE_GROUPS_MAX {
            let message = format!("the source has more than {} groups", limits::AGGREGATE_GROUPS_MAX);
            return Err(Error::new(Kind::Unprocessable, message).code("too_many_groups"));
        }
        let columns = self.columns();
        let mut rows = Vec::with_capacity(items.len());
        for item in items {
            let members = members(item).map_err(|_| failed())?;
            let of = |column: &Column| {
                let found = members.iter().find(|(key, _)| *key == *column.name);
                found.map_or(Some(Value::Null), |(_, raw)| value(raw)).ok_or_else(failed)
            };
            rows.push(columns.iter().map(of).collect::<Result<Vec<_>>>()?);
        }
        Ok(Table { columns, rows })
    }
}

/// The failure of a source on another server.
pub fn failed(why: &str) -> Error {
    Error::new(Kind::Timeout, format!("the other server failed: {why}")).code("source_failed")
}

/// A value from JSON; its depth is bounded.
fn value(raw: &str) -> Option<Value> {
    Some(match raw.as_bytes().first()? {
        b'n' => Value::Null,
        b't' => Value::Bool(true),
        b'f' => Value::Bool(false),
        b'"' => Value::text(text_of(raw)?.into_owned()),
        b'[' => Value::List(elements(raw)?.into_iter().map(value).collect::<Option<_>>()?),
        b'{' => {
            let mut text = String::with_capacity(raw.len());
            compact(raw, &mut text).ok()?;
            Value::Json(text.into())
        }
        _ => match raw.parse() {
            Ok(whole) => Value::Int(whole),
            Err(_) => Value::Number(raw.parse().ok().filter(|number: &f64| number.is_finite())? + 0.0),
        },
    })
}
