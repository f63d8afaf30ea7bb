//! The bounds of TLS, each with its unit and its reason. Part of [`crate::limits`], by whose name they are used.

use std::time::Duration;

/// Time from a connection's beginning to the end of its handshake: two ways there and back over a bad net fit many times.
/// Past it the connection is closed.
pub const TLS_HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How often the files of certificate and key are looked at: a renewed one serves within so much time.
pub const TLS_RELOAD_INTERVAL: Duration = Duration::from_secs(5);
/// Certificates of one file: a chain has two or three, and a file of all the world's roots was not meant.
pub const TLS_CHAIN_MAX: usize = 16;
/// What `Strict-Transport-Security` may say, seconds: two years, which is what lists of preloaded names ask for.
pub const TLS_HSTS_SECONDS_MAX: u32 = 2 * 365 * 24 * 3_600;

/// The authority that is asked where the settings name none: Let's Encrypt.
pub const ACME_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Names that one certificate is asked for: what authorities take at most.
pub const ACME_DOMAINS_MAX: usize = 100;
/// How often it is looked whether a certificate has to be renewed, at least: a third of its time is left then.
pub const ACME_LOOK: Duration = Duration::from_secs(3_600);
/// Pause after an authority gave none, doubled each time: five tries in the first hour, as is the custom at most.
pub const ACME_PAUSE_MIN: Duration = Duration::from_secs(180);
/// The longest of these pauses.
pub const ACME_PAUSE_MAX: Duration = Duration::from_secs(6 * 3_600);
/// Time for one certificate: an authority looks from several places at each name.
pub const ACME_ORDER_TIME: Duration = Duration::from_secs(300);
/// Time for one answer of an authority, and what is read of it, bytes.
pub const ACME_ANSWER_TIME: Duration = Duration::from_secs(30);
/// See above.
pub const ACME_ANSWER_BYTES_MAX: usize = 1 << 20;
