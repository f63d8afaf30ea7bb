//! The state of a simulated disk: names, durable and not, what is planned to go wrong, and the counts it goes by.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::content::Inode;
use super::{Fault, Loss, Rng};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Create,
    Write,
    SetLen,
    Sync,
    SyncDir,
    Name,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) at: u64,
    pub(super) fault: Fault,
    pub(super) once: bool,
}

pub(super) type Node = Arc<Mutex<Inode>>;

#[derive(Debug)]
pub(super) enum NameOp {
    Create(PathBuf, Node),
    Rename(PathBuf, PathBuf, Node),
    Remove(PathBuf),
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) live: BTreeMap<PathBuf, Node>,
    pub(super) durable: BTreeMap<PathBuf, Node>,
    pub(super) pending: BTreeMap<PathBuf, Vec<NameOp>>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) capacity: Option<u64>,
    pub(super) plans: Vec<Plan>,
    pub(super) count_reads: bool,
    pub(super) freeze_op: Option<u64>,
    pub(super) freeze_sync: Option<u64>,
    pub(super) ops: u64,
    pub(super) syncs: u64,
    pub(super) frozen: bool,
}

impl NameOp {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
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

pub(super) fn lost_power() -> io::Error {
    io::Error::other("the simulated disk lost power")
}

pub(super) fn eio() -> io::Error {
    io::Error::other("simulated I/O error")
}

pub(super) fn folder(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

impl World {
    pub(super) fn new(seed: u64) -> World {
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
    pub(super) fn begin(&mut self, kind: Kind, grows: bool) -> io::Result<Option<Fault>> {
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
    pub(super) fn begin_whole(&mut self, kind: Kind, grows: bool) -> io::Result<()> {
        match self.begin(kind, grows)? {
            None => Ok(()),
            Some(Fault::Enospc) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Eio | Fault::ShortWrite) => Err(eio()),
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.live.values().map(|node| node.lock().live.len).sum()
    }

    /// How far a file may reach that is now `len` long and wants to be `wanted`.
    pub(super) fn room(&self, len: u64, wanted: u64) -> u64 {
        match self.capacity {
            Some(capacity) if wanted > len => wanted.min(len + capacity.saturating_sub(self.used())),
            _ => wanted,
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Node> {
        self.live.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn name(&mut self, path: &Path, op: NameOp) {
        op.apply(&mut self.live);
        self.pending.entry(folder(path)).or_default().push(op);
    }

    /// The names that a power loss leaves.
    pub(super) fn names_after(&self, rng: &mut Rng, loss: Loss) -> BTreeMap<PathBuf, Node> {
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
    pub(super) fn strikes(&self, op: u64, kind: Kind, grows: bool) -> bool {
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
