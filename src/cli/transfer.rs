//! `millpond import` and `millpond export`: on a stopped server's folder by the same service that HTTP calls, or on a
//! running server by HTTP.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::sync::mpsc;

use super::args::{Export, Import, Mode, Target};
use super::remote::{Outgoing, Remote, escaped, json};
use super::say;
use super::target::{runtime, with_service};
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::model::lines::Form;
use crate::service::export::ExportRequest;
use crate::service::import::{Source, Terms};
use crate::service::{Asker, Caller, Service};

/// Pieces of a file that wait for the network.
const PIECES: usize = 4;

pub(super) fn import(args: &Import) -> Result<()> {
    let form = form(args.format.as_deref(), args.file.to_str())?;
    let input = open(&args.file)?;
    let terms = Terms { form, upsert: args.mode == Mode::Upsert, atomic: args.atomic };
    let report = match args.target.remote()? {
        Some(remote) => import_remote(&remote, &args.collection, terms, input)?,
        None => import_local(&args.target, &args.collection, terms, input)?,
    };
    let count = |name: &str| report[name].as_u64().unwrap_or_default();
    say(format_args!("{} lines: {} created, {} updated", count("lines"), count("created"), count("updated")));
    match count("refused") {
        0 => Ok(()),
        refused => Err(Error::new(Kind::Unprocessable, told(refused, &report["errors"][0]))),
    }
}

/// Of refused lines how many there are, and the first one with its faults.
fn told(refused: u64, first: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let faults = first["data"].as_object().into_iter().flatten();
    let faults: String = faults.map(|(field, fault)| format!("; {field}: {}", text(&fault["message"]))).collect();
    format!("{refused} lines were refused, the first is line {}: {}{faults}", first["line"], text(&first["message"]))
}

fn import_local(target: &Target, collection: &str, terms: Terms, mut input: Input) -> Result<Value> {
    with_service(target, |service| {
        let import = service.import(&superuser(service, "POST"), collection, terms, None)?;
        let report = import.run(&mut input).map_err(|ended| {
            let report = ended.report;
            let done = format!("{} created and {} updated before that", report.created, report.updated);
            Error::new(ended.error.kind(), format!("{} ({done})", ended.error)).source(ended.error)
        })?;
        Ok(report.to_json())
    })
}

fn import_remote(remote: &Remote, collection: &str, terms: Terms, mut input: Input) -> Result<Value> {
    let (sender, pieces) = mpsc::channel(PIECES);
    let reading = std::thread::spawn(move || {
        loop {
            let piece = match input.next() {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => return,
                Err(error) => Err(std::io::Error::other(error)),
            };
            let last = piece.is_err();
            // The server may have answered before the end.
            if sender.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    let mode = if terms.upsert { "upsert" } else { "insert" };
    let path = format!("/api/collections/{}/import?mode={mode}&atomic={}", escaped(collection), terms.atomic);
    let kind = if terms.form == Form::Csv { "text/csv" } else { "application/x-ndjson" };
    let report = runtime()?
        .block_on(async { json(remote.send(Method::POST, &path, Some(kind), Outgoing::new(pieces)).await?).await });
    // It ends with the channel.
    let _ = reading.join();
    report
}

pub(super) fn export(args: &Export) -> Result<()> {
    let form = form(args.format.as_deref(), args.file.as_ref().and_then(|file| file.to_str()))?;
    let mut output = Output::open(args.file.as_deref())?;
    match args.target.remote()? {
        Some(remote) => export_remote(&remote, args, form, &mut output)?,
        None => with_service(&args.target, |service| {
            let wanted =
                ExportRequest { form, filter: args.filter.as_deref(), fields: args.fields.as_deref(), min: None };
            let asker = superuser(service, "GET");
            let export = runtime()?.block_on(service.export(&asker, &args.collection, wanted))?;
            let mut at = 0;
            while at < export.bytes() {
                let bytes = export.read(at)?;
                at += bytes.len() as u64;
                output.write(&bytes)?;
            }
            Ok(())
        })?,
    }
    output.finish()
}

fn export_remote(remote: &Remote, args: &Export, form: Form, output: &mut Output) -> Result<()> {
    let format = if form == Form::Csv { "csv" } else { "ndjson" };
    let mut path = format!("/api/collections/{}/export?format={format}", escaped(&args.collection));
    for (name, value) in [("filter", &args.filter), ("fields", &args.fields)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", escaped(value));
        }
    }
    runtime()?.block_on(async {
        let mut body = remote.send(Method::GET, &path, None, Outgoing::empty()).await?.into_body();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Error::new(Kind::Unavailable, format!("the export broke off: {error}")))?;
            if let Ok(bytes) = frame.into_data() {
                output.write(&bytes)?;
            }
        }
        Ok(())
    })
}

/// Whoever may open the folder may do all.
fn superuser(service: &Service, method: &'static str) -> Asker {
    service.asker(Caller::Superuser, method, Vec::new().into())
}

/// By `--format`, else by the file's ending.
fn form(format: Option<&str>, file: Option<&str>) -> Result<Form> {
    match format {
        Some("ndjson") => Ok(Form::Ndjson),
        Some("csv") => Ok(Form::Csv),
        Some(other) => Err(Error::invalid(format!("format: {other:?} is none: ndjson or csv"))),
        None if file.is_some_and(|file| file.ends_with(".csv")) => Ok(Form::Csv),
        None => Ok(Form::Ndjson),
    }
}

/// What is read, and how far.
struct Input {
    from: Box<dyn Read + Send>,
    bar: ProgressBar,
}

fn open(file: &Path) -> Result<Input> {
    let from: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let opened = File::open(file);
        Box::new(opened.map_err(|error| Error::invalid(format!("{} can't be read: {error}", file.display())))?)
    };
    Ok(Input { from, bar: bar() })
}

impl Source for Input {
    fn next(&mut self) -> Result<Option<Bytes>> {
        let mut bytes = vec![0; limits::SPOOL_PIECE_BYTES];
        let read = self.from.read(&mut bytes).map_err(|error| Error::io("the file", error))?;
        bytes.truncate(read);
        count(&self.bar, &bytes);
        Ok((read > 0).then(|| bytes.into()))
    }
}

/// Lines so far and in a second; only where somebody looks.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{pos} lines, {per_sec}, {elapsed}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

fn count(bar: &ProgressBar, bytes: &[u8]) {
    bar.inc(memchr::memchr_iter(b'\n', bytes).count() as u64);
}

impl Drop for Input {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Where an export goes: a file has its name only when it is whole.
struct Output {
    to: Box<dyn Write>,
    /// The file while it is written, and its name to be.
    part: Option<(PathBuf, PathBuf)>,
    bar: ProgressBar,
}

impl Output {
    fn open(file: Option<&Path>) -> Result<Output> {
        let Some(file) = file.filter(|file| *file != Path::new("-")) else {
            return Ok(Output { to: Box::new(std::io::stdout()), part: None, bar: bar() });
        };
        let mut part = file.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let made = File::create(&part);
        let made = made.map_err(|error| Error::invalid(format!("{} can't be written: {error}", part.display())))?;
        Ok(Output { to: Box::new(made), part: Some((part, file.to_owned())), bar: bar() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        count(&self.bar, bytes);
        self.to.write_all(bytes).map_err(|error| Error::io("the file", error))
    }

    fn finish(mut self) -> Result<()> {
        self.to.flush().map_err(|error| Error::io("the file", error))?;
        if let Some((part, file)) = self.part.take() {
            std::fs::rename(part, &file).map_err(|error| Error::io(file.display(), error))?;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        if let Some((part, _)) = &self.part {
            // It holds a part of what was asked for: nothing to keep.
            let _ = std::fs::remove_file(part);
        }
    }
}
