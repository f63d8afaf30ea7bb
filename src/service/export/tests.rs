//! Each bound of exports is met, says what it should, and leaves no file and no place behind.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};

use super::*;
use crate::core::Threads;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::service::fixture::{self, block_on, superuser};

const ITEMS: &str = r#"{"name":"items","fields":[{"name":"text","type":"text"}]}"#;
/// Of one record.
const TEXT_BYTES: usize = 4_000;
/// Two pieces and some more.
const RECORDS: usize = 2 * limits::SPOOL_PIECE_BYTES / TEXT_BYTES + 10;
const ALL: ExportRequest<'static> = ExportRequest { form: Form::Ndjson, filter: None, fields: None, min: None };

/// A service over so many records.
fn filled(records: usize) -> (SimDisk, Service, Threads) {
    let disk = SimDisk::new(1);
    let (core, threads) = fixture::start_core_on(&disk);
    let service = fixture::over(&core, 0);
    fixture::define(&service, ITEMS);
    let body = format!(r#"{{"text":"{}"}}"#, "x".repeat(TEXT_BYTES));
    (0..records).for_each(|n| fixture::put(&service, "items", &format!("r{n:05}"), &body));
    (disk, service, threads)
}

fn export(service: &Service) -> Result<Export> {
    block_on(service.export(&superuser(service), "items", ALL))
}

/// Names in the folder of the files.
fn files(disk: &SimDisk) -> Vec<String> {
    let dir = Path::new("/data/spool");
    if disk.exists(dir).unwrap() { disk.list(dir).unwrap() } else { Vec::new() }
}

fn assert_nothing_is_left(disk: &SimDisk, service: &Service) {
    assert_eq!(files(disk), Vec::<String>::new());
    let running: Vec<_> = (0..limits::EXPORTS_MAX).map(|_| service.0.exports.take()).collect();
    let spools: Vec<_> = (0..limits::SPOOLS_MAX).map(|_| service.0.spools.create()).collect();
    assert!(running.iter().all(Option::is_some), "places of exports are free");
    assert!(spools.iter().all(Result::is_ok), "places of files are free");
}

fn told(error: &Error) -> (Kind, &str) {
    (error.kind(), error.code_str())
}

#[test]
fn no_more_exports_run_than_may() {
    let (disk, service, threads) = filled(1);
    let mut running: Vec<_> = (0..limits::EXPORTS_MAX).map(|_| service.0.exports.take().unwrap()).collect();
    assert_eq!(told(&export(&service).unwrap_err()), (Kind::Unavailable, "queue_full"));
    assert_eq!(files(&disk), Vec::<String>::new(), "no file was begun");
    drop(running.pop());
    assert_eq!(export(&service).unwrap().records, 1);
    drop(running);
    assert_nothing_is_left(&disk, &service);
    threads.stop().unwrap();
}

#[test]
fn no_more_files_wait_to_be_sent_than_may() {
    let (disk, service, threads) = filled(1);
    let mut waiting: Vec<Export> = (0..limits::SPOOLS_MAX).map(|_| export(&service).unwrap()).collect();
    assert_eq!(files(&disk).len(), limits::SPOOLS_MAX);
    for _ in 0..=limits::EXPORTS_MAX {
        assert_eq!(told(&export(&service).unwrap_err()), (Kind::Unavailable, "queue_full"));
    }
    assert_eq!(files(&disk).len(), limits::SPOOLS_MAX, "what is refused has no file");
    drop(waiting.pop());
    waiting.push(export(&service).unwrap());
    drop(waiting);
    assert_nothing_is_left(&disk, &service);
    threads.stop().unwrap();
}

#[test]
fn an_export_leaves_the_room_that_writes_need() {
    let (disk, service, threads) = filled(1);
    let len = export(&service).unwrap().bytes();
    disk.set_capacity(Some(disk.used() + limits::SPOOL_HEADROOM_BYTES + len - 1));
    assert_eq!(told(&export(&service).unwrap_err()), (Kind::Unavailable, "no_room"));
    assert_nothing_is_left(&disk, &service);
    disk.set_capacity(Some(disk.used() + limits::SPOOL_HEADROOM_BYTES + len));
    assert_eq!(export(&service).unwrap().bytes(), len, "that much is enough");
    assert_nothing_is_left(&disk, &service);
    threads.stop().unwrap();
}

#[test]
fn an_export_that_runs_out_of_room_midway_leaves_nothing() {
    let (disk, service, threads) = filled(RECORDS);
    let piece = limits::SPOOL_PIECE_BYTES as u64;
    disk.set_capacity(Some(disk.used() + limits::SPOOL_HEADROOM_BYTES + 2 * piece));
    assert_eq!(told(&export(&service).unwrap_err()), (Kind::Unavailable, "no_room"));
    assert_nothing_is_left(&disk, &service);
    threads.stop().unwrap();
}

#[test]
fn an_export_that_takes_too_long_is_refused() {
    let (disk, service, threads) = filled(RECORDS);
    let view = block_on(service.view(None)).unwrap();
    let exporting = service.exporting(&superuser(&service), "items", ALL, view).unwrap();
    let spool = service.0.spools.create().unwrap();
    let error = exporting.write_down(spool, Instant::now(), || false).unwrap_err();
    assert_eq!(told(&error), (Kind::Unprocessable, "export_too_large"));
    assert!(error.message().contains(&format!("{} s", limits::SPOOL_TIME_MAX.as_secs())), "{error}");
    assert_nothing_is_left(&disk, &service);
    threads.stop().unwrap();
}

#[test]
fn an_export_is_read_in_pieces() {
    let (disk, service, threads) = filled(RECORDS);
    let export = export(&service).unwrap();
    assert_eq!(files(&disk).len(), 1);
    let (mut at, mut lines, mut pieces) = (0, 0, 0);
    loop {
        let bytes = export.read(at).unwrap();
        if bytes.is_empty() {
            break;
        }
        assert!(bytes.len() <= limits::SPOOL_PIECE_BYTES);
        at += bytes.len() as u64;
        lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        pieces += 1;
    }
    assert_eq!((at, lines, export.records), (export.bytes(), RECORDS, RECORDS));
    assert!(pieces > 2, "{pieces} pieces");
    drop(export);
    assert_nothing_is_left(&disk, &service);
    threads.stop().unwrap();
}

#[test]
fn an_export_that_nobody_waits_for_leaves_nothing() {
    let (disk, service, threads) = filled(RECORDS);
    {
        let asker = superuser(&service);
        let mut asked = pin!(service.export(&asker, "items", ALL));
        // Its thread has begun; then its caller goes.
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let all_free = || {
        let places: Vec<_> = (0..limits::EXPORTS_MAX).map(|_| service.0.exports.take()).collect();
        places.iter().all(Option::is_some)
    };
    while !all_free() || !files(&disk).is_empty() {
        std::thread::yield_now();
    }
    assert_nothing_is_left(&disk, &service);
    let view = block_on(service.view(None)).unwrap();
    let exporting = service.exporting(&superuser(&service), "items", ALL, view).unwrap();
    let spool = service.0.spools.create().unwrap();
    let error = exporting.write_down(spool, Instant::now() + limits::SPOOL_TIME_MAX, || true).unwrap_err();
    assert!(error.message().contains("nobody waits"), "{error}");
    assert_nothing_is_left(&disk, &service);
    threads.stop().unwrap();
}
