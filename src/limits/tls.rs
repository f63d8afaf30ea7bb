//! The bounds of TLS, each with its unit and its reason. Part of [`crate::limits`], by whose name they are used.

use std::time::Duration;

/// Time from a connection's beginning to the end of its handshake: two ways there and back over a bad net fit many times.
/// Past it the connection is closed.
pub const TLS_HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Handshakes at once: each takes some 20 KiB. Those beyond wait for one to end, within their own time; who has said
/// nothing yet takes none of these places.
pub const TLS_HANDSHAKES_MAX: usize = 1_024;
/// How often the files of certificate and key are looked at: a renewed one serves within so much time.
pub const TLS_RELOAD_INTERVAL: Duration = Duration::from_secs(5);
/// Certificates of one file: a chain has two or three, and a file of all the world's roots was not meant.
pub const TLS_CHAIN_MAX: usize = 16;
/// What `Strict-Transport-Security` may say, seconds: two years, which is what lists of preloaded names ask for.
pub const TLS_HSTS_SECONDS_MAX: u32 = 2 * 365 * 24 * 3_600;
