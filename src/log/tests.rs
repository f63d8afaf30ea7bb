//! The log as a whole, over the simulated disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::disk::sim::{Fault, Rng, SimDisk};
use crate::disk::{Disk, RealDisk};
use crate::id::{CollectionId, FieldId, Generation, NodeId, RecordId, Seq};
use crate::model::change::Change;
use crate::model::value::Value;

const DIR: &str = "/db/log";
const SMALL: Settings = Settings { segment_bytes: 8192, first_segment_bytes: 4096, ring_entries: 8, ring_bytes: 2000 };
const GENESIS: Genesis = Genesis { database: DatabaseId(7), node: NodeId(3) };

fn open_at(disk: &SimDisk, witness: u64) -> Result<(Writer, Reader, Recovery)> {
    open(Arc::new(disk.clone()), Path::new(DIR), SMALL, GENESIS, Seq(witness))
}

/// The one entry that these tests write at a seq: content and size follow from it.
fn entry_at(seq: Seq) -> Arc<Entry> {
    let mut rng = Rng::new(seq.0);
    let size = if rng.chance(5) { rng.below(9000) } else { rng.below(400) };
    let text: String = (0..size).map(|_| char::from(b'a' + rng.below(26) as u8)).collect();
    let after = [(FieldId(1), Value::Int(seq.0 as i64)), (FieldId(2), Value::text(text))].into_iter().collect();
    let id = RecordId::new(&format!("r{seq}")).expect("an id");
    Arc::new(Entry {
        changes: vec![Change::Created { collection: CollectionId(1), generation: Generation(0), id, after }],
    })
}

fn stage(writer: &mut Writer, count: u64) {
    for _ in 0..count {
        let entry = entry_at(writer.next().seq);
        let payload = encode(&entry).expect("small");
        writer.stage(Millis(1000 + writer.next().seq.0 as i64), entry, &payload);
    }
}

fn write(writer: &mut Writer, count: u64) {
    stage(writer, count);
    writer.commit().expect("commit");
    writer.publish();
}

fn read_all(reader: &Reader) -> Vec<Arc<Logged>> {
    let mut entries: Vec<Arc<Logged>> = Vec::new();
    let mut after = reader.first_seq().before();
    loop {
        let more = reader.read_from(after, 700).expect("read");
        let Some(last) = more.last() else { return entries };
        after = last.position.seq;
        entries.extend(more);
    }
}

/// Reads all, which must be the entries as they were written, without a gap; returns the first and the last seq.
fn verify(reader: &Reader) -> (Seq, Seq) {
    let entries = read_all(reader);
    let mut next = reader.first_seq();
    for logged in &entries {
        assert_eq!(logged.position.seq, next);
        assert_eq!(logged.entry, entry_at(next), "entry {next} is not what was written");
        assert_eq!(logged.time, Millis(1000 + next.0 as i64));
        next = next.next();
    }
    assert_eq!(reader.position().seq.next(), next);
    (reader.first_seq(), reader.position().seq)
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIR)).expect("list");
    names.iter().filter(|name| name.ends_with(".log")).map(|name| Path::new(DIR).join(name)).collect()
}

#[test]
fn entries_read_back_after_a_restart_from_ring_and_segments() {
    let disk = SimDisk::new(1);
    let (mut writer, reader, recovery) = open_at(&disk, 0).expect("open");
    assert_eq!((recovery.first, recovery.last.seq, recovery.cut), (Seq(1), Seq(0), None));
    assert_eq!(reader.read_from(Seq(0), 1000).expect("empty"), Vec::new());
    for batch in 1..40 {
        write(&mut writer, batch % 5 + 1);
        assert_eq!(verify(&reader), (Seq(1), writer.position().seq));
    }
    let (last, chain) = (writer.position(), writer.chain());
    assert!(segments(&disk).len() > 3);
    writer.close().expect("close");
    for witness in [0, 1, last.seq.0 / 2, last.seq.0] {
        let (writer, reader, recovery) = open_at(&disk, witness).expect("open again");
        assert_eq!((writer.position(), writer.chain(), recovery.cut), (last, chain, None));
        assert_eq!(verify(&reader), (Seq(1), last.seq));
        let at_witness = read_all(&reader).iter().find(|logged| logged.position.seq.0 == witness).map(|l| l.chain);
        assert_eq!(recovery.chain_at_witness, at_witness.unwrap_or_default());
    }
}

#[test]
fn the_same_holds_on_a_real_disk() {
    let folder = tempfile::tempdir().expect("tempdir");
    let dir = folder.path().join("deep/log");
    for start in 0..3 {
        let (mut writer, reader, recovery) =
            open(Arc::new(RealDisk), &dir, SMALL, GENESIS, Seq(start * 60)).expect("open");
        assert_eq!(recovery.last.seq, Seq(start * 60));
        let mut preparer = writer.preparer();
        for _ in 0..20 {
            preparer.prepare().expect("prepare");
            write(&mut writer, 3);
        }
        assert_eq!(verify(&reader), (Seq(1), Seq(start * 60 + 60)));
        writer.close().expect("close");
    }
}
