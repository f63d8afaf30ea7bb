//! Hits gathered from an index: all of them, or as many of the best as are asked for and their number.
//!
//! Best first, and equal ones by their ids: where documents lie in the index tells of its history, and so of other rows.
//! Within a segment the column of ids orders as the ids do, so their texts are read only of hits that are given out.

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::StrColumn;
use tantivy::{DocId, Score, Searcher, SegmentOrdinal, SegmentReader, TantivyError};

use super::index::{ID, failed};
use super::query::Sought;
use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::limits;

/// A place among hits: behind a score, and of equal ones behind an id.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The score.
    pub score: Score,
    /// The id.
    pub id: RecordId,
}

impl Place {
    /// Whether a hit comes after it.
    pub fn is_before(&self, score: Score, id: &RecordId) -> bool {
        self.score.total_cmp(&score).reverse().then_with(|| self.id.cmp(id)).is_lt()
    }
}

/// A hit as the index has it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hit {
    score: Score,
    segment: SegmentOrdinal,
    /// Of its id among those of its segment.
    ord: u32,
}

impl Hit {
    /// Best first, within a segment by id.
    fn order(&self, other: &Hit) -> Ordering {
        other.score.total_cmp(&self.score).then(self.segment.cmp(&other.segment)).then(self.ord.cmp(&other.ord))
    }
}

impl Eq for Hit {}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Hit) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The last one is the greatest.
impl Ord for Hit {
    fn cmp(&self, other: &Hit) -> Ordering {
        self.order(other)
    }
}

/// Hits, best first, that are read as they are taken.
#[derive(Debug)]
pub struct Hits {
    /// All that there are, also those that were not gathered.
    pub count: usize,
    /// Of each segment.
    ids: Vec<StrColumn>,
    /// Sorted, the last one first.
    left: Vec<Hit>,
    /// Of one score, the last one first.
    now: Vec<(RecordId, Score)>,
    /// How many more are given out: behind them some are missing.
    room: usize,
}

impl Hits {
    /// All hits.
    ///
    /// # Errors
    /// `Unprocessable` with code `query_too_large` for more than `limits::SEARCH_HITS_MAX`; the index's.
    pub(super) fn all(searcher: &Searcher, sought: &Sought) -> Result<Hits> {
        let hits = Hits::gather(searcher, sought, Gather { most: None, after: None, without: &BTreeSet::new() })?;
        if hits.count > limits::SEARCH_HITS_MAX {
            let message = format!("the search has more than {} hits: add a word", limits::SEARCH_HITS_MAX);
            return Err(Error::new(crate::error::Kind::Unprocessable, message).code("query_too_large"));
        }
        Ok(hits)
    }

    /// The best behind a place, without some.
    ///
    /// # Errors
    /// The index's.
    pub(super) fn best(
        searcher: &Searcher,
        sought: &Sought,
        most: usize,
        after: Option<&Place>,
        without: &BTreeSet<RecordId>,
    ) -> Result<Hits> {
        Hits::gather(searcher, sought, Gather { most: Some(most), after, without })
    }

    fn gather(searcher: &Searcher, sought: &Sought, gather: Gather<'_>) -> Result<Hits> {
        let most = gather.most;
        let Gathered { count, mut left } = searcher.search(&*sought.query(), &gather).map_err(failed)?;
        left.sort_unstable_by(|a, b| b.order(a));
        let ids = searcher.segment_readers().iter().map(ids).collect::<tantivy::Result<_>>().map_err(failed)?;
        let mut hits = Hits { count, ids, left, now: Vec::new(), room: most.unwrap_or(usize::MAX) };
        if let Some(most) = most {
            hits.cut(most);
        }
        Ok(hits)
    }

    /// Leaves the best of all segments: of equal scores at the edge all, since which of them come first their ids say.
    fn cut(&mut self, most: usize) {
        let Some(from) = self.left.len().checked_sub(most) else { return };
        if let Some(edge) = self.left.get(from).map(|hit| hit.score) {
            let kept = self.left.partition_point(|hit| hit.score < edge);
            self.left.drain(..kept);
        }
    }

    /// The next one, which stays.
    ///
    /// # Errors
    /// The index's.
    pub fn peek(&mut self) -> Result<Option<&(RecordId, Score)>> {
        if self.now.is_empty() {
            self.read()?;
        }
        Ok(self.now.last().filter(|_| self.room > 0))
    }

    /// The next one.
    ///
    /// # Errors
    /// The index's.
    pub fn take(&mut self) -> Result<Option<(RecordId, Score)>> {
        if self.peek()?.is_none() {
            return Ok(None);
        }
        self.room -= 1;
        Ok(self.now.pop())
    }

    /// Reads the ids of the next ones of one score.
    fn read(&mut self) -> Result<()> {
        let Some(score) = self.left.last().map(|hit| hit.score) else { return Ok(()) };
        let from = self.left.iter().rposition(|hit| hit.score != score).map_or(0, |at| at + 1);
        // By segment and in it by ord.
        let hits: Vec<Hit> = self.left.drain(from..).rev().collect();
        let mut wrong = false;
        for hits in hits.chunk_by(|a, b| a.segment == b.segment) {
            let ids = self.ids[hits[0].segment as usize].dictionary();
            let ords: Vec<u64> = hits.iter().map(|hit| u64::from(hit.ord)).collect();
            let all = ids.sorted_ords_to_term_cb(&ords, |bytes| match std::str::from_utf8(bytes).map(RecordId::new) {
                Ok(Ok(id)) => self.now.push((id, score)),
                _ => wrong = true,
            });
            wrong |= !all.map_err(|error| failed(TantivyError::from(error)))?;
        }
        if wrong {
            return Err(Error::damaged("the search index has a document without a sound id"));
        }
        self.now.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        Ok(())
    }
}

fn ids(segment: &SegmentReader) -> tantivy::Result<StrColumn> {
    let ids = segment.fast_fields().str(ID)?;
    ids.ok_or_else(|| TantivyError::InternalError("the search index has no ids".to_owned()))
}

/// How they are gathered.
struct Gather<'a> {
    most: Option<usize>,
    after: Option<&'a Place>,
    without: &'a BTreeSet<RecordId>,
}

/// What was.
struct Gathered {
    count: usize,
    left: Vec<Hit>,
}

impl Collector for Gather<'_> {
    type Fruit = Gathered;
    type Child = OfSegment;

    fn for_segment(&self, segment: SegmentOrdinal, reader: &SegmentReader) -> tantivy::Result<OfSegment> {
        let ids = ids(reader)?;
        let after = match self.after {
            None => None,
            Some(Place { score, id }) => {
                let from = match ids.dictionary().term_ord_or_next(id.as_str().as_bytes())? {
                    tantivy::columnar::TermOrdHit::Exact(ord) => ord.saturating_add(1),
                    tantivy::columnar::TermOrdHit::Next(ord) => ord,
                };
                Some((*score, u32::try_from(from).unwrap_or(u32::MAX)))
            }
        };
        let mut without = Vec::new();
        for id in self.without {
            // In the order of the ids, so the ords ascend.
            without.extend(ids.dictionary().term_ord(id.as_str().as_bytes())?.and_then(|ord| u32::try_from(ord).ok()));
        }
        let (_, ords) = ids.into_parts();
        let room = self.most.unwrap_or(limits::SEARCH_HITS_MAX);
        Ok(OfSegment {
            segment,
            ords,
            room,
            heaped: self.most.is_some(),
            after,
            without,
            count: 0,
            hits: Vec::new(),
            heap: BinaryHeap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, all: Vec<Gathered>) -> tantivy::Result<Gathered> {
        let mut sum = Gathered { count: 0, left: Vec::new() };
        for one in all {
            sum.count += one.count;
            // Over the bound it is refused anyway.
            if self.most.is_some() || sum.count <= limits::SEARCH_HITS_MAX {
                sum.left.extend(one.left);
            }
        }
        Ok(sum)
    }
}

/// Those of one segment.
struct OfSegment {
    segment: SegmentOrdinal,
    ords: tantivy::columnar::Column<u64>,
    room: usize,
    heaped: bool,
    /// The first id at that score that comes behind.
    after: Option<(Score, u32)>,
    /// Ids that are left out, in order.
    without: Vec<u32>,
    count: usize,
    hits: Vec<Hit>,
    heap: BinaryHeap<Hit>,
}

impl OfSegment {
    fn ord(&self, doc: DocId) -> u32 {
        // Fewer than documents, of which a segment has at most 2^31.
        self.ords.first(doc).map_or(u32::MAX, |ord| ord as u32)
    }
}

impl SegmentCollector for OfSegment {
    type Fruit = Gathered;

    fn collect(&mut self, doc: DocId, score: Score) {
        if !self.without.is_empty() && self.without.binary_search(&self.ord(doc)).is_ok() {
            return;
        }
        self.count += 1;
        if !self.heaped {
            if self.hits.len() < self.room {
                let hit = Hit { score, segment: self.segment, ord: self.ord(doc) };
                self.hits.push(hit);
            }
            return;
        }
        let full = self.heap.len() == self.room;
        // The column is read only of what may be kept.
        if full && self.heap.peek().is_none_or(|last| score < last.score) {
            return;
        }
        let hit = Hit { score, segment: self.segment, ord: self.ord(doc) };
        if self.after.is_some_and(|(at, from)| score > at || (score == at && hit.ord < from)) {
            return;
        }
        if !full {
            self.heap.push(hit);
        } else if let Some(mut last) = self.heap.peek_mut()
            && hit < *last
        {
            *last = hit;
        }
    }

    fn harvest(self) -> Gathered {
        let left = if self.heaped { self.heap.into_vec() } else { self.hits };
        Gathered { count: self.count, left }
    }
}
