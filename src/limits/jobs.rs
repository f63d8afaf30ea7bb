//! The bounds of jobs, each with its unit and its reason. Part of [`crate::limits`], by whose name they are used.

use std::time::Duration;

/// Jobs that there are: one that is saved is looked at together with all others, and so is each when it is asked what is due.
pub const JOBS_MAX: usize = 200;
/// Runs that are carried out at once; others wait in the state `queued`.
pub const RUNS_AT_ONCE: usize = 4;
/// Records of a chunk, unless the job says otherwise.
pub const JOB_CHUNK: usize = 1_000;
/// The most it may say.
pub const JOB_CHUNK_MAX: usize = 10_000;
/// Records of a chunk, bytes, but for the last one: as many chunks as are worked on at once lie in memory.
pub const JOB_CHUNK_BYTES: usize = 4 << 20;
/// Threads of a run, unless the job says otherwise.
pub const JOB_PARALLEL: usize = 2;
/// The most it may say.
pub const JOB_PARALLEL_MAX: usize = 8;
/// Records that a run writes in one entry: each of these entries comes between clients' writes, and holds them up by as
/// much as it takes to be decided.
pub const JOB_ROWS_PIECE: usize = 100;
/// How long a run may take if it says so, seconds: a week.
pub const JOB_TIMEOUT_SECONDS_MAX: u64 = 7 * 24 * 3_600;
/// How long an aggregate of a job may take where the job does not say.
pub const JOB_AGGREGATE_TIME: Duration = Duration::from_secs(600);
/// How long the records that a run is for are counted: it is for whoever looks on, and the run goes without where it takes longer.
pub const JOB_COUNT_TIME: Duration = Duration::from_secs(2);
/// Runs that are kept of a job, unless it says otherwise.
pub const JOB_KEEP: usize = 50;
/// The most it may say.
pub const JOB_KEEP_MAX: usize = 1_000;
/// Records that were refused of which a run says why; all are counted.
pub const JOB_FAULTS_MAX: usize = 100;
/// Why one was refused, characters: more is cut.
pub const JOB_FAULT_CHARS_MAX: usize = 300;
/// Rows of a result that go into a collection: they are one entry, so that whoever reads finds all of them or none.
pub const JOB_STORED_MAX: usize = 2_000;
/// What of a result stands in the run's record, bytes.
pub const JOB_RESULT_BYTES_MAX: usize = 64 << 10;
/// How often it is looked what is due and what is to be begun.
pub const JOB_TICK: Duration = Duration::from_millis(200);
/// How long it is tried to send a message of a run or to tell of its end, before that is given up.
pub const JOB_SEND_TIME: Duration = Duration::from_secs(120);
/// Before it is tried a second time; the pauses double, up to [`JOB_SEND_PAUSE_MAX`].
pub const JOB_SEND_PAUSE: Duration = Duration::from_millis(500);
/// The longest of them.
pub const JOB_SEND_PAUSE_MAX: Duration = Duration::from_secs(20);
