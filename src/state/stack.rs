//! Reading through layers: the newest that knows a key decides, tombstones hide. The one merging iterator is [`Scan`].
//!
//! Invariant: a stack is immutable once published; its layers are ordered from the newest, and everything in a lower
//! one is older than everything in a higher one.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;
use crate::state::base::{BasePair, BaseRange, BaseView};
use crate::state::effects::{Effects, settle};
use crate::state::key::Key;
use crate::state::layer::{Layer, LayerRange};

/// State that can be read at one position.
pub trait Read {
    /// A key's value.
    ///
    /// # Errors
    /// `Damaged` or `Internal`, of the base.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// The keys from `from` to before `to` with their values, the greatest first if `backwards`. Lazy: starting costs a
    /// search in each layer, and no more is read than is taken.
    ///
    /// # Errors
    /// As [`Read::get`].
    fn scan<'a>(&'a self, from: &[u8], to: &[u8], backwards: bool) -> Result<Scan<'a>>;
}

/// The state as it is published: fresh layer, layer being flushed, base.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Newest.
    pub fresh: Layer,
    /// Being written to the base.
    pub frozen: Option<Arc<Layer>>,
    /// All that lies below.
    pub base: Arc<BaseView>,
}

impl Stack {
    /// A stack of nothing but a base.
    pub fn new(base: Arc<BaseView>) -> Stack {
        Stack { fresh: Layer::new(), frozen: None, base }
    }

    /// Puts an entry's effects into the fresh layer.
    ///
    /// # Errors
    /// As [`settle`]; then the stack is as it was.
    pub fn apply(&mut self, effects: Effects) -> Result<()> {
        for (key, value) in settle(effects, self)? {
            self.fresh.put(key, value);
        }
        Ok(())
    }
}

impl Read for Stack {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        get_through([Some(&self.fresh), self.frozen.as_deref()], &self.base, key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8], backwards: bool) -> Result<Scan<'a>> {
        scan_through(None, [Some(&self.fresh), self.frozen.as_deref()], &self.base, from, to, backwards)
    }
}

/// A command's own writes over a stack; dropped, it leaves no trace.
#[derive(Debug)]
pub struct Overlay<'a> {
    over: &'a Stack,
    own: BTreeMap<Key, Option<Bytes>>,
}

impl<'a> Overlay<'a> {
    /// No writes yet.
    pub fn new(over: &'a Stack) -> Overlay<'a> {
        Overlay { over, own: BTreeMap::new() }
    }

    /// What it lies over.
    pub fn below(&self) -> &'a Stack {
        self.over
    }

    /// Puts effects into it.
    ///
    /// # Errors
    /// As [`settle`]; then it is as it was.
    pub fn apply(&mut self, effects: Effects) -> Result<()> {
        let writes = settle(effects, self)?;
        self.own.extend(writes);
        Ok(())
    }

    /// Sets a key's value, or deletes the key.
    pub fn put(&mut self, key: Key, value: Option<Bytes>) {
        self.own.insert(key, value);
    }

    /// Its own writes, in the order of the keys.
    pub fn into_writes(self) -> impl Iterator<Item = (Key, Option<Bytes>)> {
        self.own.into_iter()
    }
}

impl Read for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.own.get(key) {
            Some(known) => Ok(known.clone()),
            None => self.over.get(key),
        }
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8], backwards: bool) -> Result<Scan<'a>> {
        let Stack { fresh, frozen, base } = self.over;
        scan_through(Some(&self.own), [Some(fresh), frozen.as_deref()], base, from, to, backwards)
    }
}

impl Read for BaseView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.value(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8], backwards: bool) -> Result<Scan<'a>> {
        scan_through(None, [None, None], self, from, to, backwards)
    }
}

fn get_through(layers: [Option<&Layer>; 2], base: &BaseView, key: &[u8]) -> Result<Option<Bytes>> {
    match layers.into_iter().flatten().find_map(|layer| layer.get(key)) {
        Some(known) => Ok(known.clone()),
        None => base.value(key),
    }
}

fn scan_through<'a>(
    own: Option<&'a BTreeMap<Key, Option<Bytes>>>,
    layers: [Option<&'a Layer>; 2],
    base: &BaseView,
    from: &[u8],
    to: &[u8],
    backwards: bool,
) -> Result<Scan<'a>> {
    let mut scan = Scan { sources: Vec::with_capacity(4), alone: None, backwards };
    if from >= to {
        return Ok(scan);
    }
    if let Some(own) = own.filter(|own| !own.is_empty()) {
        scan.push(Source::Own(own.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)))))?;
    }
    for layer in layers.into_iter().flatten().filter(|layer| !layer.is_empty()) {
        scan.push(Source::Layer(layer.bounded(from, to)))?;
    }
    scan.push(Source::Base(Box::new(base.range(from, to)?)))?;
    Ok(scan)
}

/// Where a scan's pairs come from.
enum Source<'a> {
    Own(btree_map::Range<'a, Key, Option<Bytes>>),
    Layer(LayerRange<'a>),
    Base(Box<BaseRange>),
}

/// The next pair of a source.
enum Head<'a> {
    Known(&'a Key, &'a Option<Bytes>),
    Base(BasePair),
}

impl<'a> Source<'a> {
    fn next(&mut self, backwards: bool) -> Result<Option<Head<'a>>> {
        let known = match self {
            Source::Own(range) => step(range, backwards),
            Source::Layer(range) => step(range, backwards),
            Source::Base(range) => return Ok(range.step(backwards)?.map(Head::Base)),
        };
        Ok(known.map(|(key, value)| Head::Known(key, value)))
    }
}

fn step<T>(range: &mut impl DoubleEndedIterator<Item = T>, backwards: bool) -> Option<T> {
    if backwards { range.next_back() } else { range.next() }
}

impl Head<'_> {
    fn key(&self) -> &[u8] {
        match self {
            Head::Known(key, _) => key,
            Head::Base(pair) => pair.key(),
        }
    }
}

/// The merging iterator. Its sources are in the order from the newest; one that has ended is taken out.
pub struct Scan<'a> {
    sources: Vec<(Source<'a>, Head<'a>)>,
    /// The last of them, once its head was given: there is nothing left to compare it with.
    alone: Option<Source<'a>>,
    backwards: bool,
}

impl<'a> Scan<'a> {
    fn push(&mut self, mut source: Source<'a>) -> Result<()> {
        if let Some(head) = source.next(self.backwards)? {
            self.sources.push((source, head));
        }
        Ok(())
    }

    /// Takes the head of a source and moves that source on; an ended one goes.
    fn take(&mut self, at: usize) -> Result<Head<'a>> {
        let (source, head) = &mut self.sources[at];
        match source.next(self.backwards)? {
            Some(next) => Ok(std::mem::replace(head, next)),
            None => Ok(self.sources.remove(at).1),
        }
    }

    /// The source with the next key; of several with the same key the newest.
    fn foremost(&self) -> Option<usize> {
        let mut best = 0;
        let mut best_key = self.sources.first()?.1.key();
        for (at, (_, head)) in self.sources.iter().enumerate().skip(1) {
            let key = head.key();
            if if self.backwards { key > best_key } else { key < best_key } {
                (best, best_key) = (at, key);
            }
        }
        Some(best)
    }

    /// The next head of all sources, tombstones among them.
    fn head(&mut self) -> Result<Option<Head<'a>>> {
        if let Some(alone) = &mut self.alone {
            return alone.next(self.backwards);
        }
        if self.sources.len() == 1
            && let Some((source, head)) = self.sources.pop()
        {
            self.alone = Some(source);
            return Ok(Some(head));
        }
        let Some(at) = self.foremost() else { return Ok(None) };
        let head = self.take(at)?;
        // From the back: taking an ended source out moves those behind it.
        for older in (0..self.sources.len()).rev() {
            if self.sources[older].1.key() == head.key() {
                self.take(older)?;
            }
        }
        Ok(Some(head))
    }

    fn advance(&mut self) -> Result<Option<Pair<'a>>> {
        while let Some(head) = self.head()? {
            match head {
                Head::Known(key, Some(value)) => return Ok(Some(Pair(Held::Known(key, value)))),
                Head::Known(_, None) => {}
                Head::Base(pair) => return Ok(Some(Pair(Held::Base(pair)))),
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Result<Pair<'a>>;

    fn next(&mut self) -> Option<Result<Pair<'a>>> {
        let next = self.advance();
        if next.is_err() {
            (self.sources, self.alone) = (Vec::new(), None);
        }
        next.transpose()
    }
}

/// A key and its value, lent by a layer or by a page of the base: nothing is copied.
pub struct Pair<'a>(Held<'a>);

enum Held<'a> {
    Known(&'a Key, &'a Bytes),
    Base(BasePair),
}

impl Pair<'_> {
    /// The key.
    pub fn key(&self) -> &[u8] {
        match &self.0 {
            Held::Known(key, _) => key,
            Held::Base(pair) => pair.key(),
        }
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        match &self.0 {
            Held::Known(_, value) => value,
            Held::Base(pair) => pair.value(),
        }
    }
}
