//! The bounds of search, each with its unit and its reason. Part of [`crate::limits`], by whose name they are used.

use std::time::Duration;

/// Fields that a collection is searched by: each is looked into for each word.
pub const SEARCH_FIELDS_MAX: usize = 32;
/// Fields whose values may be counted.
pub const SEARCH_FACETS_MAX: usize = 16;
/// The greatest boost of a searched field: sums of scores stay exact in 24 bits.
pub const SEARCH_BOOST_MAX: f64 = 100.0;
/// A search, bytes.
pub const SEARCH_BYTES_MAX: usize = 1_000;
/// Its words: each is looked up in each field.
pub const SEARCH_PARTS_MAX: usize = 32;
/// A word, bytes: what is longer is no word that anybody types.
pub const SEARCH_WORD_BYTES_MAX: usize = 64;
/// A highlight, bytes of its text.
pub const SEARCH_HIGHLIGHT_BYTES: usize = 300;
/// Different values of one facet that are counted; with more the search is refused.
pub const SEARCH_FACET_VALUES_MAX: usize = 10_000;
/// Values of one facet that are answered, those with the most hits.
pub const SEARCH_FACET_VALUES_SHOWN: usize = 100;
/// Hits that are counted; with more, `totalItems` is -1.
pub const SEARCH_TOTAL_MAX: usize = 10_000;
/// Hits of one search that are held to be asked or put in order, of 12 bytes each; with more it is refused.
pub const SEARCH_HITS_MAX: usize = 2_000_000;
/// Records that changed since the index was committed and are asked for themselves; with more, every hit of it is.
pub const SEARCH_CHANGED_MAX: usize = 128;
/// Bytes of log that are looked through for them.
pub const SEARCH_CHANGED_BYTES: usize = 1 << 20;
/// Bytes of log that are taken at once into the indexes.
pub const SEARCH_BATCH_BYTES: usize = 1 << 20;
/// Memory in which one index gathers what is put into it, bytes; tantivy takes no less than 15 MB.
pub const SEARCH_WRITER_BYTES: usize = 16_000_000;
/// The same while an index is filled: fewer pieces to be merged.
pub const SEARCH_FILL_BYTES: usize = 64_000_000;
/// Indexes that are written at once, each with that memory; another one waits until one of them is committed.
pub const SEARCH_WRITERS_MAX: usize = 4;
/// Time that an index is kept ready to be written after its last commit.
pub const SEARCH_WRITER_IDLE: Duration = Duration::from_secs(10);
/// Time from a change to the commit that makes it readable; no waiting where a request does.
pub const SEARCH_COMMIT_PAUSE: Duration = Duration::from_millis(100);
/// Pause between looks for entries where no request waits for any.
pub const SEARCH_TAKE_PAUSE: Duration = Duration::from_millis(5);
/// Time after which what an index holds is noted in it also where nothing changed, so that a start finds its position in the
/// log.
pub const SEARCH_NOTE_PAUSE: Duration = Duration::from_secs(60);
/// Time before something that failed is tried again.
pub const SEARCH_RETRY_PAUSE: Duration = Duration::from_secs(2);
/// Rows that are read from one view while an index is filled: no view is held long.
pub const SEARCH_FILL_ROWS: usize = 1_000;
/// Bytes of those, but for the last one's.
pub const SEARCH_FILL_BATCH_BYTES: usize = 4 << 20;
/// Time that a search waits for an index that is being made, before it is told to come again.
pub const SEARCH_WAIT: Duration = Duration::from_secs(2);
/// Part of an index's documents that may be taken out before it is merged without them.
pub const SEARCH_DELETED_PART_MAX: f32 = 0.25;
