//! A file that is given up when the disk is full, so that deletes can still be logged.
//!
//! Invariant: it is made only while there is room for it above the headroom, so it never makes a disk full itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::limits;

const BALLAST_FILE: &str = "ballast";
/// Bytes written at once while it is made.
const PIECE_BYTES: usize = 1 << 20;

/// The ballast of one folder, and the question how much room is left.
#[derive(Debug)]
pub(super) struct Ballast {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    held: bool,
}

impl Ballast {
    /// Finds the ballast of `dir`; makes none.
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Result<Ballast> {
        let path = dir.join(BALLAST_FILE);
        let io = |error| Error::io("the ballast file", error);
        let there = disk.exists(&path).map_err(io)?;
        let held =
            there && disk.open(&path, Open::Read).and_then(|file| file.len()).map_err(io)? == limits::BALLAST_BYTES;
        let ballast = Ballast { disk, dir: dir.to_owned(), held };
        if there && !held {
            ballast.remove();
        }
        Ok(ballast)
    }

    /// Whether a write may go on: the headroom is free. An error of the question counts as yes: the write itself tells.
    pub(super) fn has_headroom(&self) -> bool {
        has_headroom(&*self.disk, &self.dir)
    }

    /// Makes it if it is not there and room is ample. A failure is no fault: there is none, then.
    pub(super) fn restore(&mut self) {
        let ample = limits::DISK_HEADROOM_BYTES + 2 * limits::BALLAST_BYTES;
        if self.held || self.disk.free_bytes(&self.dir).map_or(true, |free| free < ample) {
            return;
        }
        match self.make() {
            Ok(()) => self.held = true,
            Err(error) => {
                tracing::warn!(%error, "no ballast file could be made");
                self.remove();
            }
        }
    }

    /// Gives it up. Whether there was one to give.
    pub(super) fn release(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        if held {
            tracing::warn!("disk full: the ballast file is given up so that deletes can go on");
            self.remove();
        }
        held
    }

    fn make(&self) -> std::io::Result<()> {
        let file = self.disk.open(&self.dir.join(BALLAST_FILE), Open::CreateNew)?;
        // Not zeros: a file system that keeps holes or compresses would give nothing back.
        let mut piece = vec![0u8; PIECE_BYTES];
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        for chunk in piece.chunks_mut(8) {
            word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        for offset in (0..limits::BALLAST_BYTES).step_by(PIECE_BYTES) {
            file.write_at(offset, &piece)?;
        }
        file.sync_data()?;
        self.disk.sync_dir(&self.dir)
    }

    fn remove(&self) {
        let gone = self.disk.remove(&self.dir.join(BALLAST_FILE)).and_then(|()| self.disk.sync_dir(&self.dir));
        if let Err(error) = gone {
            tracing::warn!(%error, "the ballast file could not be removed");
        }
    }
}

/// Whether the headroom of the disk under `dir` is free. An error of the question counts as yes: the write itself tells.
pub(super) fn has_headroom(disk: &dyn Disk, dir: &Path) -> bool {
    disk.free_bytes(dir).map_or(true, |free| free >= limits::DISK_HEADROOM_BYTES)
}
