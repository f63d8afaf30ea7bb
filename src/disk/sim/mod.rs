//! A seeded disk in memory that loses power, tears, drops and reorders writes, loses names, fills up and fails.
//!
//! Invariant: only what a `sync_data` or `sync_dir` covered is sure to be found by [`SimDisk::crash`]; of the rest, each
//! write, length and name is found or not, writes by 512-byte sectors and in any order. Everything that happens follows
//! from the seeds and the order of calls. Files are maps of 4 KiB pages, shared between copies; a page of zeros is
//! absent, so that zero-filled segments and whole images cost next to nothing.
//!
//! Not simulated: folders that vanish ([`Disk::create_dir_all`] is durable at once), synced bytes that rot by
//! themselves (see [`SimDisk::flip_bit`]).

mod content;
mod rng;
#[cfg(test)]
mod tests;
mod world;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use self::content::{Content, Inode, Pending};
pub use self::rng::Rng;
use self::world::{Kind, NameOp, Node, Plan, World, eio, folder, lost_power};
use super::{Disk, DiskFile, DiskLock, Open};

/// What a disk without a capacity says is free, bytes.
const FREE_UNBOUNDED: u64 = 1 << 40;

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
