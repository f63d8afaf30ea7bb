//! The bounds of HTTP/2 for one connection, each with its unit and its reason: past a limit it is cut, but where something
//! else is said. Part of [`crate::limits`], by whose name they are used.

use std::time::Duration;

/// Requests at once; a further one is refused by its stream.
pub const H2_STREAMS_MAX: u32 = 100;
/// What a client may send of one body before it is read, bytes.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// The same of all its bodies together.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What is handed over of an answer at a time, bytes: so much of it waits, beyond what the client has room for.
pub const H2_SEND_BYTES_MAX: usize = 16 << 10;
/// Requests taken back before anybody has looked at them.
pub const H2_RESETS_MAX: usize = 20;
/// Requests taken back before their answer is sent, less those that were answered: work for nothing.
pub const H2_ABANDONED_MAX: usize = 200;
/// Streams that the server had to end, as what came on them broke the protocol.
pub const H2_ERRORS_MAX: usize = 100;
/// Bytes that ask for nothing, as pings and settings, in [`H2_IDLE_BYTES_TIME`]. Above [`H2_CONNECTION_WINDOW_BYTES`]:
/// bodies that wait to be read ask for nothing either.
pub const H2_IDLE_BYTES_MAX: usize = 2 << 20;
/// The time over which they are counted.
pub const H2_IDLE_BYTES_TIME: Duration = Duration::from_secs(60);
/// Time without a request, after which the client is told to leave.
pub const H2_IDLE_TIME_MAX: Duration = Duration::from_secs(120);
/// Time of silence after which the client is pinged.
pub const H2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// Time for its answer to that.
pub const H2_PING_TIME_MAX: Duration = Duration::from_secs(20);
