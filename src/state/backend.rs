//! The storage under redb: a file in which every block of 4 KiB has a checksum that is verified whenever it is read.
//! redb itself trusts what it reads, so without this a flipped bit is a wrong answer.
//!
//! ```text
//! group 0                                   group 1
//! sums | block 0 | block 1 | … | block 1023 | sums | block 1024 | …
//! ```
//!
//! A block of sums holds 1,024 CRC-32C (little-endian): 0 means never written since the file grew over it, so all
//! zeros; a computed 0 is stored as 1. Sums are loaded when first needed, kept in memory, and written before each sync.
//!
//! Why a crash does no harm: redb writes pages only where nothing durable lies, so a block that reached the disk
//! without its sum, or a sum without its block, is one that no durable commit refers to. The exception is block 0,
//! redb's header, written in place: it is kept twice, each copy in a sector of 512 bytes with its sum in the last four.
//! The second is written after the first, so a write that failed or was torn leaves one of them whole, and both are
//! written before a sync, so that of two whole ones that differ neither was promised to anyone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
pub(super) use redb::StorageBackend;

use crate::disk::DiskFile;

pub(super) const BLOCK: u64 = 4096;
const GROUP: u64 = 1024;
/// Bytes of a group in the file: its sums and its blocks.
const GROUP_BYTES: u64 = (GROUP + 1) * BLOCK;
/// Bytes of block 0 that can be used; in each copy its sum follows.
const HEADER: usize = 508;
const SECTOR: usize = 512;
/// Where in block 0 the copies lie.
const COPIES: [usize; 2] = [0, 2048];

/// What the owner of a base and its backend, which redb keeps, both see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    damaged: AtomicBool,
    refuse: AtomicBool,
    /// While a new file is made, which counts only once it has its name: its maker syncs it at the end.
    unsynced: AtomicBool,
    dirty_bytes: AtomicU64,
    /// Of those the ones that no sync of any kind has pushed to the medium.
    unwritten_bytes: AtomicU64,
}

impl Shared {
    /// Whether a block was not what was written.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Remembers that something was not what was written.
    pub(super) fn mark_damaged(&self) {
        self.damaged.store(true, Ordering::Release);
    }

    /// From here on the file is not touched: what would change it fails.
    pub(super) fn refuse(&self) {
        self.refuse.store(true, Ordering::Release);
    }

    /// From here on syncs are left to the file's maker.
    pub(super) fn leave_unsynced(&self) {
        self.unsynced.store(true, Ordering::Release);
    }

    /// From here on syncs are done again.
    pub(super) fn sync_from_now_on(&self) {
        self.unsynced.store(false, Ordering::Release);
    }

    /// Pushes what was written to the medium when it is much, so that the sync of a checkpoint finds little left and
    /// does not keep the disk from the log. It makes no commit durable.
    ///
    /// # Errors
    /// The disk's; the file can't be trusted then.
    pub(super) fn write_back(&self, file: &dyn DiskFile, much: u64) -> io::Result<()> {
        if self.unwritten_bytes.load(Ordering::Relaxed) < much {
            return Ok(());
        }
        file.sync_data().inspect_err(|_| self.mark_damaged())?;
        self.unwritten_bytes.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes written since the last checkpoint. Not since the last sync: redb syncs whenever the file grows.
    pub(super) fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes.load(Ordering::Relaxed)
    }

    /// A checkpoint is done.
    pub(super) fn forget_dirty(&self) {
        self.dirty_bytes.store(0, Ordering::Relaxed);
    }
}

/// The sums of one group.
#[derive(Debug)]
struct Sums {
    of: Box<[AtomicU32]>,
    dirty: AtomicBool,
    /// A bit for each block that was right once since the file was opened, read or written.
    sound: Box<[AtomicU64]>,
}

impl Sums {
    fn is_sound(&self, block: u64) -> bool {
        let at = (block % GROUP) as usize;
        self.sound[at / 64].load(Ordering::Acquire) >> (at % 64) & 1 == 1
    }

    fn set_sound(&self, block: u64, sound: bool) {
        let at = (block % GROUP) as usize;
        match sound {
            true => self.sound[at / 64].fetch_or(1 << (at % 64), Ordering::AcqRel),
            false => self.sound[at / 64].fetch_and(!(1 << (at % 64)), Ordering::AcqRel),
        };
    }
}

/// A backend as redb has it; its owner goes on reading beside it.
#[derive(Debug)]
pub(super) struct Lent(pub(super) Arc<Backend>);

/// A file with checksums.
#[derive(Debug)]
pub(super) struct Backend {
    file: Arc<dyn DiskFile>,
    shared: Arc<Shared>,
    /// By group; `None` until loaded.
    sums: RwLock<Vec<Option<Arc<Sums>>>>,
    /// Held by whatever changes the file, so that a reader that meets a write in flight can wait for it and look again.
    writing: Mutex<()>,
    /// Logical, bytes: asking the file costs a system call.
    len: AtomicU64,
}

impl Backend {
    /// # Errors
    /// The disk's.
    pub(super) fn new(file: Arc<dyn DiskFile>, shared: Arc<Shared>) -> io::Result<Backend> {
        let physical = file.len()?;
        let len = AtomicU64::new(physical - (physical.div_ceil(GROUP_BYTES) * BLOCK).min(physical));
        Ok(Backend { file, shared, sums: RwLock::default(), writing: Mutex::default(), len })
    }

    fn changing(&self) -> io::Result<()> {
        if self.shared.refuse.load(Ordering::Acquire) {
            return Err(io::Error::other("the base is closed for writing"));
        }
        Ok(())
    }

    fn group(&self, group: u64) -> io::Result<Arc<Sums>> {
        let at = usize::try_from(group).map_err(io::Error::other)?;
        if let Some(Some(sums)) = self.sums.read().get(at) {
            return Ok(sums.clone());
        }
        let mut all = self.sums.write();
        if all.len() <= at {
            all.resize_with(at + 1, || None);
        }
        match &all[at] {
            Some(sums) => Ok(sums.clone()),
            None => {
                let mut bytes = vec![0; BLOCK as usize];
                self.file.read_at(group * GROUP_BYTES, &mut bytes)?;
                let words = bytes.chunks_exact(4).map(|word| AtomicU32::new(word_of(word)));
                let sound = (0..GROUP / 64).map(|_| AtomicU64::new(0)).collect();
                let sums = Arc::new(Sums { of: words.collect(), dirty: AtomicBool::new(false), sound });
                all[at] = Some(sums.clone());
                Ok(sums)
            }
        }
    }

    /// Reads whole blocks and verifies them. `into` is a multiple of a block; the blocks lie in one group.
    fn read_blocks(&self, first: u64, into: &mut [u8]) -> io::Result<()> {
        if self.try_read(first, into)?.is_some() {
            // A write to these very blocks may be in flight: only after it is a difference damage.
            let _writing = self.writing.lock();
            if let Some(block) = self.try_read(first, into)? {
                self.shared.mark_damaged();
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("block {block} of the base is not what was written"),
                ));
            }
        }
        Ok(())
    }

    /// Reads whole blocks; the first one that is not what was written, if any.
    fn try_read(&self, first: u64, into: &mut [u8]) -> io::Result<Option<u64>> {
        let sums = self.group(first / GROUP)?;
        self.file.read_at(place(first * BLOCK), into)?;
        for (block, bytes) in (first..).zip(into.chunks_exact_mut(BLOCK as usize)) {
            let good = match block {
                0 => open_header(bytes),
                _ => sum_fits(sums.of[(block % GROUP) as usize].load(Ordering::Acquire), bytes),
            };
            if !good {
                return Ok(Some(block));
            }
            sums.set_sound(block, true);
        }
        Ok(None)
    }

    /// Verifies some blocks from `first` on, in one group; the one to go on with, `None` at the file's end.
    ///
    /// A block that is not what was written, and never was since the file was opened, may be one that a crash left and
    /// nothing refers to: redb meets it, if it is more. One that has been right is damaged for sure, though redb may
    /// hold its content in memory and not miss it.
    ///
    /// # Errors
    /// The disk's; `InvalidData` for a damaged block.
    pub(super) fn scrub(&self, first: u64, blocks: u64) -> io::Result<Option<u64>> {
        let end = self.len.load(Ordering::Acquire) / BLOCK;
        let until = (first + blocks).min((first / GROUP + 1) * GROUP).min(end);
        let mut bytes = vec![0; BLOCK as usize];
        for block in first..until {
            if self.try_read(block, &mut bytes)?.is_some() && self.group(block / GROUP)?.is_sound(block) {
                self.read_blocks(block, &mut bytes)?;
            }
        }
        Ok((until < end).then_some(until))
    }

    /// Writes whole blocks, which lie in one group, and their sums.
    fn write_blocks(&self, first: u64, bytes: &[u8]) -> io::Result<()> {
        let sums = self.group(first / GROUP)?;
        self.shared.dirty_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.shared.unwritten_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        for (block, bytes) in (first..).zip(bytes.chunks_exact(BLOCK as usize)).filter(|(block, _)| *block > 0) {
            sums.set_sound(block, false);
            sums.of[(block % GROUP) as usize].store(sum_of(bytes), Ordering::Release);
        }
        sums.dirty.store(true, Ordering::Release);
        match first {
            0 => self.write_header(bytes)?,
            _ => self.file.write_at(place(first * BLOCK), bytes)?,
        }
        // Not before: redb goes on after some writes that failed, and tries them again.
        (first..first + bytes.len() as u64 / BLOCK).for_each(|block| sums.set_sound(block, true));
        Ok(())
    }

    /// Writes block 0 and those behind it.
    fn write_header(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes[HEADER..BLOCK as usize].iter().any(|byte| *byte != 0) {
            return Err(io::Error::other("the header of the base has grown over its bounds"));
        }
        let mut sector = [0; SECTOR];
        sector[..HEADER].copy_from_slice(&bytes[..HEADER]);
        sector[HEADER..].copy_from_slice(&sum_of(&bytes[..HEADER]).to_le_bytes());
        for copy in COPIES {
            self.file.write_at(place(copy as u64), &sector)?;
        }
        if bytes.len() as u64 > BLOCK {
            self.file.write_at(place(BLOCK), &bytes[BLOCK as usize..])?;
        }
        Ok(())
    }

    /// Calls `each` with (first block, bytes into the blocks, bytes) for the part of a range in each group.
    fn split(
        offset: u64,
        len: usize,
        mut each: impl FnMut(u64, usize, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let group_end = (at / (GROUP * BLOCK) + 1) * (GROUP * BLOCK);
            let part = (len - done).min(usize::try_from(group_end - at).unwrap_or(usize::MAX));
            each(at / BLOCK, (at % BLOCK) as usize, done..done + part)?;
            done += part;
        }
        Ok(())
    }

    /// Forgets the sums of the blocks from `block` on: they are cut off, or zeros.
    fn forget_from(&self, block: u64, len: u64) -> io::Result<()> {
        if !block.is_multiple_of(GROUP) && block * BLOCK < len {
            let sums = self.group(block / GROUP)?;
            sums.of[(block % GROUP) as usize..].iter().for_each(|sum| sum.store(0, Ordering::Release));
            sums.dirty.store(true, Ordering::Release);
        }
        let whole = usize::try_from(block.div_ceil(GROUP)).map_err(io::Error::other)?;
        self.sums.write().truncate(whole);
        Ok(())
    }

    fn write_sums(&self) -> io::Result<()> {
        let all: Vec<(u64, Arc<Sums>)> =
            (0..).zip(self.sums.read().iter()).filter_map(|(at, sums)| Some((at, sums.clone()?))).collect();
        for (group, sums) in all {
            if sums.dirty.swap(false, Ordering::AcqRel) {
                let bytes: Vec<u8> = sums.of.iter().flat_map(|sum| sum.load(Ordering::Acquire).to_le_bytes()).collect();
                let written = self.file.write_at(group * GROUP_BYTES, &bytes);
                if written.is_err() {
                    sums.dirty.store(true, Ordering::Release);
                }
                written?;
            }
        }
        Ok(())
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len.load(Ordering::Acquire))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.len.load(Ordering::Acquire) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Backend::split(offset, out.len(), |first, skip, part| {
            let out = &mut out[part];
            if skip == 0 && out.len().is_multiple_of(BLOCK as usize) {
                return self.read_blocks(first, out);
            }
            let mut blocks = vec![0; (skip + out.len()).next_multiple_of(BLOCK as usize)];
            self.read_blocks(first, &mut blocks)?;
            out.copy_from_slice(&blocks[skip..skip + out.len()]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.changing()?;
        let _writing = self.writing.lock();
        if !len.is_multiple_of(BLOCK) {
            return Err(io::Error::other("the base grows by whole blocks"));
        }
        let old = self.len.load(Ordering::Acquire);
        let groups = len.div_ceil(GROUP * BLOCK);
        if len < old {
            self.forget_from(len / BLOCK, old)?;
        }
        self.file.set_len(len + groups * BLOCK)?;
        self.len.store(len, Ordering::Release);
        if len > old {
            self.forget_from(old / BLOCK, len)?;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.changing()?;
        let _writing = self.writing.lock();
        self.write_sums()?;
        if self.shared.unsynced.load(Ordering::Acquire) {
            return Ok(());
        }
        // Nothing is known of the file after this, and what is read may be the cache alone: it is built anew.
        self.file.sync_data().inspect_err(|_| self.shared.mark_damaged())?;
        self.shared.unwritten_bytes.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.changing()?;
        let _writing = self.writing.lock();
        if offset + data.len() as u64 > self.len.load(Ordering::Acquire) {
            return Err(io::Error::other("a write past the end of the base"));
        }
        Backend::split(offset, data.len(), |first, skip, part| {
            let data = &data[part];
            if skip == 0 && data.len().is_multiple_of(BLOCK as usize) {
                return self.write_blocks(first, data);
            }
            let mut blocks = vec![0; (skip + data.len()).next_multiple_of(BLOCK as usize)];
            if let Some(block) = self.try_read(first, &mut blocks)? {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("block {block} of the base is not what was written"),
                ));
            }
            blocks[skip..skip + data.len()].copy_from_slice(data);
            self.write_blocks(first, &blocks)
        })
    }
}

impl StorageBackend for Lent {
    fn len(&self) -> io::Result<u64> {
        StorageBackend::len(&*self.0)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

fn word_of(word: &[u8]) -> u32 {
    word.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

/// Where a logical offset lies in the file.
fn place(offset: u64) -> u64 {
    offset + (offset / (GROUP * BLOCK) + 1) * BLOCK
}

/// Never 0.
fn sum_of(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).max(1)
}

fn sum_fits(sum: u32, bytes: &[u8]) -> bool {
    if sum == 0 { bytes.iter().all(|byte| *byte == 0) } else { sum == sum_of(bytes) }
}

/// Makes of block 0 as it is stored what redb wrote; whether a copy of it is whole.
fn open_header(bytes: &mut [u8]) -> bool {
    let is_whole = |copy: &usize| {
        let (header, sum) = bytes[*copy..copy + SECTOR].split_at(HEADER);
        sum_fits(word_of(sum), header)
    };
    let Some(copy) = COPIES.into_iter().find(is_whole) else {
        return false;
    };
    bytes.copy_within(copy..copy + HEADER, 0);
    bytes[HEADER..].fill(0);
    true
}
