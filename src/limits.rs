//! Every bound of the server, each with its unit and its reason; a bounded channel also says what happens when full.
//!
//! Each is exceeded by a test. What an operator may change is a setting with its default here.

use std::time::Duration;

mod handlers;
mod http2;
mod jobs;
mod replicas;
mod search;
mod tls;

pub use handlers::*;
pub use http2::*;
pub use jobs::*;
pub use replicas::*;
pub use search::*;
pub use tls::*;

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
/// How far the id that a new field brings from another server may lie ahead of those given out: 32 bits never run out.
pub const FIELD_IDS_AHEAD_MAX: u32 = 100_000;
/// Other names of one field, accepted on input.
pub const ALIASES_MAX: usize = 16;
/// Indexes of one collection: each is one more key for every write.
pub const INDEXES_MAX: usize = 32;
/// Fields of one index.
pub const INDEX_FIELDS_MAX: usize = 8;
/// Rows of a collection whose new index is built in the very entry that defines it, or which that entry checks or converts
/// for a new definition; with more it is done while writes go on.
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
/// Passwords that one transaction of a superuser sets. More is 413: each is some hundredths of a second of hashing.
pub const TRANSACTION_PASSWORDS_MAX: usize = 10;
/// The same of everybody else, so that a request that is counted as one costs one hash.
pub const CALLER_PASSWORDS_MAX: usize = 1;
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

/// Changes in one entry (one transaction), beside the answer that is kept for its key. More is 413.
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
/// Rows or keys in one entry of a work of the server's own, which goes on while clients write: each of these entries
/// comes between theirs.
pub const WORK_ROWS_PIECE: usize = 250;
/// Bytes that an entry of either is made from and holds (of writes their texts), but for the last row's: rows may be long.
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
/// How long an entry is kept for those who follow the log, hours.
pub const LOG_KEEP_HOURS: u32 = 24;
/// Bytes of the log's files past which entries go however young they are: a start that rebuilds the tables replays it.
pub const LOG_MAX_BYTES: u64 = 1 << 30;
/// The least that may be set for it: eight segments of a size that is still worth a file.
pub const LOG_MAX_BYTES_MIN: u64 = 8 << 20;

// The journal, lines about requests.

/// Lines kept: some tens of MB of files, all of which a search reads.
pub const JOURNAL_LINES: u64 = 100_000;
/// What that may be set to.
pub const JOURNAL_LINES_MAX: u64 = 1_000_000;
/// How long a line is kept, hours: five days.
pub const JOURNAL_HOURS: u32 = 120;
/// A line, bytes: a longer one is dropped. What a client has a say in is cut before.
pub const JOURNAL_LINE_BYTES_MAX: usize = 16 << 10;
/// Lines waiting to be written. When full a line is dropped and counted: no request waits for it.
pub const JOURNAL_QUEUE: usize = 1_024;
/// Lines written in one go.
pub const JOURNAL_BATCH: usize = 256;
/// A file of lines, bytes, but for the last batch's: a reader holds one at a time.
pub const JOURNAL_FILE_BYTES: u64 = 1 << 20;
/// Files that the lines to be kept are spread over at least: the oldest goes whole.
pub const JOURNAL_FILES: u64 = 16;
/// Time for which lines are dropped after the disk has failed or was full.
pub const JOURNAL_PAUSE: Duration = Duration::from_secs(30);
/// Time without lines after which it is looked whether the oldest have become too old.
pub const JOURNAL_TRIM_PAUSE: Duration = Duration::from_secs(3_600);
/// Time that a reader waits, twice, for lines that are being written.
pub const JOURNAL_WAIT: Duration = Duration::from_secs(1);
/// Of each text that a client or an error puts into a line, bytes.
pub const JOURNAL_TEXT_BYTES_MAX: usize = 1_000;

// The writer.

/// Commands waiting for the writer. When full: 503 with `Retry-After`, nothing changed.
pub const WRITER_QUEUE: usize = 4_096;
/// Bytes of the commands that wait for the writer. More: 503 with `Retry-After`, nothing changed.
pub const WRITER_QUEUE_BYTES: usize = 128 << 20;
/// Orders waiting for the writer: those who give them wait for the outcome, so there are few. When full they wait.
pub const WRITER_ORDERS: usize = 4;
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

// Idempotency keys.

/// A key as a client gives it, bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// How long an answer is kept for its key.
pub const ANSWERS_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is kept at least, where more of them come than there is room for; then further ones get 503.
pub const ANSWERS_AGE_MIN: Duration = Duration::from_secs(10 * 60);
/// What all of them take, bytes. Past it the oldest go before their time.
pub const ANSWERS_BYTES_MAX: u64 = 4 << 30;
/// What one of them takes, bytes: the largest record fits. More is 413.
pub const ANSWER_KEPT_BYTES_MAX: usize = 4 << 20;
/// What one counts for beside its records, bytes: at least what its keys take. So room for the largest is made by
/// forgetting some thousand at most.
pub const ANSWER_BYTES_MIN: usize = 512;
/// Answers past their age that go with one that comes: more than one, so that they become fewer.
pub const ANSWERS_FORGOTTEN: usize = 8;
/// The same of those that go by the clock, when none comes.
pub const ANSWERS_FORGOTTEN_PIECE: usize = 500;
/// How often it is looked for some.
pub const ANSWERS_FORGOTTEN_EVERY: Duration = Duration::from_secs(60);

// What changed when.

/// Slots that tell changes of collections apart: collections that share one cost each other a read.
pub const CHANGE_SLOTS_COLLECTIONS: u32 = 1 << 10;
/// The same for records, 8 bytes each once they are used: many more than are written while an answer is worth keeping.
pub const CHANGE_SLOTS_RECORDS: u32 = 1 << 18;

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
/// Size of the base's file from which it is compacted when it has grown beyond twice its content, bytes.
pub const COMPACT_BYTES_MIN: u64 = 64 << 20;
/// Bytes that one step of a copy of the base puts in, in one transaction.
pub const COMPACT_PIECE_BYTES: usize = 4 << 20;
/// Layers that wait for such a copy, bytes. Past it the copy is given up and tried again later.
pub const COMPACT_LAYERS_BYTES_MAX: usize = 128 << 20;
/// Log applied between two looks at whether it is worth a copy, as a part of the file's size: 16 is a sixteenth.
pub const COMPACT_LOG_PART: u64 = 16;
/// Time between two looks at whether it is worth a copy: each reads all of the base.
pub const COMPACT_PAUSE: Duration = Duration::from_secs(600);

// Looking for damage.

/// Time in which all of the tables, the log and the snapshot is read, hours.
pub const SCRUB_HOURS: u32 = 24;
/// What one step reads of the tables at least, bytes: less is not worth it.
pub const SCRUB_STEP_BYTES_MIN: u64 = 64 << 10;
/// The same at most: the applier reads it, and a layer may wait for it.
pub const SCRUB_STEP_BYTES_MAX: u64 = 1 << 20;

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
/// second at most. More is 422. Of what staged definitions ask of the records that it writes, as many again.
pub const TRANSACTION_STEPS_MAX: usize = 4_000_000;
/// Steps that one record may take to follow a staged definition. One that takes more can't have it, which ends it; where
/// less is left of a transaction's, that is the transaction's fault and no record's.
pub const STAGED_STEPS_MAX: usize = TRANSACTION_STEPS_MAX / 2;
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
/// Time that the related records of one event may take, beside their number: far more than that takes, so that what a
/// listener is told does not hang on how busy the machine is.
pub const EVENT_RELATED_TIME_MAX: Duration = Duration::from_millis(250);
/// Time a read waits for `Millpond-Min-Seq`.
pub const MIN_SEQ_WAIT: Duration = Duration::from_secs(5);

// Aggregates.

/// Sources of one aggregate.
pub const AGGREGATE_SOURCES_MAX: usize = 16;
/// Keys, values or what is told, names of each: each is worked out for every record, group or row.
pub const AGGREGATE_NAMES_MAX: usize = 32;
/// Measures of one source: each is kept for every group.
pub const AGGREGATE_MEASURES_MAX: usize = 64;
/// Columns that one expression names: more than a source has, and than fit in its text.
pub const AGGREGATE_COLUMNS_MAX: usize = 256;
/// Groups of one source. More: 422.
pub const AGGREGATE_GROUPS_MAX: usize = 100_000;
/// Rows that the groups of all sources merge to. More: 422.
pub const AGGREGATE_ROWS_MAX: usize = 100_000;
/// What one aggregate holds, bytes as estimated: groups, different values, values to take a percentile of. More: 422.
pub const AGGREGATE_BYTES_MAX: usize = 64 << 20;
/// Time behind its deadline in which an aggregate's threads merge what they have, and tell of it.
pub const AGGREGATE_GRACE: Duration = Duration::from_millis(500);
/// What is read of the answer of another server that is a source of an aggregate, bytes.
pub const AGGREGATE_REMOTE_BYTES_MAX: usize = 16 << 20;
/// Aggregates at once: each may hold as much. More: 503 with `Retry-After`.
pub const AGGREGATES_MAX: usize = 8;

// Live streams.

/// Log that the bus routes at once, bytes.
pub const LIVE_BATCH_BYTES: usize = 1 << 20;
/// Events of one topic kept for those who are about to take them. Who is further behind reads the log.
pub const LIVE_RING_EVENTS: usize = 1_024;
/// The same, bytes of one topic.
pub const LIVE_RING_BYTES: usize = 1 << 20;
/// The same, bytes of all topics together: past it a topic keeps nothing when something comes.
pub const LIVE_RINGS_BYTES: usize = 64 << 20;
/// How long they are kept: whoever takes them in time does so at once.
pub const LIVE_RING_AGE: Duration = Duration::from_secs(2);
/// What a change may take to be judged for all listeners of a topic, once.
pub const LIVE_JUDGE_TIME_MAX: Duration = Duration::from_millis(2);
/// So many changes in a row that take longer, and each listener has them judged for itself.
pub const LIVE_SLOW_MAX: u32 = 4;
/// What judging one batch may take before what few listen to is left to their own: each reads the log in its turn.
pub const LIVE_ROUTE_TIME: Duration = Duration::from_millis(20);
/// Who are more than few: what is judged for them is judged once for all.
pub const LIVE_SHARED_MIN: usize = 4;
/// Listeners that read the log at once; the others wait for their turn.
pub const LIVE_READERS: usize = 2;
/// Log that one of them reads at a turn, bytes, and bytes of what it takes from it.
pub const LIVE_READ_BYTES: usize = 256 << 10;
/// How long a turn takes.
pub const LIVE_READ_TIME: Duration = Duration::from_millis(50);
/// Events that are written to a client at once, bytes, but for the last one's.
pub const LIVE_WRITE_BYTES: usize = 64 << 10;
/// What sending an event to one listener takes: as long as that for all who were rung the bells wait before they ring
/// again, and what comes meanwhile is sent together.
pub const LIVE_SEND_TIME: Duration = Duration::from_micros(12);
/// The longest that they wait.
pub const LIVE_PAUSE_MAX: Duration = Duration::from_millis(15);
/// Streams of all kinds at once: some connections are left for requests. More: 503 with `Retry-After`.
pub const STREAMS_MAX: usize = 15_000;
/// Streams of one account or key. More: 429. Of one address there are as many as connections of it.
pub const STREAMS_OF_ONE_MAX: usize = 200;
/// Things that one stream listens to. More: 400.
pub const SUBSCRIPTIONS_MAX: usize = 1_000;
/// The text of one of them with its options, bytes.
pub const SUBSCRIPTION_BYTES_MAX: usize = 8 << 10;
/// Time of silence after which a stream shows that it is there, seconds.
pub const HEARTBEAT_SECONDS: u32 = 15;
/// The most that it may be set to: what stands between the two forgets silent connections.
pub const HEARTBEAT_SECONDS_MAX: u32 = 300;
/// How long a token is good that stands in a stream's address.
pub const STREAM_TOKEN_TIME: Duration = Duration::from_secs(60);
/// Records that a stream begins with which wait in memory until its client takes them, bytes; past it the rest is
/// written down.
pub const STREAM_SNAPSHOT_BYTES: usize = 1 << 20;
/// What is read of them at a turn, bytes, but for the last record's; then others have theirs.
pub const LIVE_TURN_BYTES: usize = 128 << 10;
/// How long such a turn takes.
pub const LIVE_TURN_TIME: Duration = Duration::from_millis(20);
/// Such beginnings that are read at once: each pins a view. Further ones wait.
pub const LIVE_SNAPSHOTS_MAX: usize = 8;
/// The same of one caller, or of one address where none is known.
pub const LIVE_SNAPSHOTS_OF_ONE: usize = 2;
/// Changes of one page.
pub const CHANGES_PAGE_MAX: usize = 1_000;
/// The same where a client names no number.
pub const CHANGES_PAGE_DEFAULT: usize = 100;
/// Time in which one is made at least: of a log in which a caller sees little, it may hold nothing and lead further all the
/// same.
pub const CHANGES_TIME_MIN: Duration = Duration::from_secs(2);
/// Time for which a page may be waited for.
pub const CHANGES_WAIT_MAX: Duration = Duration::from_secs(60);
/// A message of a WebSocket, bytes: one record's body, or a batch of that size.
pub const WS_MESSAGE_BYTES_MAX: usize = BODY_BYTES_MAX;
/// Requests of one WebSocket that are worked on at once; the next is read when one of them is answered.
pub const WS_REQUESTS_MAX: usize = 16;
/// Snapshots that one WebSocket has waiting to be sent. More is 429.
pub const WS_SNAPSHOTS_MAX: usize = 2;
/// What is read of one at once, bytes: each holds as much.
pub const WS_READ_BYTES: usize = 4 << 10;

// Import and export.

/// Imports at once: each has a thread and holds two commands. More: 503 with `Retry-After`.
pub const IMPORTS_MAX: usize = 4;
/// A line of an import (a row of CSV, with the line ends in it), bytes: what the body of a single create may have. A
/// longer one is refused, and the next one is looked at.
pub const LINE_BYTES_MAX: usize = BODY_BYTES_MAX;
/// Lines that are read before they are decided, bytes, but for the last one's; of lines at most `ENTRY_CHANGES_PIECE`.
pub const IMPORT_PIECE_BYTES: usize = 1 << 20;
/// Pieces of a body that wait for an import's thread. When full no more is read from the client.
pub const IMPORT_QUEUE: usize = 4;
/// Lines of an import that is one transaction. More is 413.
pub const ATOMIC_LINES_MAX: usize = ENTRY_CHANGES_MAX;
/// The same, bytes of its body: about what an entry may hold. More is 413.
pub const ATOMIC_BYTES_MAX: usize = ENTRY_BYTES_MAX;
/// Refused lines that an answer names: enough to see what is wrong with a file.
pub const LINE_FAULTS_MAX: usize = 100;
/// The text of their reasons, bytes: a line may have many faults.
pub const LINE_FAULTS_BYTES_MAX: usize = 256 << 10;
/// Columns of a CSV: more than a record has parts.
pub const CSV_COLUMNS_MAX: usize = 1_000;
/// Time that a streamed body may make the server wait for each `BODY_RATE_BYTES` of it, pauses together.
pub const BODY_WAIT_MAX: Duration = Duration::from_secs(30);
/// Bytes that are to come in that time: an import is not held by a few bytes a minute.
pub const BODY_RATE_BYTES: usize = 1 << 10;
/// Exports that are written down at once: each pins a view and has a thread. More: 503 with `Retry-After`.
pub const EXPORTS_MAX: usize = 2;
/// Exports that are written down and not sent yet: each is a file. More: 503 with `Retry-After`.
pub const SPOOLS_MAX: usize = 16;
/// Time in which an export is written down: as long pages of the tables are pinned. Past it: 422.
pub const SPOOL_TIME_MAX: Duration = Duration::from_secs(120);
/// Free bytes that an export leaves on the disk: what writes need comes first. Short of it: 503.
pub const SPOOL_HEADROOM_BYTES: u64 = 4 * DISK_HEADROOM_BYTES;
/// Bytes of an export that are written, and later read, at once.
pub const SPOOL_PIECE_BYTES: usize = 256 << 10;
// The cache.

/// Finished answers and finished records kept in memory, bytes as estimated; half for each. 0: none.
pub const CACHE_BYTES: usize = 64 << 20;
/// The least that makes sense: under it the bound of one entry would leave none.
pub const CACHE_BYTES_LEAST: usize = 1 << 20;
/// One kept answer, bytes: longer ones are rare, and each would push out many.
pub const CACHE_ANSWER_BYTES_MAX: usize = 256 << 10;
/// One kept record, bytes of its JSON.
pub const CACHE_RECORD_BYTES_MAX: usize = 16 << 10;
/// The text of a request whose answer is kept, bytes.
pub const CACHE_QUESTION_BYTES_MAX: usize = 4 << 10;
/// Slots that one kept answer depends on: each is looked at before it is used.
pub const CACHE_NEEDS_MAX: usize = 64;
/// Equal questions that wait for one answer, all together. Further ones are read each by itself.
pub const CACHE_FLIGHTS_MAX: usize = 1 << 10;
// Its second tier, a Redis.

/// Time in which it answers a read; past that the answer is made here. Some hundred times what one on the same net needs.
pub const L2_READ_TIME: Duration = Duration::from_millis(5);
/// The same of a write, for which nobody waits.
pub const L2_WRITE_TIME: Duration = Duration::from_millis(250);
/// The same of each of its figures, for `GET /api/cache`.
pub const L2_SIZE_TIME: Duration = Duration::from_millis(100);
/// Time to connect, with TLS and login, for which nobody waits either.
pub const L2_CONNECT_TIME: Duration = Duration::from_millis(1_000);
/// Reads on their way; further ones are not sent.
pub const L2_READS_MAX: usize = 32;
/// Writes on their way, each of one answer; further ones are dropped.
pub const L2_WRITES_MAX: usize = 32;
/// Commands in a row that went without a reply before a connection is given up.
pub const L2_UNANSWERED_MAX: u32 = 8;
/// The pause after the first fault; it doubles with each that follows.
pub const L2_PAUSE_LEAST: Duration = Duration::from_millis(100);
/// The longest.
pub const L2_PAUSE_MOST: Duration = Duration::from_secs(5);
/// Replies after which a connection went well: the next pause is the shortest again.
pub const L2_REPLIES_GOOD: u64 = 256;
/// One value, bytes: an answer, and what it is known by.
pub const L2_VALUE_BYTES_MAX: usize = CACHE_ANSWER_BYTES_MAX + (4 << 10);
/// Bytes of replies that nobody has taken yet: as many as there are reads, each as long as may be.
pub const L2_HELD_BYTES_MAX: usize = L2_READS_MAX * L2_VALUE_BYTES_MAX;
/// Time that a value is kept at most: one that nobody's key leads to any more is not found, and goes by this.
pub const L2_KEEP: Duration = Duration::from_secs(600);
/// Keys and patterns of one call to invalidate.
pub const INVALIDATE_MAX: usize = 1_000;

// The edge.

/// Connections at once, in all. Further ones wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Time for a connection's first byte and for a request's whole header.
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(15);
/// Connections of one address at once, or of one household's network of the sixth version: an office behind one address
/// fits, and it takes a 64th of all places. More are closed at once.
pub const CONNECTIONS_PER_ADDRESS: usize = 256;
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
/// Time that streams have to send their last word at a stop: their clients go on elsewhere from where they were.
pub const STREAM_STOP_TIME_MAX: Duration = Duration::from_millis(500);
/// What `Retry-After` says, seconds.
pub const RETRY_AFTER_SECONDS: u64 = 1;

/// An answer that is sent in a coding, bytes at least: a shorter one fits a packet as it is.
pub const ENCODED_BYTES_MIN: usize = 1 << 10;
/// An answer that is encoded at once, bytes; a longer one is encoded as it is sent, by and by.
pub const ENCODED_WHOLE_BYTES_MAX: usize = 64 << 10;
/// What a body in zstd may have its decoder look back, bytes as a power of two (RFC 9659: 8 MiB).
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Origins of other pages that may be let in.
pub const ORIGINS_MAX: usize = 100;
/// Time for which a browser need not ask again.
pub const PREFLIGHT_AGE_MAX: Duration = Duration::from_secs(3_600);

/// A request that takes as long is logged as slow, ms.
pub const SLOW_MS: u64 = 1_000;

// Rates.

/// Requests of one client in [`RATE_REQUESTS_TIME`], where rate limits are on.
pub const RATE_REQUESTS: u32 = 300;
/// The time that they are counted over.
pub const RATE_REQUESTS_TIME: Duration = Duration::from_secs(10);
/// Logins from one address in [`RATE_LOGINS_TIME`], where rate limits are on.
pub const RATE_LOGINS: u32 = 10;
/// The time that they are counted over.
pub const RATE_LOGINS_TIME: Duration = Duration::from_secs(60);
/// What either may be set to: a hundred thousand a second is none any more.
pub const RATE_MAX: u32 = 1_000_000;
/// Clients that are counted each by itself; those beyond share one count.
pub const RATE_CLIENTS_MAX: usize = 100_000;
/// How often it is looked, where there is no room, who can be forgotten.
pub const RATE_SWEEP_TIME: Duration = Duration::from_secs(1);
/// Networks of trusted proxies.
pub const PROXIES_MAX: usize = 100;
/// Proxies on the way of one request that are looked at.
pub const PROXY_HOPS_MAX: usize = 16;
