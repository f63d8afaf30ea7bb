//! Every bound of the server, each with its unit and its reason; a bounded channel also says what happens when full.
//!
//! Each is exceeded by a test. What an operator may change is a setting with its default here.

use std::time::Duration;

// Records and their input.

/// A record's id, bytes.
pub const RECORD_ID_BYTES_MAX: usize = 100;
/// A request's body, bytes: one record or definition. More is 413 before it is read.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Nesting of a JSON body, levels: serde_json's recursion stays far from the stack's end.
pub const JSON_DEPTH_MAX: usize = 64;
/// One stored record, bytes of its encoded fields: far below what an entry may hold.
pub const RECORD_BYTES_MAX: usize = 2 << 20;
/// Default longest text, characters, where a field names no `max`.
pub const TEXT_CHARS_DEFAULT_MAX: usize = 5_000;
/// Default longest rich text, characters of its HTML, where a field names no `max`.
pub const EDITOR_CHARS_DEFAULT_MAX: usize = 100_000;
/// A text that stands in an index, bytes: keys are held whole in branch pages.
pub const INDEXED_TEXT_BYTES_MAX: usize = 1_000;
/// Values of a list field (`select`, `relation` with `maxSelect`), elements.
pub const LIST_ITEMS_MAX: usize = 1_000;
/// Faults reported in one answer: enough to correct a form, bounded for a hostile body.
pub const FAULTS_MAX: usize = 100;

// Collections.

/// Collections of one database.
pub const COLLECTIONS_MAX: usize = 1_000;
/// Fields of one collection.
pub const FIELDS_MAX: usize = 200;
/// Other names of one field, accepted on input.
pub const ALIASES_MAX: usize = 16;
/// Indexes of one collection: each is one more key for every write.
pub const INDEXES_MAX: usize = 32;
/// Fields of one index.
pub const INDEX_FIELDS_MAX: usize = 8;
/// Rows of a collection whose new index is built in the very entry that defines it; with more it is built while writes
/// go on.
pub const INDEX_AT_ONCE_ROWS: usize = 1_000;
/// What an index that failed says of why, records or pairs of them: enough to see what is wrong with the rows.
pub const INDEX_FLAWS_MAX: usize = 10;
/// Name of a collection, field or index, bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// A `pattern` of a text field, bytes.
pub const PATTERN_BYTES_MAX: usize = 1_000;
/// Compiled size of a `pattern`, bytes: its compiler refuses to grow past it.
pub const PATTERN_COMPILED_BYTES_MAX: usize = 1 << 20;
/// What matching one text against a field's `pattern` may take, steps of some nanoseconds: the longest text takes two
/// thirds of it, where the pattern is a plain one. Past it the text is refused.
pub const PATTERN_STEPS_MAX: usize = 200_000;
/// States of a pattern's automaton at once, bytes: full, they are let go and made anew. More where four of the widest
/// take more.
pub const PATTERN_STATES_BYTES: usize = 128 << 10;
/// States of one pattern kept between searches, of all threads together, bytes; at least those of one.
pub const PATTERN_KEPT_BYTES: usize = 256 << 10;
/// Checks of one collection: each is evaluated at every write.
pub const CHECKS_MAX: usize = 50;
/// The message of a check, bytes.
pub const CHECK_MESSAGE_BYTES_MAX: usize = 500;
/// Values of a `select`.
pub const SELECT_VALUES_MAX: usize = 500;

// Accounts.

/// A password, characters at least, where its field names no `min`.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// A password, characters at most: hashing a long one costs no more than reading it.
pub const PASSWORD_CHARS_MAX: usize = 500;
/// Memory that one hash of a password fills, KiB: what makes guessing dear. Twice through it, one lane.
pub const PASSWORD_MEMORY_KIB: usize = 19_456;
/// How often it is gone through.
pub const PASSWORD_PASSES: u32 = 2;
/// Threads that hash passwords: each fills that memory.
pub const PASSWORD_THREADS: usize = 2;
/// Hashes waiting for a thread. When full: 503 with `Retry-After`, nothing changed.
pub const PASSWORD_QUEUE: usize = 64;
/// Time a hash may wait for a thread.
pub const PASSWORD_WAIT_MAX: Duration = Duration::from_secs(10);
/// Passwords that one transaction sets. More is 413: each is some hundredths of a second of hashing.
pub const TRANSACTION_PASSWORDS_MAX: usize = 10;
/// How long a token is good where its collection doesn't say, seconds: a week. Of superusers: a day.
pub const TOKEN_SECONDS: u64 = 7 * 24 * 3_600;
/// The same of superusers.
pub const SUPERUSER_TOKEN_SECONDS: u64 = 24 * 3_600;
/// How long a token may be good, seconds: a year.
pub const TOKEN_SECONDS_MAX: u64 = 366 * 24 * 3_600;
/// A token or an API key, bytes.
pub const TOKEN_BYTES_MAX: usize = 1_000;
/// How long the link is good by which a new server is given its first superuser.
pub const SETUP_TIME_MAX: Duration = Duration::from_secs(30 * 60);

// The log.

/// Changes in one entry (one transaction). More is 413.
pub const ENTRY_CHANGES_MAX: usize = 10_000;
/// Requests of one batch. More is 413. All are decided at one go: none holds the writer long.
pub const TRANSACTION_WRITES_MAX: usize = 1_000;
/// Body of a batch, bytes: about what an entry may hold. More is 413 before it is read.
pub const TRANSACTION_BODY_BYTES_MAX: usize = ENTRY_BYTES_MAX;
/// Records of one transaction's answer, bytes: they are held from the decision to the answer. More is 413.
pub const TRANSACTION_ANSWER_BYTES_MAX: usize = 2 * ENTRY_BYTES_MAX;
/// An entry's payload, bytes. More is 413. Not over `u32`.
pub const ENTRY_BYTES_MAX: usize = 16 << 20;
/// Changes in one entry of a work that is cut into many: none holds the writer long.
pub const ENTRY_CHANGES_PIECE: usize = 1_000;
/// Bytes that such an entry is made from and holds, but for the last row's: rows may be long.
pub const ENTRY_BYTES_PIECE: usize = 1 << 20;
/// A segment's size, bytes: small, so that zero-filling the next one costs little and trim is fine-grained.
pub const SEGMENT_BYTES: u64 = 8 << 20;
/// The segment a start opens, bytes: an empty server starts at once.
pub const SEGMENT_FIRST_BYTES: u64 = 1 << 20;
/// Newest decoded entries kept in memory for consumers, entries.
pub const RING_ENTRIES: usize = 4_096;
/// The same, bytes of payload.
pub const RING_BYTES: usize = 16 << 20;
/// Idleness after which the log's end is marked durable.
pub const MARK_IDLE: Duration = Duration::from_millis(50);

// The writer.

/// Commands waiting for the writer. When full: 503 with `Retry-After`, nothing changed.
pub const WRITER_QUEUE: usize = 4_096;
/// Bytes of the commands that wait for the writer. More: 503 with `Retry-After`, nothing changed.
pub const WRITER_QUEUE_BYTES: usize = 128 << 20;
/// Commands decided into one group commit.
pub const BATCH_COMMANDS_MAX: usize = 512;
/// Bytes of the commands of one group commit, but for the last one's.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Fresh layer at which the writer freezes it for the applier, bytes of keys and values.
pub const FRESH_BYTES_FREEZE: usize = 16 << 20;
/// Age at which even a small fresh layer is frozen.
pub const FRESH_AGE_FREEZE: Duration = Duration::from_secs(2);
/// Fresh and frozen layers together, bytes: past it the writer waits for the applier, its queue fills, then 503.
/// Sized for the longest checkpoint at full write load.
pub const LAYERS_BYTES_MAX: usize = 256 << 20;
/// Frozen layers handed to the applier and not yet taken back. When full the writer keeps filling the fresh layer.
pub const FROZEN_LAYERS_MAX: usize = 1;

// The base.

/// redb's page cache, bytes (its own default is 1 GiB).
pub const BASE_CACHE_BYTES: usize = 64 << 20;
/// The base's rows that were read lately, bytes at most (and half of its page cache): beside redb's pages, so that a lookup needs none of them.
pub const BASE_ROWS_BYTES: usize = 32 << 20;
/// How finely changes to them are told apart: one slot of 4 bytes for so many bytes of rows.
pub const WARM_BYTES_PER_SLOT: usize = 64;
/// Bytes written to the base's file after which they are pushed to the medium: a checkpoint's sync of all its pages at
/// once would hold up the log's.
pub const BASE_WRITE_BACK_BYTES: u64 = 8 << 20;
/// Log bytes applied after which the base is made durable.
pub const CHECKPOINT_LOG_BYTES: u64 = 64 << 20;
/// Bytes written to the base's file after which it is made durable.
pub const CHECKPOINT_DIRTY_BYTES: u64 = 256 << 20;
/// Time after which applied but not durable work is made durable.
pub const CHECKPOINT_AGE: Duration = Duration::from_secs(60);

// The disk.

/// Free bytes below which writes are answered 507: room for a checkpoint and the next segments.
pub const DISK_HEADROOM_BYTES: u64 = 64 << 20;
/// A file kept to be given up when the disk is full, so that deletes can still be logged, bytes.
pub const BALLAST_BYTES: u64 = 16 << 20;

// Reading.

/// Records of a page when the client names no number.
pub const PAGE_DEFAULT: usize = 30;
/// Records of a page at most.
pub const PAGE_MAX: usize = 1_000;
/// Records a page may skip (`page` times `perPage`): further in, use a cursor.
pub const OFFSET_MAX: usize = 1_000_000;
/// Rows one query may look at before it is refused, rows.
pub const QUERY_ROWS_MAX: usize = 5_000_000;
/// Time one query may take.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(10);
/// What a query may keep to sort by, bytes of keys: a page may lie a million records in, each with long texts before it.
pub const SORT_BYTES_MAX: usize = 64 << 20;
/// Stored rows of one page, bytes: the page is held, decoded and as JSON, until its reader has taken it.
pub const PAGE_BYTES_MAX: usize = 32 << 20;
/// Rows a query may read on the request's own thread; a longer one goes to the scan pool.
pub const INLINE_ROWS_MAX: usize = 256;
/// Levels of related records in an answer.
pub const EXPAND_LEVELS_MAX: usize = 6;
/// Relations that one answer follows, all levels together.
pub const LINKS_MAX: usize = 100;
/// Levels of a path in `fields`: each level of related records takes two, and json has levels of its own.
pub const FIELDS_LEVELS_MAX: usize = 32;
/// Text of each of `fields`, `expand` and `embed`, bytes.
pub const LOOK_BYTES_MAX: usize = 8 << 10;
/// Records that point at one and are shown with it. The first ones by id.
pub const REFERRERS_MAX: usize = 1_000;
/// Related records that one answer reads; one that comes again is read once.
pub const RELATED_READS_MAX: usize = 10_000;
/// Related records that one answer shows or leaves out, one that comes again counted again.
pub const RELATED_SHOWN_MAX: usize = 200_000;
/// An answer with related records, bytes: few of them may stand in it many times.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Threads that scan.
pub const SCAN_THREADS: usize = 2;
/// Queries waiting for a scan thread. When full: 503 with `Retry-After`.
pub const SCAN_QUEUE: usize = 256;
/// A filter's text, bytes.
pub const FILTER_BYTES_MAX: usize = 3_500;
/// Nesting of an expression.
pub const EXPRESSION_DEPTH_MAX: usize = 64;
/// Relations that one path of an expression goes over.
pub const EXPRESSION_HOPS_MAX: usize = 6;
/// Steps of one evaluation, of what depends on the record: elements, other records (50 each), 64 bytes of text searched
/// or made. A step is some nanoseconds, so all of them are a few milliseconds; past it the evaluation is refused.
pub const EXPRESSION_STEPS_MAX: usize = 200_000;
/// Steps of all evaluations of one transaction: they run on the one thread that decides, so they are some tenths of a
/// second at most. More is 422.
pub const TRANSACTION_STEPS_MAX: usize = 4_000_000;
/// Regular expressions in one expression: each takes up to a millisecond to compile.
pub const EXPRESSION_PATTERNS_MAX: usize = 8;
/// Compiled size of each of them, bytes: a filter comes from anyone, a `pattern` from the collection's owner.
pub const EXPRESSION_PATTERN_COMPILED_BYTES_MAX: usize = 128 << 10;
/// Compiled expressions kept for texts that come again, bytes as estimated. Past it the least recently used go.
pub const PROGRAMS_BYTES_MAX: usize = 16 << 20;
/// Other records that one condition of one record may read, rules that it leads to included. More: 422.
pub const RELATED_ROWS_MAX: usize = 50_000;
/// Other records kept while a query runs, bytes as estimated: many rows point at few. Past it all are let go.
pub const RELATED_KEPT_BYTES_MAX: usize = 8 << 20;
/// Records on the far side of a relation that a plan begins with; of more the near side is looked at.
pub const RELATED_IDS_MAX: usize = 1_000;
/// Such lookups that one plan tries.
pub const PLAN_LOOKUPS_MAX: usize = 32;
/// Stretches of an index, or of several, that one plan walks. With more it begins with less.
pub const PLAN_WALKS_MAX: usize = 1_000;
/// Walks that are merged in order, each with a scan of its own; more are sorted.
pub const PLAN_MERGED_MAX: usize = 64;
/// Branches of an "or" that are walked each by an index; with more, every record is asked.
pub const PLAN_BRANCHES_MAX: usize = 32;
/// Entries that are counted at least, and at most, to choose between two indexes.
pub const PLAN_PROBE: (usize, usize) = (256, 4_096);
/// A cursor's text, bytes: it stands in a URL, in a head of 64 KiB.
pub const CURSOR_BYTES_MAX: usize = 8 << 10;
/// Of a record's place in an order, what a cursor holds, bytes; a longer one is found again by the record.
pub const CURSOR_PLACE_BYTES_MAX: usize = 4 << 10;
/// Totals kept for filters that come again, bytes as estimated.
pub const TOTALS_BYTES_MAX: usize = 4 << 20;
/// Changes that a kept total is carried over; behind more it is counted again.
pub const TOTALS_CHANGES_MAX: usize = 1_000;
/// The same, bytes of log.
pub const TOTALS_READ_BYTES_MAX: usize = 1 << 20;
/// Time a query may take on the request's own thread before it goes to the scan pool.
pub const INLINE_TIME_MAX: Duration = Duration::from_millis(2);
/// Time a read waits for `Millpond-Min-Seq`.
pub const MIN_SEQ_WAIT: Duration = Duration::from_secs(5);

// The edge.

/// Connections at once, in all. Further ones wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Time for a connection's first byte and for a request's whole header.
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(15);
/// Bytes of a request's head.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// Time for a request's whole body.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// Time a client may leave an answer unread before its connection is cut.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// Time that a connection with a refused, unread body goes on being read, so that its client sees the answer.
pub const LINGER_TIME_MAX: Duration = Duration::from_secs(3);
/// Time that requests in flight have to end at a stop.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(20);
/// What `Retry-After` says, seconds.
pub const RETRY_AFTER_SECONDS: u64 = 1;
