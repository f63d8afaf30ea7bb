//! The bounds of followers and backups, each with its unit and its reason. Part of [`crate::limits`], by whose name they
//! are used.

use std::time::Duration;

use super::ENTRY_BYTES_MAX;

/// Bytes of the log that a follower is given at once, about; more is asked for.
pub const SHIPMENT_BYTES: usize = 4 << 20;
/// The same at most: an entry may come on top, with what frames add. An answer that claims more is refused.
pub const SHIPMENT_BYTES_MAX: usize = SHIPMENT_BYTES * 2 + ENTRY_BYTES_MAX;
/// How long a follower's request waits for news before it is answered without any.
pub const REPLICA_BEAT: Duration = Duration::from_secs(1);
/// A request between servers, from the name to the last byte.
pub const REPLICA_TIME: Duration = Duration::from_secs(15);
/// Pause before a primary that can't be reached is tried again; it doubles up to the greatest.
pub const REPLICA_PAUSE: Duration = Duration::from_millis(100);
/// The greatest such pause.
pub const REPLICA_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Followers of one primary. One more: 503 with code `too_many_followers`.
pub const FOLLOWERS_MAX: usize = 16;
/// A follower that has been silent for so long keeps no log any more.
pub const FOLLOWER_LEASE: Duration = Duration::from_secs(600);
/// A follower that has been silent for so long is forgotten.
pub const FOLLOWER_FORGOTTEN: Duration = Duration::from_secs(3_600);
/// A file of the archive is followed by another when it has as many bytes.
pub const ARCHIVE_FILE_BYTES: u64 = 64 << 20;
/// Backups by the clock that are kept, unless set.
pub const BACKUPS_KEEP: usize = 7;
/// The same at most.
pub const BACKUPS_KEEP_MAX: usize = 1_000;
/// A backup of more bytes goes to a bucket in parts of so many, each of which is in memory while it is sent.
pub const STORE_PART_BYTES: u64 = 8 << 20;
/// The same of very long ones: with 10,000 parts that is 625 GiB. A longer one is refused.
pub const STORE_PART_BYTES_MAX: u64 = 64 << 20;
/// Parts of one, by the rules of S3.
pub const STORE_PARTS_MAX: u64 = 10_000;
/// Tries of one request to a bucket, with a pause that doubles between them.
pub const STORE_TRIES: u32 = 4;
/// The first such pause.
pub const STORE_PAUSE: Duration = Duration::from_millis(200);
/// How long one try may be silent, beside the time for the bytes that are sent.
pub const STORE_TIME: Duration = Duration::from_secs(10);
/// After so long a request is not tried again: who waits for it is told.
pub const STORE_PATIENCE: Duration = Duration::from_secs(15);
/// Bytes a second that are sent or fetched at least, or the try is over.
pub const STORE_RATE_BYTES: u64 = 64 << 10;
/// How long it is tried to tell a bucket that an upload came to nothing: a stop may wait for it.
pub const STORE_ABORT_TIME: Duration = Duration::from_secs(2);
/// Bytes of an answer that tells of objects, a thousand of them at most.
pub const STORE_ANSWER_BYTES_MAX: usize = 4 << 20;
/// Bytes of a backup that are read to know what it is.
pub const STORE_HEAD_BYTES: u64 = 16 << 10;
/// Objects that are listed. With more of them under its prefix a bucket is refused.
pub const STORE_LISTED_MAX: usize = 10_000;
/// Snapshots that are fetched at once. One more: 503 with code `busy`.
pub const SNAPSHOTS_MAX: usize = 2;
/// A snapshot that nobody has read from for so long goes.
pub const SNAPSHOT_LEASE: Duration = Duration::from_secs(120);
/// Bytes of a snapshot that are given at once.
pub const SNAPSHOT_PIECE_BYTES: usize = 1 << 20;
/// How long the writing of a snapshot may take: an hour is some 500 GB.
pub const SNAPSHOT_TAKING: Duration = Duration::from_secs(3_600);
/// How long a write that was passed on waits for this server's own copy of it.
pub const FORWARD_WAIT: Duration = Duration::from_secs(2);
/// How long a write that was passed on may take, but for an import.
pub const FORWARD_TIME: Duration = Duration::from_secs(60);
/// How often a write that bears a key is sent to the primary until there is an answer, and the time between.
pub const FORWARD_TRIES: u32 = 4;
/// See there.
pub const FORWARD_PAUSE: Duration = Duration::from_millis(250);
/// Bytes of a refusal of the primary that is looked into.
pub const FORWARD_REFUSAL_BYTES: usize = 1 << 20;
/// How often a write may be passed on.
pub const FORWARD_HOPS: u8 = 3;
/// How far a follower may be behind before `/readyz` says so, seconds, unless set.
pub const READY_LAG_S: u32 = 10;
/// How long a write waits for its followers, ms, unless set.
pub const SYNC_FOLLOWERS_MS: u64 = 5_000;
/// The same of an import, which takes as long as its lines.
pub const IMPORT_FORWARD_TIME: Duration = Duration::from_secs(3_600);
