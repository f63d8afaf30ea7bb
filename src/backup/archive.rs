//! The log copied out as it grows, into a folder that may lie on another disk: with a backup it leads to any moment since.
//!
//! A file `{first seq:020}-{epoch}-{its node}-{number}-{own node}.frames` is a head and the frames of the log behind it, as
//! they are:
//!
//! ```text
//! "MILLARCH" | format u32 | database u128 | epoch u32 | node u32 | seq u64 | chain u128 | crc32c of all before u32
//! ```
//!
//! Little-endian; the place is that of the entry before the first. Invariants: frames are synced before the log may go
//! without them; a torn end, which a crash leaves, is cut before anything is written behind it; a file goes on in one
//! history only.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::restore::Until;
use crate::core::{Core, Lease};
use crate::disk::{self, Disk, DiskFile, Open};
use crate::error::{Error, Kind, Result};
use crate::id::{Chain, DatabaseId, Epoch, NodeId, Position, Seq};
use crate::limits;
use crate::log::{self, Witness};

const MAGIC: &[u8; 8] = b"MILLARCH";
const FORMAT: u32 = 1;
const HEAD: usize = 64;
const SUFFIX: &str = ".frames";
/// How often what has come is copied out and synced.
const TICK: Duration = Duration::from_millis(250);
/// Pause after something that failed.
const RETRY: Duration = Duration::from_secs(5);

/// How far the archive has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// The last entry in it.
    pub position: Position,
    /// Why it does not go on.
    pub error: Option<String>,
}

/// The thread; it ends when this is dropped, or when the core tells its consumers to.
#[derive(Debug)]
pub struct Archive {
    over: Arc<AtomicBool>,
    archived: Arc<Mutex<Archived>>,
    thread: Option<JoinHandle<()>>,
}

impl Archive {
    /// Copies the log of a server into `dir` from where the archive there has come to.
    ///
    /// # Errors
    /// `Internal` when the system gives no thread.
    pub fn start(core: Core, dir: PathBuf) -> Result<Archive> {
        let (over, archived) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Archived>>::default());
        // Held over what fails: what is not archived is kept, as far as the log's bytes allow.
        let lease = core.leases().take(core.log().first_seq());
        let scribe = Scribe { core, dir, lease, over: over.clone(), archived: archived.clone() };
        let thread = std::thread::Builder::new().name("archive".to_owned()).spawn(move || scribe.run());
        let thread = thread.map_err(|error| Error::internal("no thread for the archive").source(error))?;
        Ok(Archive { over, archived, thread: Some(thread) })
    }

    /// How far it has come.
    pub fn archived(&self) -> Archived {
        self.archived.lock().clone()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic ends only itself.
            let _ = thread.join();
        }
    }
}

struct Scribe {
    core: Core,
    dir: PathBuf,
    lease: Lease,
    over: Arc<AtomicBool>,
    archived: Arc<Mutex<Archived>>,
}

/// The file that is written to.
struct Page {
    file: Arc<dyn DiskFile>,
    at: u64,
    last: Witness,
}

impl Scribe {
    fn run(self) {
        while self.goes_on() {
            if let Err(error) = self.copy() {
                tracing::error!(%error, folder = %self.dir.display(), "the log can't be archived");
                self.archived.lock().error = Some(error.message().to_owned());
                self.pause(RETRY);
            }
        }
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed) && !self.core.is_stopping()
    }

    fn pause(&self, time: Duration) {
        let ticks = time.as_millis() / 50;
        for _ in 0..ticks {
            if self.goes_on() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Until it ends, or something fails.
    fn copy(&self) -> Result<()> {
        let disk = self.core.folder().0.clone();
        disk.create_dir_all(&self.dir).map_err(|error| Error::io(self.dir.display(), error))?;
        let mut page = self.resume(&*disk)?;
        self.lease.advance(page.last.position.seq.next());
        loop {
            self.core.log().wait_past(page.last.position.seq, TICK);
            let last_time = !self.goes_on();
            while let Some(last) = self.write(&*disk, &mut page)? {
                page.last = last;
                self.lease.advance(last.position.seq.next());
                *self.archived.lock() = Archived { position: last.position, error: None };
            }
            if last_time {
                return Ok(());
            }
            self.pause(TICK);
        }
    }

    /// Copies what there is, up to a shipment; the last of it.
    fn write(&self, disk: &dyn Disk, page: &mut Page) -> Result<Option<Witness>> {
        let shipment = self.core.log().ship(page.last.position.seq, limits::SHIPMENT_BYTES)?;
        let Some(last) = shipment.last else { return Ok(None) };
        if page.at >= limits::ARCHIVE_FILE_BYTES {
            *page = self.begin(disk, page.last)?;
        }
        let path = self.dir.display();
        let written = page.file.write_at(page.at, &shipment.frames).and_then(|()| page.file.sync_data());
        written.map_err(|error| Error::io(path, error))?;
        page.at += shipment.frames.len() as u64;
        Ok(Some(last))
    }

    /// The newest file of this history, or a new one: behind it, or, where there is a gap, from the log's begin on.
    fn resume(&self, disk: &dyn Disk) -> Result<Page> {
        let log = self.core.log();
        // Of several servers that share the folder each writes its own files.
        let identity = self.core.identity();
        let own = format!("-{:08x}{SUFFIX}", identity.node.0);
        let is_own = |part: &Part| part.path.to_string_lossy().ends_with(&own);
        for part in parts(disk, &self.dir, Some(identity.database))?.into_iter().filter(is_own).rev() {
            let (bytes, last) = part.end(disk)?;
            let own = match log.witness(last.position.seq) {
                Err(error) if error.kind() == Kind::Gone => {
                    tracing::error!(last = %last.position, "the log was trimmed before it was archived: the archive has a gap");
                    break;
                }
                own => own?,
            };
            if own.is_some_and(|own| own.chain == last.chain) {
                let file = disk.open(&part.path, Open::Write).map_err(|error| Error::io(part.path.display(), error))?;
                // What a crash left behind the last whole frame.
                let cut = file.set_len(bytes).and_then(|()| file.sync_data());
                cut.map_err(|error| Error::io(part.path.display(), error))?;
                return Ok(Page { file, at: bytes, last });
            }
        }
        let first = log.first_seq().before();
        let last = log.witness(first)?.unwrap_or_default();
        self.begin(disk, last)
    }

    fn begin(&self, disk: &dyn Disk, last: Witness) -> Result<Page> {
        let path = new_path(disk, &self.dir, last.position, self.core.identity().node)?;
        let head = head(self.core.identity().database, &last);
        disk::replace_file(disk, &path, &head).map_err(|error| Error::io(path.display(), error))?;
        let file = disk.open(&path, Open::Write).map_err(|error| Error::io(path.display(), error))?;
        Ok(Page { file, at: HEAD as u64, last })
    }
}

/// Where a file is put that goes on behind an entry. There may be one already, of another history that left this one there.
fn new_path(disk: &dyn Disk, dir: &Path, last: Position, own: NodeId) -> Result<PathBuf> {
    let Position { epoch, seq } = last;
    let mut number = 0;
    loop {
        let (first, epoch, node) = (seq.next().0, epoch.counter, epoch.node.0);
        let path = dir.join(format!("{first:020}-{epoch}-{node:08x}-{number}-{:08x}{SUFFIX}", own.0));
        if !disk.exists(&path).map_err(|error| Error::io(path.display(), error))? {
            return Ok(path);
        }
        number += 1;
    }
}

/// A file of an archive.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// The entry before its first.
    pub(super) before: Witness,
    /// Its first; none in one that has just been begun.
    pub(super) first: Option<Witness>,
}

impl Part {
    /// Its frames, but for a torn end.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn frames(&self, disk: &dyn Disk) -> Result<Vec<u8>> {
        let mut bytes = disk::read_all(disk, &self.path).map_err(|error| Error::io(self.path.display(), error))?;
        bytes.drain(..HEAD);
        let whole = log::whole(&bytes).0;
        bytes.truncate(whole);
        Ok(bytes)
    }

    /// The highest counter of an epoch in it: of all that it has, and of what was written by a moment.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn epochs(&self, disk: &dyn Disk, until: Until) -> Result<(u32, u32)> {
        let (mut all, mut by_then) = (self.before.position.epoch.counter, 0);
        for split in log::split(&self.frames(disk)?) {
            let (entry, _) = split?;
            let counter = entry.position.epoch.counter;
            all = all.max(counter);
            if !until.is_before(&entry) {
                by_then = by_then.max(counter);
            }
        }
        Ok((all, by_then))
    }

    /// Its bytes up to the last whole frame, and what is known of that.
    fn end(&self, disk: &dyn Disk) -> Result<(u64, Witness)> {
        let bytes = disk::read_all(disk, &self.path).map_err(|error| Error::io(self.path.display(), error))?;
        let (whole, last) = log::whole(&bytes[HEAD..]);
        Ok(((HEAD + whole) as u64, last.unwrap_or(self.before)))
    }
}

/// The files of an archive, by their first entries and epochs; of one database, where that is named.
///
/// # Errors
/// `Damaged` for one whose head can't be read; the disk's.
pub(super) fn parts(disk: &dyn Disk, dir: &Path, database: Option<DatabaseId>) -> Result<Vec<Part>> {
    let names = disk.list(dir).map_err(|error| Error::io(dir.display(), error))?;
    let mut parts = Vec::new();
    for name in names.into_iter().filter(|name| name.ends_with(SUFFIX)) {
        let path = dir.join(name);
        let io = |error| Error::io(path.display(), error);
        let file = disk.open(&path, Open::Read).map_err(io)?;
        let len = file.len().map_err(io)?;
        let (mut bytes, mut frame) = ([0; HEAD], [0; log::FRAME_HEAD]);
        if len < HEAD as u64 {
            return Err(Error::damaged(format!("{} is shorter than its head", path.display())));
        }
        file.read_at(0, &mut bytes).map_err(io)?;
        if len >= (HEAD + frame.len()) as u64 {
            file.read_at(HEAD as u64, &mut frame).map_err(io)?;
        }
        let (of, before) =
            read_head(&bytes).ok_or_else(|| Error::damaged(format!("the head of {} can't be read", path.display())))?;
        if database.is_none_or(|wanted| wanted == of) {
            let first = log::peek(&frame);
            parts.push(Part { path, before, first });
        }
    }
    parts.sort_by_key(|part| (part.before.position.seq, part.before.position.epoch));
    Ok(parts)
}

fn head(database: DatabaseId, before: &Witness) -> [u8; HEAD] {
    let Position { epoch, seq } = before.position;
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    head[12..28].copy_from_slice(&database.0.to_le_bytes());
    head[28..32].copy_from_slice(&epoch.counter.to_le_bytes());
    head[32..36].copy_from_slice(&epoch.node.0.to_le_bytes());
    head[36..44].copy_from_slice(&seq.0.to_le_bytes());
    head[44..60].copy_from_slice(&before.chain.0.to_le_bytes());
    let sum = crc32c::crc32c(&head[..60]);
    head[60..].copy_from_slice(&sum.to_le_bytes());
    head
}

fn read_head(head: &[u8; HEAD]) -> Option<(DatabaseId, Witness)> {
    let u32_at = |at: usize| head[at..at + 4].try_into().ok().map(u32::from_le_bytes);
    let u128_at = |at: usize| head[at..at + 16].try_into().ok().map(u128::from_le_bytes);
    let seq = head[36..44].try_into().ok().map(u64::from_le_bytes)?;
    let good = head[..8] == *MAGIC && u32_at(8)? == FORMAT && u32_at(60)? == crc32c::crc32c(&head[..60]);
    let epoch = Epoch { counter: u32_at(28)?, node: NodeId(u32_at(32)?) };
    let position = Position { epoch, seq: Seq(seq) };
    good.then_some((DatabaseId(u128_at(12)?), Witness { position, chain: Chain(u128_at(44)?), ..Witness::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::id::{CollectionId, FieldId, Generation, RecordId};
    use crate::model::change::{Change, Entry};
    use crate::model::value::{Fields, Value};
    use crate::time::Millis;

    #[test]
    fn what_one_history_has_archived_is_not_overwritten_by_another_that_leaves_it_at_the_same_entry() {
        let (disk, dir) = (SimDisk::new(1), Path::new("/archive"));
        disk.create_dir_all(dir).expect("a folder");
        let last = Position { epoch: Epoch { counter: 1, node: NodeId(7) }, seq: Seq(50) };
        let mut paths = Vec::new();
        for _ in 0..3 {
            let path = new_path(&disk, dir, last, NodeId(9)).expect("a name");
            disk::replace_file(&disk, &path, &head(DatabaseId(5), &Witness { position: last, ..Witness::default() }))
                .expect("written");
            paths.push(path);
        }
        let found: Vec<PathBuf> =
            parts(&disk, dir, Some(DatabaseId(5))).expect("parts").into_iter().map(|part| part.path).collect();
        assert_eq!(found, paths, "in the order in which they were begun");
        assert!(parts(&disk, dir, Some(DatabaseId(6))).expect("parts").is_empty());
    }

    /// Where the golden file is in an archive, and in the crate.
    const GOLDEN: &str = "00000000000000000041-2-00009f3a-0-00000009.frames";

    fn golden() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("data/golden/archive-1.frames")
    }

    fn before() -> Witness {
        let epoch = Epoch { counter: 2, node: NodeId(0x9f3a) };
        Witness { position: Position { epoch, seq: Seq(40) }, chain: Chain(u128::MAX / 3), ..Witness::default() }
    }

    fn entries() -> Vec<Entry> {
        let (collection, generation) = (CollectionId(3), Generation(1));
        let after: Fields = [(FieldId(1), Value::text("kept"))].into_iter().collect();
        let created = |id: &str| Change::Created {
            collection,
            generation,
            id: RecordId::new(id).expect("an id"),
            after: after.clone(),
        };
        vec![
            Entry { changes: vec![created("one")] },
            Entry { changes: vec![Change::Began { before: Position { seq: Seq(41), ..before().position } }] },
            Entry { changes: vec![created("two"), created("three")] },
        ]
    }

    /// An archive's file as it is written today.
    fn written() -> Vec<u8> {
        let (disk, dir) = (SimDisk::new(1), Path::new("/log"));
        disk.create_dir_all(dir).expect("a folder");
        let Witness { position, chain, .. } = before();
        let settings = log::Settings::default();
        log::plant(&disk, dir, settings, log::Origin { database: DatabaseId(5), position, chain }).expect("planted");
        let genesis = log::Genesis { database: DatabaseId(5), node: NodeId(9) };
        let (mut writer, reader, _) =
            log::open(Arc::new(disk.clone()), dir, settings, genesis, position.seq).expect("it opens");
        for (n, entry) in (0..).zip(entries()) {
            let payload = log::encode(&entry).expect("small");
            let epoch = if n == 0 { position.epoch } else { Epoch { counter: 3, node: NodeId(9) } };
            writer.stage_in(epoch, Millis(1_000 + n), Arc::new(entry), &payload);
        }
        writer.commit().expect("a healthy disk");
        writer.publish();
        let frames = reader.ship(position.seq, usize::MAX).expect("frames").frames;
        [&head(DatabaseId(5), &before())[..], &frames].concat()
    }

    #[test]
    fn a_file_of_format_1_is_read_and_is_what_is_written() {
        let bytes = disk::read_all(&disk::RealDisk, &golden()).expect("the golden file");
        assert!(bytes == written(), "an archive is no longer written as it was: that is another format");
        let (disk, dir) = (SimDisk::new(1), Path::new("/archive"));
        disk.create_dir_all(dir).expect("a folder");
        // A torn frame at the end is none.
        let torn = [&bytes[..], &bytes[HEAD..HEAD + 50]].concat();
        disk::replace_file(&disk, &dir.join(GOLDEN), &torn).expect("written");
        let found = parts(&disk, dir, Some(DatabaseId(5))).expect("parts");
        let [part] = &found[..] else { panic!("{found:?}") };
        assert_eq!((part.before, part.epochs(&disk, Until::End).expect("epochs")), (before(), (3, 3)));
        assert_eq!(part.first.expect("a frame").position.to_string(), "2-00009f3a-41");
        let frames = part.frames(&disk).expect("frames");
        let read = log::unpack(&frames).expect("whole");
        let seqs: Vec<u64> = read.iter().map(|shipped| shipped.position.seq.0).collect();
        assert_eq!(seqs, [41, 42, 43]);
        assert_eq!(read.into_iter().map(|shipped| shipped.entry).collect::<Vec<_>>(), entries());
    }

    #[test]
    #[ignore = "writes the golden file of a new format; that of an old one stays"]
    fn write_golden_file() {
        disk::replace_file(&disk::RealDisk, &golden(), &written()).expect("room");
    }

    #[test]
    fn a_head_reads_back_and_no_flipped_bit_goes_unseen() {
        let position = Position { epoch: Epoch { counter: 3, node: NodeId(0x9f3a) }, seq: Seq(u64::MAX) };
        let before = Witness { position, chain: Chain(u128::MAX - 7), ..Witness::default() };
        let bytes = head(DatabaseId(5), &before);
        assert_eq!(read_head(&bytes), Some((DatabaseId(5), before)));
        for bit in 0..HEAD * 8 {
            let mut bent = bytes;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_head(&bent), None, "bit {bit}");
        }
    }
}
