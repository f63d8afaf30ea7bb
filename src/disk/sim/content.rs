//! The bytes of one simulated file: what it reads as, what is durable, and the writes between the two.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::{Loss, Rng};

const PAGE: usize = 4096;
const SECTOR: u64 = 512;

/// The bytes of a file. Invariant: no page of zeros is stored, and what lies behind `len` is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    pub(super) len: u64,
}

#[derive(Debug)]
pub(super) enum Pending {
    Write { offset: u64, bytes: Box<[u8]> },
    Zeros { offset: u64, len: u64 },
    Len(u64),
}

#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) live: Content,
    pub(super) durable: Content,
    pub(super) pending: Vec<Pending>,
}

impl Content {
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
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

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
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

    pub(super) fn write_zeros(&mut self, offset: u64, len: u64) {
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

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.write_zeros(len, self.len - len);
            self.pages.split_off(&len.div_ceil(PAGE as u64));
        }
        self.len = len;
    }

    /// Takes over the pages of `from` that a range touches.
    pub(super) fn take_pages(&mut self, from: &Content, offset: u64, len: u64) {
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
pub(super) fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
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

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<16>();
    chunks.iter().all(|chunk| u128::from_ne_bytes(*chunk) == 0) && rest.iter().all(|b| *b == 0)
}

impl Pending {
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        match self {
            Pending::Write { offset, bytes } => Some((*offset, bytes.len() as u64)),
            Pending::Zeros { offset, len } => Some((*offset, *len)),
            Pending::Len(_) => None,
        }
    }

    pub(super) fn apply(&self, into: &mut Content) {
        match self {
            Pending::Write { offset, bytes } => into.write(*offset, bytes),
            Pending::Zeros { offset, len } => into.write_zeros(*offset, *len),
            Pending::Len(len) => into.set_len(*len),
        }
    }

    /// Applies the part of a write from `from` to `to`, offsets in the file.
    pub(super) fn apply_part(&self, into: &mut Content, from: u64, to: u64) {
        match self {
            Pending::Write { offset, bytes } => {
                into.write(from, &bytes[(from - offset) as usize..(to - offset) as usize]);
            }
            Pending::Zeros { .. } => into.write_zeros(from, to - from),
            Pending::Len(_) => {}
        }
    }

    /// Applies some of a write's sectors: any subset of few, runs of many.
    pub(super) fn apply_torn(&self, into: &mut Content, rng: &mut Rng) {
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
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
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

    pub(super) fn sync(&mut self) {
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
    pub(super) fn sync_failed(&mut self, rng: &mut Rng) {
        for write in std::mem::take(&mut self.pending) {
            match rng.below(3) {
                0 => {}
                1 => write.apply(&mut self.durable),
                _ => write.apply_torn(&mut self.durable, rng),
            }
        }
    }

    /// What a power loss leaves.
    pub(super) fn crashed(&self, rng: &mut Rng, loss: Loss) -> Inode {
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
