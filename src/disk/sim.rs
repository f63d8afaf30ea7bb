//! A seeded disk in memory that loses power, tears, drops and reorders writes, loses names, fills up and fails.
//!
//! Invariant: only what a `sync_data` or `sync_dir` covered is sure to be found by [`SimDisk::crash`]; of the rest, each
//! write, length and name is found or not, writes by 512-byte sectors and in any order. Everything that happens follows
//! from the seeds and the order of calls. Files are maps of 4 KiB pages, shared between copies; a page of zeros is
//! absent, so that zero-filled segments and whole images cost next to nothing.
//!
//! Not simulated: folders that vanish ([`Disk::create_dir_all`] is durable at once), synced bytes that rot by
//! themselves (see [`SimDisk::flip_bit`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile, DiskLock, Open};

const PAGE: usize = 4096;
const SECTOR: u64 = 512;
/// What a disk without a capacity says is free, bytes.
const FREE_UNBOUNDED: u64 = 1 << 40;

/// A small seeded random source (splitmix64), for the simulator and the tests over it.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same seed, the same numbers.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next number, any of them.
    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Puts the items in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

/// What goes wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An I/O error. Of a write any part may have happened. After a failed sync each un-synced write is either durable
    /// or lost for good, and a later sync says nothing of it.
    Eio,
    /// The disk is full. For good, it concerns what needs room: writes that grow a file, new files.
    Enospc,
    /// A write ends after a part of it, with an error. Once, it is an I/O error for what is not a write; for good, it
    /// concerns writes only.
    ShortWrite,
}

/// What a power loss does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Anything, as the seed has it.
    Random,
    /// All of it is lost.
    All,
    /// All of it was on the medium already.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Create,
    Write,
    SetLen,
    Sync,
    SyncDir,
    Name,
}

#[derive(Debug)]
struct Plan {
    at: u64,
    fault: Fault,
    once: bool,
}

/// The bytes of a file. Invariant: no page of zeros is stored, and what lies behind `len` is zero.
#[derive(Clone, Debug, Default)]
struct Content {
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    len: u64,
}

#[derive(Debug)]
enum Pending {
    Write { offset: u64, bytes: Box<[u8]> },
    Zeros { offset: u64, len: u64 },
    Len(u64),
}

#[derive(Debug, Default)]
struct Inode {
    live: Content,
    durable: Content,
    pending: Vec<Pending>,
}

type Node = Arc<Mutex<Inode>>;

#[derive(Debug)]
enum NameOp {
    Create(PathBuf, Node),
    Rename(PathBuf, PathBuf, Node),
    Remove(PathBuf),
}

#[derive(Debug)]
struct World {
    rng: Rng,
    dirs: BTreeSet<PathBuf>,
    live: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: BTreeMap<PathBuf, Vec<NameOp>>,
    locks: BTreeSet<PathBuf>,
    capacity: Option<u64>,
    plans: Vec<Plan>,
    count_reads: bool,
    freeze_op: Option<u64>,
    freeze_sync: Option<u64>,
    ops: u64,
    syncs: u64,
    frozen: bool,
}

/// A simulated disk; clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<World>>);

#[derive(Debug)]
struct SimFile {
    world: Arc<Mutex<World>>,
    node: Node,
    writable: bool,
}

#[derive(Debug)]
struct SimLock {
    world: Arc<Mutex<World>>,
    dir: PathBuf,
}

impl Content {
    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        if offset + into.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (page, within, range) in pieces(offset, into.len()) {
            match self.pages.get(&page) {
                Some(bytes) => {
                    let end = within + range.len();
                    into[range].copy_from_slice(&bytes[within..end]);
                }
                None => into[range].fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (page, within, range) in pieces(offset, bytes.len()) {
            let piece = &bytes[range];
            if piece.len() == PAGE && is_zero(piece) {
                self.pages.remove(&page);
            } else if self.pages.contains_key(&page) || !is_zero(piece) {
                let stored = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
                Arc::make_mut(stored)[within..within + piece.len()].copy_from_slice(piece);
            }
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    fn write_zeros(&mut self, offset: u64, len: u64) {
        let end = offset + len;
        let touched: Vec<u64> = match end.checked_sub(1) {
            Some(last) if len > 0 => {
                self.pages.range(offset / PAGE as u64..=last / PAGE as u64).map(|(page, _)| *page).collect()
            }
            _ => Vec::new(),
        };
        for page in touched {
            let start = page * PAGE as u64;
            let from = offset.saturating_sub(start) as usize;
            let to = (end - start).min(PAGE as u64) as usize;
            if (from, to) == (0, PAGE) {
                self.pages.remove(&page);
            } else if let Some(stored) = self.pages.get_mut(&page) {
                Arc::make_mut(stored)[from..to].fill(0);
            }
        }
        self.len = self.len.max(end);
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.write_zeros(len, self.len - len);
            self.pages.split_off(&len.div_ceil(PAGE as u64));
        }
        self.len = len;
    }

    /// Takes over the pages of `from` that a range touches.
    fn take_pages(&mut self, from: &Content, offset: u64, len: u64) {
        if len == 0 {
            return;
        }
        let (first, last) = (offset / PAGE as u64, (offset + len - 1) / PAGE as u64);
        let gone: Vec<u64> = self.pages.range(first..=last).map(|(page, _)| *page).collect();
        for page in gone {
            self.pages.remove(&page);
        }
        for (page, bytes) in from.pages.range(first..=last) {
            self.pages.insert(*page, bytes.clone());
        }
    }
}

/// The pages that a range touches: page number, offset in it, and the part of the range that lies there.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % PAGE as u64) as usize;
        let take = (PAGE - within).min(len - done);
        let range = done..done + take;
        done += take;
        Some((at / PAGE as u64, within, range))
    })
}

fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<16>();
    chunks.iter().all(|chunk| u128::from_ne_bytes(*chunk) == 0) && rest.iter().all(|b| *b == 0)
}

impl Pending {
    fn range(&self) -> Option<(u64, u64)> {
        match self {
            Pending::Write { offset, bytes } => Some((*offset, bytes.len() as u64)),
            Pending::Zeros { offset, len } => Some((*offset, *len)),
            Pending::Len(_) => None,
        }
    }

    fn apply(&self, into: &mut Content) {
        match self {
            Pending::Write { offset, bytes } => into.write(*offset, bytes),
            Pending::Zeros { offset, len } => into.write_zeros(*offset, *len),
            Pending::Len(len) => into.set_len(*len),
        }
    }

    /// Applies the part of a write from `from` to `to`, offsets in the file.
    fn apply_part(&self, into: &mut Content, from: u64, to: u64) {
        match self {
            Pending::Write { offset, bytes } => {
                into.write(from, &bytes[(from - offset) as usize..(to - offset) as usize]);
            }
            Pending::Zeros { .. } => into.write_zeros(from, to - from),
            Pending::Len(_) => {}
        }
    }

    /// Applies some of a write's sectors: any subset of few, runs of many.
    fn apply_torn(&self, into: &mut Content, rng: &mut Rng) {
        let Some((offset, len)) = self.range() else { return };
        let end = offset + len;
        let sectors = len.div_ceil(SECTOR) + 1;
        let run_max = (sectors / 32).max(1);
        let mut at = offset;
        while at < end {
            let run = (1 + rng.below(run_max)) * SECTOR;
            let to = (at / SECTOR * SECTOR + run).min(end);
            if rng.chance(50) {
                self.apply_part(into, at, to);
            }
            at = to;
        }
        if rng.chance(50) {
            into.len = into.len.max(end);
        }
    }
}

impl Inode {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let write = if is_zero(bytes) {
            Pending::Zeros { offset, len: bytes.len() as u64 }
        } else {
            Pending::Write { offset, bytes: bytes.into() }
        };
        write.apply(&mut self.live);
        self.pending.push(write);
    }

    fn sync(&mut self) {
        let shortest =
            self.pending.iter().filter_map(|one| if let Pending::Len(len) = one { Some(*len) } else { None });
        if let Some(shortest) = shortest.min()
            && shortest < self.durable.len
        {
            self.durable.set_len(shortest);
        }
        for (offset, len) in self.pending.iter().filter_map(Pending::range) {
            self.durable.take_pages(&self.live, offset, len);
        }
        self.durable.len = self.live.len;
        self.pending.clear();
    }

    /// A sync that failed: what was not synced is durable or lost for good, though it still reads back.
    fn sync_failed(&mut self, rng: &mut Rng) {
        for write in std::mem::take(&mut self.pending) {
            match rng.below(3) {
                0 => {}
                1 => write.apply(&mut self.durable),
                _ => write.apply_torn(&mut self.durable, rng),
            }
        }
    }

    /// What a power loss leaves.
    fn crashed(&self, rng: &mut Rng, loss: Loss) -> Inode {
        let mut found = self.durable.clone();
        let (keep, torn) = match loss {
            Loss::All => (0, 0),
            Loss::Nothing => (100, 0),
            Loss::Random => ([0, 20, 50, 80, 100][rng.below(5) as usize], [0, 50, 100][rng.below(3) as usize]),
        };
        let mut order: Vec<&Pending> = self.pending.iter().collect();
        if loss == Loss::Random && rng.chance(50) {
            rng.shuffle(&mut order);
        }
        for write in order {
            if rng.chance(keep) {
                write.apply(&mut found);
            } else if rng.chance(torn) {
                write.apply_torn(&mut found, rng);
            }
        }
        Inode { live: found.clone(), durable: found, pending: Vec::new() }
    }
}

impl NameOp {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            NameOp::Create(path, node) => {
                names.insert(path.clone(), node.clone());
            }
            NameOp::Rename(from, to, node) => {
                if names.get(from).is_some_and(|held| Arc::ptr_eq(held, node)) {
                    names.remove(from);
                }
                names.insert(to.clone(), node.clone());
            }
            NameOp::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

fn lost_power() -> io::Error {
    io::Error::other("the simulated disk lost power")
}

fn eio() -> io::Error {
    io::Error::other("simulated I/O error")
}

fn folder(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

impl World {
    fn new(seed: u64) -> World {
        World {
            rng: Rng::new(seed),
            dirs: BTreeSet::from([PathBuf::new(), PathBuf::from("/"), PathBuf::from(".")]),
            live: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: BTreeMap::new(),
            locks: BTreeSet::new(),
            capacity: None,
            plans: Vec::new(),
            count_reads: false,
            freeze_op: None,
            freeze_sync: None,
            ops: 0,
            syncs: 0,
            frozen: false,
        }
    }

    /// Counts an operation and says what goes wrong with it.
    fn begin(&mut self, kind: Kind, grows: bool) -> io::Result<Option<Fault>> {
        if self.frozen {
            return Err(lost_power());
        }
        if kind == Kind::Read && !self.count_reads {
            return Ok(None);
        }
        self.ops += 1;
        let is_sync = matches!(kind, Kind::Sync | Kind::SyncDir);
        self.syncs += u64::from(is_sync);
        if self.freeze_op == Some(self.ops) || (is_sync && self.freeze_sync == Some(self.syncs)) {
            self.frozen = true;
            return Err(lost_power());
        }
        let ops = self.ops;
        Ok(self.plans.iter().find(|plan| plan.strikes(ops, kind, grows)).map(|plan| plan.fault))
    }

    /// As `begin`, for an operation that either happens or not.
    fn begin_whole(&mut self, kind: Kind, grows: bool) -> io::Result<()> {
        match self.begin(kind, grows)? {
            None => Ok(()),
            Some(Fault::Enospc) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Eio | Fault::ShortWrite) => Err(eio()),
        }
    }

    fn used(&self) -> u64 {
        self.live.values().map(|node| node.lock().live.len).sum()
    }

    /// How far a file may reach that is now `len` long and wants to be `wanted`.
    fn room(&self, len: u64, wanted: u64) -> u64 {
        match self.capacity {
            Some(capacity) if wanted > len => wanted.min(len + capacity.saturating_sub(self.used())),
            _ => wanted,
        }
    }

    fn find(&self, path: &Path) -> io::Result<Node> {
        self.live.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name(&mut self, path: &Path, op: NameOp) {
        op.apply(&mut self.live);
        self.pending.entry(folder(path)).or_default().push(op);
    }

    /// The names that a power loss leaves.
    fn names_after(&self, rng: &mut Rng, loss: Loss) -> BTreeMap<PathBuf, Node> {
        let mut names = self.durable.clone();
        for ops in self.pending.values() {
            let all = ops.len();
            let subset = loss == Loss::Random && rng.chance(50);
            let prefix = match loss {
                Loss::All => 0,
                Loss::Nothing => all,
                Loss::Random => rng.below(all as u64 + 1) as usize,
            };
            for (at, op) in ops.iter().enumerate() {
                if if subset { rng.chance(50) } else { at < prefix } {
                    op.apply(&mut names);
                }
            }
        }
        names
    }
}

impl Plan {
    fn strikes(&self, op: u64, kind: Kind, grows: bool) -> bool {
        if self.once {
            return op == self.at;
        }
        op >= self.at
            && match self.fault {
                Fault::Eio => true,
                Fault::Enospc => grows,
                Fault::ShortWrite => kind == Kind::Write,
            }
    }
}

impl SimDisk {
    /// An empty disk without a bound. What its faults do follows from the seed.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(World::new(seed))))
    }

    /// The power goes: every handle of this disk fails from now on, and what is returned is what may be found after.
    /// Its capacity is kept, its faults and counts are not.
    #[must_use]
    pub fn crash(&self, seed: u64) -> SimDisk {
        self.crash_with(seed, Loss::Random)
    }

    /// As [`SimDisk::crash`], with a say in what is lost.
    #[must_use]
    pub fn crash_with(&self, seed: u64, loss: Loss) -> SimDisk {
        let mut old = self.0.lock();
        old.frozen = true;
        let mut rng = Rng::new(seed);
        let names = old.names_after(&mut rng, loss);
        // A node under two names (a rename kept in part) stays one file.
        let mut done: Vec<(Node, Node)> = Vec::new();
        let mut found = BTreeMap::new();
        for (path, node) in names {
            let again = done.iter().find(|(before, _)| Arc::ptr_eq(before, &node)).map(|(_, after)| after.clone());
            let after = again.unwrap_or_else(|| {
                let after = Arc::new(Mutex::new(node.lock().crashed(&mut rng, loss)));
                done.push((node, after.clone()));
                after
            });
            found.insert(path, after);
        }
        SimDisk::standing(rng.u64(), &old, found)
    }

    /// A copy of this disk as it reads now, all of it durable; this one goes on.
    #[must_use]
    pub fn image(&self) -> SimDisk {
        let mut world = self.0.lock();
        let seed = world.rng.u64();
        let copy = |node: &Node| {
            let live = node.lock().live.clone();
            Arc::new(Mutex::new(Inode { durable: live.clone(), live, pending: Vec::new() }))
        };
        let names = world.live.iter().map(|(path, node)| (path.clone(), copy(node))).collect();
        SimDisk::standing(seed, &world, names)
    }

    /// As [`SimDisk::image`], with a seed of its own, so that copies made in any order behave the same.
    #[must_use]
    pub fn fork(&self, seed: u64) -> SimDisk {
        let copy = self.image();
        copy.0.lock().rng = Rng::new(seed);
        copy
    }

    fn standing(seed: u64, like: &World, names: BTreeMap<PathBuf, Node>) -> SimDisk {
        let mut world = World::new(seed);
        world.dirs = like.dirs.clone();
        world.capacity = like.capacity;
        world.durable = names.clone();
        world.live = names;
        SimDisk(Arc::new(Mutex::new(world)))
    }

    /// Makes the operation with that number (from 1, see [`SimDisk::ops`]) fail; or all from it on, unless `once`.
    /// Several faults may wait.
    pub fn fail_at(&self, op: u64, fault: Fault, once: bool) {
        self.0.lock().plans.push(Plan { at: op, fault, once });
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        let mut world = self.0.lock();
        world.plans.clear();
        world.freeze_op = None;
        world.freeze_sync = None;
    }

    /// Whether reads, opens, lists and lengths count as operations, and so can fail. At first they do not.
    pub fn count_reads(&self, count: bool) {
        self.0.lock().count_reads = count;
    }

    /// The power goes at the operation with that number, before it takes effect.
    pub fn freeze_at_op(&self, op: u64) {
        self.0.lock().freeze_op = Some(op);
    }

    /// The power goes at the sync (of a file or folder) with that number, before it takes effect.
    pub fn freeze_at_sync(&self, sync: u64) {
        self.0.lock().freeze_sync = Some(sync);
    }

    /// Whether the power has gone.
    pub fn is_frozen(&self) -> bool {
        self.0.lock().frozen
    }

    /// Operations until now.
    pub fn ops(&self) -> u64 {
        self.0.lock().ops
    }

    /// Syncs of files and folders until now; they are operations too.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    /// Bounds the bytes of all files together; `None` is no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// Flips one bit of a file, on the medium and in what is read, counting from its first byte's lowest.
    ///
    /// # Panics
    /// When there is no such file or bit.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        self.alter(path, |content| {
            let mut byte = [0];
            content.read(bit / 8, &mut byte).expect("the bit lies in the file");
            content.write(bit / 8, &[byte[0] ^ (1 << (bit % 8))]);
        });
    }

    /// Cuts a file, or grows it with zeros, on the medium and in what is read.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn truncate(&self, path: &Path, len: u64) {
        self.alter(path, |content| content.set_len(len));
    }

    /// Overwrites a part of a file, on the medium and in what is read.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn corrupt(&self, path: &Path, offset: u64, bytes: &[u8]) {
        self.alter(path, |content| content.write(offset, bytes));
    }

    fn alter(&self, path: &Path, alter: impl Fn(&mut Content)) {
        let node = self.0.lock().find(path).expect("the file to alter exists");
        let mut inode = node.lock();
        alter(&mut inode.live);
        alter(&mut inode.durable);
    }

    fn handle(&self, node: Node, writable: bool) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { world: self.0.clone(), node, writable })
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.0.lock();
        if how != Open::CreateNew {
            world.begin_whole(Kind::Read, false)?;
            return Ok(self.handle(world.find(path)?, how == Open::Write));
        }
        world.begin_whole(Kind::Create, true)?;
        if world.live.contains_key(path) || world.dirs.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !world.dirs.contains(&folder(path)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let node = Node::default();
        world.name(path, NameOp::Create(path.to_owned(), node.clone()));
        Ok(self.handle(node, true))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut world = self.0.lock();
        world.begin_whole(Kind::Read, false)?;
        if !world.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = world.live.keys().filter(|path| folder(path) == dir);
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut world = self.0.lock();
        world.begin_whole(Kind::Read, false)?;
        Ok(world.live.contains_key(path) || world.dirs.contains(path))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        if world.dirs.contains(dir) {
            return if world.frozen { Err(lost_power()) } else { Ok(()) };
        }
        world.begin_whole(Kind::Name, true)?;
        world.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        world.begin_whole(Kind::Name, false)?;
        if folder(from) != folder(to) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let node = world.find(from)?;
        if from != to {
            world.name(from, NameOp::Rename(from.to_owned(), to.to_owned(), node));
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        // A name that is not there is no operation: looking for leftovers must not shift the count of faults.
        if !world.frozen {
            world.find(path)?;
        }
        world.begin_whole(Kind::Name, false)?;
        world.name(path, NameOp::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.0.lock();
        let fault = world.begin(Kind::SyncDir, false)?;
        if !world.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let world = &mut *world;
        let ops = world.pending.remove(dir).unwrap_or_default();
        if fault.is_none() {
            ops.iter().for_each(|op| op.apply(&mut world.durable));
            return Ok(());
        }
        // What a failed sync of a folder leaves behind stays open: a later one may still cover it.
        let kept = world.rng.below(ops.len() as u64 + 1) as usize;
        ops[..kept].iter().for_each(|op| op.apply(&mut world.durable));
        world.pending.insert(dir.to_owned(), ops.into_iter().skip(kept).collect());
        Err(eio())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let world = self.0.lock();
        if world.frozen {
            return Err(lost_power());
        }
        Ok(world.capacity.map_or(FREE_UNBOUNDED, |capacity| capacity.saturating_sub(world.used())))
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut world = self.0.lock();
        if world.frozen {
            return Err(lost_power());
        }
        if !world.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if !world.locks.insert(dir.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { world: self.0.clone(), dir: dir.to_owned() }))
    }
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.world.lock().locks.remove(&self.dir);
    }
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut world = self.world.lock();
        world.begin_whole(Kind::Read, false)?;
        self.node.lock().live.read(offset, into)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        let mut world = self.world.lock();
        let (len, wanted) = (self.node.lock().live.len, offset + bytes.len() as u64);
        let fault = world.begin(Kind::Write, wanted > len)?;
        let room = world.room(len, wanted.max(len));
        let fits = room.saturating_sub(offset).min(bytes.len() as u64);
        let mut inode = self.node.lock();
        match fault {
            None if fits == bytes.len() as u64 => {
                inode.write(offset, bytes);
                Ok(())
            }
            None => {
                inode.write(offset, &bytes[..fits as usize]);
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(fault) => {
                let part = world.rng.below(fits + u64::from(fault == Fault::Eio));
                inode.write(offset, &bytes[..part as usize]);
                Err(if fault == Fault::Enospc { io::ErrorKind::StorageFull.into() } else { eio() })
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.world.lock().begin_whole(Kind::Read, false)?;
        Ok(self.node.lock().live.len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut world = self.world.lock();
        let now = self.node.lock().live.len;
        world.begin_whole(Kind::SetLen, len > now)?;
        if world.room(now, len) < len {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut inode = self.node.lock();
        inode.live.set_len(len);
        inode.pending.push(Pending::Len(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.world.lock();
        let mut inode = self.node.lock();
        match world.begin(Kind::Sync, false)? {
            None => {
                inode.sync();
                Ok(())
            }
            Some(fault) => {
                inode.sync_failed(&mut world.rng);
                Err(if fault == Fault::Enospc { io::ErrorKind::StorageFull.into() } else { eio() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::read_all;

    fn file(disk: &SimDisk, name: &str) -> Arc<dyn DiskFile> {
        disk.create_dir_all(Path::new("/d")).expect("dir");
        disk.open(&Path::new("/d").join(name), Open::CreateNew).expect("create")
    }

    fn bytes_of(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
        read_all(disk, &Path::new("/d").join(name)).ok()
    }

    fn synced(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
        let file = file(disk, name);
        file.write_at(0, bytes).expect("write");
        file.sync_data().expect("sync");
        disk.sync_dir(Path::new("/d")).expect("sync dir");
        file
    }

    #[test]
    fn a_file_reads_as_a_plain_buffer_does_through_any_writes_cuts_and_syncs() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let disk = SimDisk::new(seed);
            let file = synced(&disk, "a", b"");
            let mut plain: Vec<u8> = Vec::new();
            for _ in 0..40 {
                match rng.below(4) {
                    0 => {
                        let len = rng.below(20_000) as usize;
                        file.set_len(len as u64).expect("set_len");
                        plain.resize(len, 0);
                    }
                    1 => file.sync_data().expect("sync"),
                    _ => {
                        let (at, len) = (rng.below(16_000) as usize, rng.below(9_000) as usize);
                        let fill = if rng.chance(40) { 0 } else { rng.u64() as u8 };
                        file.write_at(at as u64, &vec![fill; len]).expect("write");
                        if len > 0 {
                            plain.resize(plain.len().max(at + len), 0);
                            plain[at..at + len].fill(fill);
                        }
                    }
                }
                assert_eq!(bytes_of(&disk, "a").as_ref(), Some(&plain), "seed {seed}");
            }
            file.sync_data().expect("sync");
            assert_eq!(bytes_of(&disk.crash_with(seed, Loss::All), "a"), Some(plain), "seed {seed}");
        }
    }

    #[test]
    fn synced_bytes_survive_and_unsynced_ones_are_kept_dropped_or_torn_in_sectors() {
        let (mut kept, mut dropped, mut torn) = (0, 0, 0);
        for seed in 0..300 {
            let disk = SimDisk::new(seed);
            let file = synced(&disk, "a", &[1; 4096]);
            file.write_at(1024, &[2; 2048]).expect("write");
            let after = disk.crash(seed);
            assert!(file.write_at(0, b"late").is_err(), "an old handle works after the power loss");
            let found = bytes_of(&after, "a").expect("the name was synced");
            assert!(found[..1024].iter().chain(&found[3072..]).all(|b| *b == 1), "synced bytes changed, seed {seed}");
            let sectors: Vec<u8> = found[1024..3072].chunks(512).map(|sector| sector[0]).collect();
            assert!(found[1024..3072].chunks(512).all(|sector| sector.iter().all(|b| *b == sector[0])));
            match sectors.iter().filter(|b| **b == 2).count() {
                0 => dropped += 1,
                4 => kept += 1,
                _ => torn += 1,
            }
        }
        assert!(kept > 20 && dropped > 20 && torn > 20, "kept {kept}, dropped {dropped}, torn {torn}");
    }

    #[test]
    fn later_writes_may_be_found_without_earlier_ones() {
        let lone_second = (0..200).filter(|seed| {
            let disk = SimDisk::new(*seed);
            let file = synced(&disk, "a", &[0; 8192]);
            file.write_at(0, &[1; 512]).expect("write");
            file.write_at(4096, &[2; 512]).expect("write");
            let found = bytes_of(&disk.crash(*seed), "a").expect("file");
            found[0] == 0 && found[4096] == 2
        });
        assert!(lone_second.count() > 10);
    }

    #[test]
    fn names_are_durable_only_after_a_sync_of_their_folder() {
        let (mut old, mut new) = (0, 0);
        for seed in 0..200 {
            let disk = SimDisk::new(seed);
            synced(&disk, "a", b"old");
            let tmp = file(&disk, "tmp");
            tmp.write_at(0, b"new").expect("write");
            tmp.sync_data().expect("sync");
            disk.rename(Path::new("/d/tmp"), Path::new("/d/a")).expect("rename");
            assert_eq!(bytes_of(&disk, "a").as_deref(), Some(&b"new"[..]));
            match bytes_of(&disk.crash(seed), "a").as_deref() {
                Some(b"old") => old += 1,
                Some(b"new") => new += 1,
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        assert!(old > 20 && new > 20, "old {old}, new {new}");

        let disk = SimDisk::new(1);
        synced(&disk, "a", b"x");
        disk.remove(Path::new("/d/a")).expect("remove");
        file(&disk, "b");
        let image = disk.image();
        assert_eq!(image.list(Path::new("/d")).expect("list"), ["b"]);
        assert_eq!(disk.crash_with(1, Loss::All).list(Path::new("/d")).expect("list"), ["a"]);
    }

    #[test]
    fn a_failed_sync_may_lose_writes_that_a_later_sync_does_not_bring_back() {
        let lost = (0..100).filter(|seed| {
            let disk = SimDisk::new(*seed);
            let file = synced(&disk, "a", &[1; 512]);
            file.write_at(0, &[2; 512]).expect("write");
            disk.fail_at(disk.ops() + 1, Fault::Eio, true);
            assert!(file.sync_data().is_err());
            file.sync_data().expect("the fault was for once");
            assert_eq!(bytes_of(&disk, "a").expect("file")[0], 2, "the cache still shows it");
            bytes_of(&disk.crash_with(*seed, Loss::Nothing), "a").expect("file")[0] == 1
        });
        assert!((10..90).contains(&lost.count()));
    }

    #[test]
    fn faults_strike_once_or_for_good_and_a_full_disk_refuses_to_grow() {
        let disk = SimDisk::new(7);
        let file = synced(&disk, "a", &[1; 1000]);
        disk.fail_at(disk.ops() + 2, Fault::ShortWrite, true);
        file.write_at(0, &[2; 1000]).expect("one before");
        assert!(file.write_at(0, &[3; 1000]).is_err());
        let found = bytes_of(&disk, "a").expect("file");
        assert!(found.ends_with(&[2]), "a short write wrote all");
        file.write_at(0, &[4; 1000]).expect("one after");

        disk.set_capacity(Some(1500));
        assert_eq!(disk.free_bytes(Path::new("/d")).expect("free"), 500);
        assert_eq!(file.write_at(1000, &[5; 501]).expect_err("full").kind(), io::ErrorKind::StorageFull);
        file.write_at(0, &[5; 1000]).expect("what does not grow fits");
        disk.set_capacity(None);

        disk.fail_at(disk.ops() + 1, Fault::Enospc, false);
        file.write_at(0, &[6; 1000]).expect("needs no room");
        assert!(file.write_at(5000, &[6; 1000]).is_err());
        assert!(disk.open(Path::new("/d/new"), Open::CreateNew).is_err());
        file.sync_data().expect("needs no room");
        disk.heal();
        disk.fail_at(disk.ops() + 1, Fault::Eio, false);
        assert!(file.sync_data().is_err() && file.sync_data().is_err());
    }

    #[test]
    fn the_power_goes_at_the_named_sync_or_operation() {
        let disk = SimDisk::new(3);
        let file = synced(&disk, "a", b"1");
        disk.freeze_at_sync(disk.syncs() + 2);
        file.write_at(0, b"2").expect("write");
        file.sync_data().expect("first");
        file.write_at(0, b"3").expect("write");
        assert!(!disk.is_frozen());
        assert!(file.sync_data().is_err() && disk.is_frozen());
        assert!(file.read_at(0, &mut [0]).is_err() && disk.list(Path::new("/d")).is_err());
        assert_eq!(bytes_of(&disk.crash_with(0, Loss::All), "a").as_deref(), Some(&b"2"[..]));

        let disk = SimDisk::new(4);
        let file = synced(&disk, "a", b"1");
        disk.freeze_at_op(disk.ops() + 1);
        assert!(file.write_at(0, b"2").is_err() && disk.is_frozen());
    }

    #[test]
    fn a_lock_is_held_by_one_until_dropped() {
        let disk = SimDisk::new(0);
        disk.create_dir_all(Path::new("/d")).expect("dir");
        let held = disk.lock(Path::new("/d")).expect("free");
        assert_eq!(disk.clone().lock(Path::new("/d")).expect_err("held").kind(), io::ErrorKind::WouldBlock);
        let after = disk.crash(0);
        after.lock(Path::new("/d")).expect("a power loss frees it");
        drop(held);
    }

    #[test]
    fn bits_are_flipped_and_ends_cut_on_the_medium() {
        let disk = SimDisk::new(0);
        synced(&disk, "a", &[0b100, 0, 7]);
        disk.flip_bit(Path::new("/d/a"), 2);
        disk.flip_bit(Path::new("/d/a"), 9);
        disk.truncate(Path::new("/d/a"), 2);
        assert_eq!(bytes_of(&disk.crash_with(0, Loss::All), "a").as_deref(), Some(&[0, 2][..]));
    }
}
