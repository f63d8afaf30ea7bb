//! The bounds of handlers, each with its unit and its reason. Part of [`crate::limits`], by whose name they are used.

use std::time::Duration;

use super::LOG_MAX_BYTES_MIN;

/// Handlers that there are, of every kind: one that is saved is looked at together with all others.
pub const HANDLERS_MAX: usize = 200;
/// Collections whose changes one handler takes: its expressions are compiled for each.
pub const HANDLER_COLLECTIONS_MAX: usize = 50;
/// A list or an object in a handler's definition, bytes.
pub const HANDLER_JSON_BYTES_MAX: usize = 20_000;
/// Headers that a webhook sends beside the server's own.
pub const HANDLER_HEADERS_MAX: usize = 20;
/// The value of one of them, bytes.
pub const HANDLER_HEADER_BYTES_MAX: usize = 4_096;
/// Patterns of a handler that drops what is kept of answers.
pub const HANDLER_PATTERNS_MAX: usize = 100;
/// Log that a handler reads at once, bytes.
pub const HANDLER_BATCH_BYTES: usize = 1 << 20;
/// Changes that a handler deals with in one entry: with what follows from them they are bounded as any entry.
pub const HANDLER_WRITES_MAX: usize = 100;
/// What a handler derives before it is committed, bytes, but for the last of it: constants and what relations lead to make
/// many times the log that was read, and it is held in memory, and is an entry.
pub const HANDLER_DERIVED_BYTES: usize = 4 << 20;
/// Entries that a handler passes by without a write before its cursor is logged all the same: what a restart reads again
/// at most, and what the log is kept for.
pub const HANDLER_PASSED_MAX: usize = 1_000;
/// The same, bytes of those entries: an eighth of the smallest log that may be asked for, so that it can be trimmed behind
/// a handler that wants little of it.
pub const HANDLER_PASSED_BYTES: usize = LOG_MAX_BYTES_MIN as usize / 8;
/// How long a webhook waits for its answer unless it says otherwise, seconds.
pub const HANDLER_TIMEOUT_SECONDS: u64 = 10;
/// How long it may wait at most, from the name's resolution to the answer's end, seconds.
pub const HANDLER_TIMEOUT_SECONDS_MAX: u64 = 15;
/// What is read of an answer to a webhook, bytes: more is cut off with the connection, and the status counts.
pub const HANDLER_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Messages of one webhook that are under way at once; further ones wait.
pub const HANDLER_DELIVERIES_MAX: usize = 16;
/// Messages of one webhook that were read and are not delivered. While there are as many it reads no more, and the log
/// keeps what comes. What was delivered behind the oldest of them, and is sent again after a restart, is not counted.
pub const HANDLER_WINDOW_MAX: usize = 1_000;
/// The same, bytes of their bodies, but for the last one.
pub const HANDLER_WINDOW_BYTES: usize = 4 << 20;
/// Of them those of one record, once it fails while others are delivered and there is room for no more: older ones are
/// given up, so that one record that is never taken holds up no others.
pub const HANDLER_LANE_MAX: usize = 100;
/// The same, bytes of their bodies.
pub const HANDLER_LANE_BYTES: usize = 1 << 20;
/// Time between two entries that move one handler's cursor, of those that send.
pub const HANDLER_CURSOR_PAUSE: Duration = Duration::from_millis(200);
/// Threads that all webhooks send from.
pub const HANDLER_SEND_THREADS: usize = 2;
/// A message that is kept in a dead letter, bytes: as a text in JSON it may double, and is part of a record then. Of a
/// longer one the letter has what names it.
pub const HANDLER_LETTER_BYTES_MAX: usize = 900 << 10;
/// Dead letters that there are at most: of what is given up beyond, each handler has one that counts.
pub const DEAD_LETTERS_MAX: u64 = 100_000;
/// Why a change was given up, characters: more is cut.
pub const HANDLER_ERROR_CHARS_MAX: usize = 1_000;
/// Pause between looks for handlers that come and go: to be woken for each of many single commits would cost their writers.
pub const HANDLER_LOOK_PAUSE: Duration = Duration::from_millis(10);
