//! The answer of a run: its sources merged and told, as JSON.

use super::run::{Done, Run, Told};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::aggregate::{Source, Table};
use crate::model::json::{write_i64, write_text};

/// What a run that has ended comes to. `far` has the tables of other servers, by the numbers of their sources.
///
/// # Errors
/// Where every source failed, the first's; of the merge and of what is told.
pub(super) fn of(run: &Run, mut far: Vec<(usize, Result<Table>)>) -> Result<Done> {
    let (resolved, request) = (run.resolved(), run.request());
    let mut tables: Vec<Option<Table>> = Vec::with_capacity(request.sources.len());
    let (mut failed, mut told) = (Vec::new(), Vec::new());
    for (number, (source, near)) in request.sources.iter().zip(run.outcomes()).enumerate() {
        let table = match near {
            Some((table, how)) => {
                told.push((source, how));
                table
            }
            None => match far.iter().position(|(of, _)| *of == number) {
                Some(at) => far.swap_remove(at).1,
                None => Err(Error::internal("a source was not asked")),
            },
        };
        match table {
            Ok(mut table) => {
                resolved.selection.read_dates(number, &mut table);
                tables.push(Some(table));
            }
            Err(error) if request.partial => {
                failed.push((source, error));
                tables.push(None);
            }
            Err(error) => return Err(error),
        }
    }
    if failed.len() == request.sources.len() && !failed.is_empty() {
        return Err(failed.swap_remove(0).1);
    }
    let mut body = b"{".to_vec();
    resolved.selection.answer(&tables, &resolved.input())?.write(&mut body);
    if body.len() > limits::ANSWER_BYTES_MAX {
        let message = format!("the answer has more than {} bytes: ask for less, by limit", limits::ANSWER_BYTES_MAX);
        return Err(Error::new(Kind::Unprocessable, message).code("answer_too_large"));
    }
    let needs = resolved.needs.clone().filter(|_| failed.is_empty());
    if !failed.is_empty() {
        write_each(b",\"errors\":{", &failed, &mut body, |(source, error), out| {
            write_text(out, &source.name);
            out.extend_from_slice(b":{\"code\":");
            write_text(out, error.code_str());
            out.extend_from_slice(b",\"message\":");
            write_text(out, if error.kind() == Kind::Internal { "it failed" } else { error.message() });
            out.push(b'}');
        });
    }
    if request.explain {
        write_each(b",\"explain\":{", &told, &mut body, |(source, told), out| write_told(source, told, out));
    }
    body.push(b'}');
    Ok(Done { body, of: resolved.of, needs, at: resolved.view.position.seq })
}

fn write_each<T>(before: &[u8], items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    out.extend_from_slice(before);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b'}');
}

fn write_told(source: &Source, told: &Told, out: &mut Vec<u8>) {
    write_text(out, &source.name);
    out.extend_from_slice(b":{\"index\":");
    match &told.index {
        Some(name) => write_text(out, name),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(if told.index_only { b",\"indexOnly\":true" } else { b",\"indexOnly\":false" });
    // Both are bounded by the rows of a query.
    out.extend_from_slice(b",\"rowsRead\":");
    write_i64(out, told.rows as i64);
    out.extend_from_slice(b",\"pieces\":");
    write_i64(out, told.pieces as i64);
    out.push(b'}');
}
