//! A disk whose syncs of the log wait at a gate, and whose log or tables fail on demand.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::disk::sim::SimDisk;
use crate::disk::{Disk, DiskFile, DiskLock, Open};

/// Far more than anything here takes: to fail instead of hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A simulated disk with a gate before the log.
#[derive(Clone, Debug)]
pub(super) struct GatedDisk {
    pub(super) sim: SimDisk,
    pub(super) gate: Arc<Gate>,
}

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    log_fails: AtomicBool,
    base_fails: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// Syncs that may pass though it is closed.
    permits: usize,
    /// Syncs that stand before it.
    waiting: usize,
    passed: usize,
}

impl Gate {
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
    }

    pub(super) fn open(&self) {
        self.state.lock().closed = false;
        self.changed.notify_all();
    }

    /// Lets one sync through and waits until it has gone.
    pub(super) fn let_one_pass(&self) {
        let mut state = self.state.lock();
        let passed = state.passed;
        state.permits += 1;
        self.changed.notify_all();
        while state.passed == passed {
            assert!(!self.changed.wait_for(&mut state, PATIENCE).timed_out(), "nobody came to the gate");
        }
    }

    /// Waits until the writer stands before the closed gate.
    pub(super) fn wait_for_writer(&self) {
        let mut state = self.state.lock();
        while state.waiting == 0 {
            assert!(!self.changed.wait_for(&mut state, PATIENCE).timed_out(), "nobody came to the gate");
        }
    }

    /// From now on each sync of the log fails.
    pub(super) fn fail_log(&self) {
        self.log_fails.store(true, Ordering::SeqCst);
    }

    /// From now on each write to the tables' file fails.
    pub(super) fn fail_base(&self) {
        self.base_fails.store(true, Ordering::SeqCst);
    }

    fn pass(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.waiting += 1;
        self.changed.notify_all();
        while state.closed && state.permits == 0 {
            self.changed.wait(&mut state);
        }
        if state.closed {
            state.permits -= 1;
        }
        state.waiting -= 1;
        state.passed += 1;
        self.changed.notify_all();
        drop(state);
        if self.log_fails.load(Ordering::SeqCst) { Err(io::Error::other("the log fails")) } else { Ok(()) }
    }
}

impl GatedDisk {
    pub(super) fn new(sim: SimDisk) -> GatedDisk {
        GatedDisk { sim, gate: Arc::default() }
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
    path: PathBuf,
}

impl GatedFile {
    fn is_log(&self) -> bool {
        self.path.parent().is_some_and(|dir| dir.ends_with("log")) && !self.path.ends_with("0.spare")
    }
}

impl DiskFile for GatedFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.path.ends_with("base") && self.gate.base_fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the tables fail"));
        }
        self.file.write_at(offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.is_log() {
            self.gate.pass()?;
        }
        self.file.sync_data()
    }
}

impl Disk for GatedDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.sim.open(path, how)?;
        Ok(Arc::new(GatedFile { file, gate: self.gate.clone(), path: path.to_owned() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.sim.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.sim.exists(path)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.sim.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.sim.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.sim.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sim.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.sim.free_bytes(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.sim.lock(dir)
    }
}
