//! What an operator may set: one plain struct with its defaults, read from TOML; flags and `MILLPOND_*` are laid over
//! it by `cli`.
//!
//! Nothing here opens, binds or creates: [`Settings::validate`] only refuses what can never work or must not be.

mod bucket;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

pub use self::bucket::{Bucket, Hidden};
use crate::error::{Error, Result};
use crate::limits;

/// The settings of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder that holds everything.
    pub data: PathBuf,
    /// The address to listen at; port 0 takes a free one.
    pub listen: SocketAddr,
    /// File of the certificate that is shown to clients, in PEM, with those that lead to its root behind it; with it TLS is
    /// spoken, and nothing else.
    pub tls_cert: Option<PathBuf>,
    /// File of its key, in PEM.
    pub tls_key: Option<PathBuf>,
    /// Names that this server is reached by from everywhere, at port 443: an authority is asked for a certificate of them.
    pub acme_domains: Vec<String>,
    /// The mail address that it is told.
    pub acme_contact: Option<String>,
    /// Where it is: the URL of its ACME directory. Whoever asks it agrees to its terms of service.
    pub acme_directory: String,
    /// How long a browser is told to come by TLS only (`Strict-Transport-Security`), seconds; 0 is not told.
    pub tls_hsts_seconds: u32,
    /// Every caller on loopback is a superuser.
    pub dev: bool,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// What is logged: a level, or directives as `tracing` has them (`info,millpond::http=debug`).
    pub log_level: String,
    /// A request's body at most, bytes.
    pub body_bytes_max: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// The same of one address that is neither this machine's nor a trusted proxy's.
    pub connections_per_address: usize,
    /// The base's page cache, bytes.
    pub base_cache_bytes: usize,
    /// Origins whose pages a browser lets read the answers: `https://app.example`, or `*` for all.
    pub cors_origins: Vec<String>,
    /// Time that an entry of the log is kept at least, as long as the log is within `log_max_bytes`, hours.
    pub log_keep_hours: u32,
    /// The log's files at most, bytes; a start that rebuilds the tables may have all of it to replay.
    pub log_max_bytes: u64,
    /// Time in which all of the tables, the log and the snapshot is read and verified, hours; 0 is never.
    pub scrub_hours: u32,
    /// The cache of finished answers and records, bytes; 0 for none.
    pub cache_bytes: usize,
    /// The Redis that finished answers are shared by, behind the cache in memory: `redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]`,
    /// or `rediss://` for TLS; none for no such tier.
    pub l2_cache: Option<String>,
    /// Whether anybody who reaches the server may read `/metrics`; else superusers only.
    pub metrics_open: bool,
    /// A request that takes as long is logged as slow, ms; 0 for none.
    pub slow_ms: u64,
    /// Time of silence after which a stream shows that it is there, seconds.
    pub heartbeat_seconds: u32,
    /// Whether clients are held to `rate_limit_requests` and `rate_limit_logins`.
    pub rate_limits: bool,
    /// Requests of one client in `limits::RATE_REQUESTS_TIME`.
    pub rate_limit_requests: u32,
    /// Logins from one address in `limits::RATE_LOGINS_TIME`.
    pub rate_limit_logins: u32,
    /// Whether webhooks may be sent to addresses that are not open to all: this machine's own, those of its net.
    pub webhook_private_addresses: bool,
    /// The server that this one follows; none for a primary.
    pub follow: Option<String>,
    /// What is shown to it, or, on a primary, to the one that may take its place: a superuser's API key.
    pub token: Option<String>,
    /// Where clients and other servers reach this one.
    pub advertise: Option<String>,
    /// How far a follower may be behind its primary before `/readyz` says so, seconds.
    pub ready_lag_s: u32,
    /// How many followers have a write on their disks before it is answered.
    pub sync_followers: usize,
    /// How long that is waited for, ms.
    pub sync_followers_ms: u64,
    /// How often a backup is made, hours; 0 for never.
    pub backup_hours: u32,
    /// How many of those are kept.
    pub backups_keep: usize,
    /// The bucket that backups are kept in, as [`Bucket`] reads it; none for the folder `backups` beside the data.
    pub backup_store: Option<String>,
    /// The id of the key that is shown to it.
    pub backup_store_key: Option<String>,
    /// What that signs with.
    pub backup_store_secret: Option<Hidden>,
    /// The folder that the log is copied to as it grows; none for no archive.
    pub archive: Option<PathBuf>,
    /// Networks of proxies that are believed in `X-Forwarded-For`: `10.0.0.0/8`, `::1`.
    pub trusted_proxies: Vec<String>,
    /// Memory that one hash of a password fills, KiB.
    pub password_memory_kib: usize,
    /// Lines about requests that are kept for `/api/logs`; 0 for none.
    pub request_log_lines: u64,
    /// How long such a line is kept, hours; 0 for none.
    pub request_log_hours: u32,
    /// The least grave that is kept.
    pub request_log_level: Level,
}

/// How grave a line about a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It was answered.
    Debug,
    /// It was refused, and that is its client's affair.
    #[default]
    Info,
    /// It was slow, or could not be taken now.
    Warn,
    /// It met a fault of ours.
    Error,
}

impl Level {
    /// As PocketBase's clients have it.
    pub fn number(self) -> i8 {
        match self {
            Level::Debug => -4,
            Level::Info => 0,
            Level::Warn => 4,
            Level::Error => 8,
        }
    }
}

impl FromStr for Level {
    type Err = Error;

    /// # Errors
    /// `Invalid` for anything but `debug`, `info`, `warn` and `error`.
    fn from_str(text: &str) -> Result<Level> {
        match text {
            "debug" => Ok(Level::Debug),
            "info" => Ok(Level::Info),
            "warn" => Ok(Level::Warn),
            "error" => Ok(Level::Error),
            _ => Err(Error::invalid(format!("{text:?} is no level: debug, info, warn or error"))),
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            data: PathBuf::from("millpond-data"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)),
            tls_cert: None,
            tls_key: None,
            acme_domains: Vec::new(),
            acme_contact: None,
            acme_directory: limits::ACME_DIRECTORY.to_owned(),
            tls_hsts_seconds: 0,
            dev: false,
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
            body_bytes_max: limits::BODY_BYTES_MAX,
            connections_max: limits::CONNECTIONS_MAX,
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS,
            base_cache_bytes: limits::BASE_CACHE_BYTES,
            cors_origins: Vec::new(),
            log_keep_hours: limits::LOG_KEEP_HOURS,
            log_max_bytes: limits::LOG_MAX_BYTES,
            scrub_hours: limits::SCRUB_HOURS,
            cache_bytes: limits::CACHE_BYTES,
            l2_cache: None,
            metrics_open: false,
            slow_ms: limits::SLOW_MS,
            heartbeat_seconds: limits::HEARTBEAT_SECONDS,
            rate_limits: false,
            rate_limit_requests: limits::RATE_REQUESTS,
            rate_limit_logins: limits::RATE_LOGINS,
            webhook_private_addresses: false,
            follow: None,
            token: None,
            advertise: None,
            ready_lag_s: limits::READY_LAG_S,
            sync_followers: 0,
            sync_followers_ms: limits::SYNC_FOLLOWERS_MS,
            backup_hours: 0,
            backups_keep: limits::BACKUPS_KEEP,
            backup_store: None,
            backup_store_key: None,
            backup_store_secret: None,
            archive: None,
            trusted_proxies: Vec::new(),
            password_memory_kib: limits::PASSWORD_MEMORY_KIB,
            request_log_lines: limits::JOURNAL_LINES,
            request_log_hours: limits::JOURNAL_HOURS,
            request_log_level: Level::default(),
        }
    }
}

impl Settings {
    /// Reads a TOML file's text; what it does not name keeps its default.
    ///
    /// # Errors
    /// `Invalid` with the line, for bad TOML, an unknown setting or a wrong type; without any value, which may be a secret.
    pub fn from_toml(text: &str) -> Result<Settings> {
        toml::from_str(text).map_err(|error| {
            // Of the line its setting's name at most, and never a value: it may be a secret.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let key = text.lines().nth(line - 1).and_then(|line| Some(line.split_once('=')?.0.trim()));
            let key = key.filter(|key| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            let key = key.map_or(String::new(), |key| format!("{key}: "));
            let why = match error.message().split_once(", expected") {
                Some((value, expected)) if value.starts_with("invalid") => format!("expected{expected}"),
                _ => error.message().to_owned(),
            };
            Error::invalid(format!("the settings can't be read: line {line}: {key}{why}"))
        })
    }

    /// # Errors
    /// `Invalid`, naming the setting, for what can never work or must not be.
    pub fn validate(&self) -> Result<()> {
        if self.data.as_os_str().is_empty() {
            return Err(Error::invalid("data: the folder has no name"));
        }
        if self.dev && !self.listen.ip().is_loopback() {
            return Err(Error::invalid(format!(
                "listen: with dev, whoever sits on this machine is a superuser, so it takes only 127.0.0.0/8 and ::1, and \
                 not {}",
                self.listen
            ))
            .code("listen_not_loopback"));
        }
        for (name, other, alone) in [
            ("tls_key", "tls_cert", self.tls_cert.is_some() && self.tls_key.is_none()),
            ("tls_cert", "tls_key", self.tls_key.is_some() && self.tls_cert.is_none()),
            ("tls_cert", "tls_hsts_seconds", self.tls_hsts_seconds > 0 && !self.is_secure()),
        ] {
            if alone {
                return Err(Error::invalid(format!("{name}: {other} needs it")));
            }
        }
        self.validate_acme()?;
        at_most("tls_hsts_seconds", self.tls_hsts_seconds as usize, limits::TLS_HSTS_SECONDS_MAX as usize)?;
        at_least("body_bytes_max", self.body_bytes_max, 1_024)?;
        at_most("body_bytes_max", self.body_bytes_max, limits::ENTRY_BYTES_MAX)?;
        at_least("connections_max", self.connections_max, 1)?;
        at_most("connections_max", self.connections_max, 1 << 20)?;
        at_least("connections_per_address", self.connections_per_address, 1)?;
        at_least("heartbeat_seconds", self.heartbeat_seconds as usize, 1)?;
        at_most("heartbeat_seconds", self.heartbeat_seconds as usize, limits::HEARTBEAT_SECONDS_MAX as usize)?;
        at_least("base_cache_bytes", self.base_cache_bytes, 1 << 20)?;
        if self.cache_bytes > 0 {
            at_least("cache_bytes", self.cache_bytes, limits::CACHE_BYTES_LEAST)?;
        } else if self.l2_cache.is_some() {
            return Err(Error::invalid(
                "l2_cache: it lies behind the cache in memory, for which cache_bytes leaves no room",
            ));
        }
        at_least("log_max_bytes", self.log_max_bytes, limits::LOG_MAX_BYTES_MIN)?;
        for (name, value) in
            [("rate_limit_requests", self.rate_limit_requests), ("rate_limit_logins", self.rate_limit_logins)]
        {
            at_least(name, value as usize, 1)?;
            at_most(name, value as usize, limits::RATE_MAX as usize)?;
        }
        if self.dev && !self.trusted_proxies.is_empty() {
            return Err(Error::invalid(
                "trusted_proxies: not with dev: whoever such a proxy says comes from this machine would be a superuser",
            ));
        }
        at_most("trusted_proxies", self.trusted_proxies.len(), limits::PROXIES_MAX)?;
        self.proxies()?;
        for (name, url) in [("follow", &self.follow), ("advertise", &self.advertise)] {
            if url.as_ref().is_some_and(|url| !is_origin(url)) {
                return Err(Error::invalid(format!(
                    "{name}: it must be http://HOST:PORT or https://HOST:PORT, with nothing behind it"
                )));
            }
        }
        if self.follow.is_some() && self.token.is_none() && !self.dev {
            return Err(Error::invalid("token: a follower shows its primary a superuser's API key"));
        }
        self.bucket()?;
        at_least("backups_keep", self.backups_keep, 1)?;
        at_most("backups_keep", self.backups_keep, limits::BACKUPS_KEEP_MAX)?;
        at_most("sync_followers", self.sync_followers, limits::FOLLOWERS_MAX)?;
        // RFC 9106 and OWASP's advice start at about the least; each thread that hashes fills that much.
        at_least("password_memory_kib", self.password_memory_kib, 8 << 10)?;
        at_most("password_memory_kib", self.password_memory_kib, 1 << 20)?;
        at_most("request_log_lines", self.request_log_lines as usize, limits::JOURNAL_LINES_MAX as usize)?;
        self.validate_origins()
    }

    fn validate_acme(&self) -> Result<()> {
        if self.acme_domains.is_empty() {
            return Ok(());
        }
        if cfg!(not(feature = "acme")) {
            return Err(Error::invalid("acme_domains: this server was built without the feature acme"));
        }
        if self.tls_cert.is_some() {
            return Err(Error::invalid("acme_domains: not with tls_cert: the certificate is one or the other"));
        }
        at_most("acme_domains", self.acme_domains.len(), limits::ACME_DOMAINS_MAX)?;
        let is_domain =
            |name: &str| matches!(Host::parse(name), Ok(Host::Domain(host)) if host == name.to_ascii_lowercase());
        match self.acme_domains.iter().find(|name| !is_domain(name) || name.contains('*')) {
            Some(name) => Err(Error::invalid(format!("acme_domains: {name:?} is no name of a server"))),
            None if Url::parse(&self.acme_directory).is_ok_and(|url| url.scheme() == "https") => Ok(()),
            None => Err(Error::invalid("acme_directory: it must begin with https://")),
        }
    }

    /// Whether clients are spoken to by TLS.
    pub fn is_secure(&self) -> bool {
        self.tls_cert.is_some() && self.tls_key.is_some() || !self.acme_domains.is_empty()
    }

    /// How the addresses of this server begin.
    pub fn scheme(&self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// The bucket of `backup_store`, if there is one, with its key and its secret.
    ///
    /// # Errors
    /// `Invalid`, naming the setting, for what is none, and where a key or a secret is missing.
    pub fn bucket(&self) -> Result<Option<(Bucket, String, Hidden)>> {
        let Some(text) = &self.backup_store else { return Ok(None) };
        let bucket =
            text.parse().map_err(|error: Error| Error::invalid(format!("backup_store: {}", error.message())))?;
        match (&self.backup_store_key, &self.backup_store_secret) {
            (Some(key), Some(secret)) => Ok(Some((bucket, key.clone(), secret.clone()))),
            (None, _) => Err(Error::invalid("backup_store_key: backup_store needs the id of a key")),
            (_, None) => Err(Error::invalid("backup_store_secret: backup_store needs the secret of its key")),
        }
    }

    /// The networks of `trusted_proxies`.
    ///
    /// # Errors
    /// `Invalid`, naming the setting, for what is no network.
    pub fn proxies(&self) -> Result<Vec<Net>> {
        let named = |error: Error| Error::invalid(format!("trusted_proxies: {}", error.message()));
        self.trusted_proxies.iter().map(|text| text.parse().map_err(named)).collect()
    }

    fn validate_origins(&self) -> Result<()> {
        at_most("cors_origins", self.cors_origins.len(), limits::ORIGINS_MAX)?;
        for origin in &self.cors_origins {
            if origin == "*" && self.dev {
                return Err(Error::invalid(
                    "cors_origins: not \"*\" with dev: every page that a browser on this machine opens would be a \
                     superuser; name the origins",
                ));
            }
            if origin != "*" && !is_origin(origin) {
                return Err(Error::invalid(format!(
                    "cors_origins: {origin:?} is no origin: scheme and host, and a port where it is not the scheme's \
                     own, as in https://app.example"
                )));
            }
        }
        Ok(())
    }
}

/// A network: the addresses that begin with the same bits as this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    bits: u32,
}

impl Net {
    /// Whether an address is in it. One of the fourth version that is written as one of the sixth is taken as it is.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Net {
    type Err = Error;

    /// # Errors
    /// `Invalid` for anything but an address, alone or with a number of bits as in `10.0.0.0/8`.
    fn from_str(text: &str) -> Result<Net> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let read = || {
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most))?;
            Some(Net { address, bits })
        };
        read().ok_or_else(|| Error::invalid(format!("{text:?} is no network: an address, or as in 10.0.0.0/8")))
    }
}

/// Whether a browser could say just this in `Origin`.
fn is_origin(text: &str) -> bool {
    let known = |url: url::Url| url.scheme().starts_with("http") && url.origin().ascii_serialization() == text;
    url::Url::parse(text).is_ok_and(known)
}

fn at_least<N: PartialOrd + std::fmt::Display>(name: &str, value: N, least: N) -> Result<()> {
    if value < least { Err(Error::invalid(format!("{name}: {value} is less than {least}"))) } else { Ok(()) }
}

fn at_most(name: &str, value: usize, most: usize) -> Result<()> {
    if value > most { Err(Error::invalid(format!("{name}: {value} is more than {most}"))) } else { Ok(()) }
}

impl FromStr for LogFormat {
    type Err = Error;

    /// # Errors
    /// `Invalid` for anything but `text` and `json`.
    fn from_str(text: &str) -> Result<LogFormat> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(Error::invalid(format!("{text:?} is no log format: text or json"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_read_back() {
        let settings = Settings::default();
        settings.validate().expect("the defaults work");
        assert_eq!(Settings::from_toml("").expect("nothing set"), settings);
        let text = toml_of(&settings);
        assert_eq!(Settings::from_toml(&text).expect("own text"), settings);
    }

    #[test]
    fn a_mistake_is_told_by_its_line_and_shows_no_secret() {
        for text in [
            "dev = true\nbackup_store_secert = \"sesame\"",
            "dev = true\ntoken = sesame",
            "dev = true\nbackup_hours = \"sesame\"",
            "dev = true\nl2_cache = redis://:sesame@localhost",
        ] {
            let error = Settings::from_toml(text).expect_err(text).to_string();
            assert!(error.contains("line 2") && !error.contains("sesame"), "{error}");
        }
    }

    fn toml_of(settings: &Settings) -> String {
        format!(
            "data = {:?}\nlisten = \"{}\"\ntls_hsts_seconds = {}\ndev = {}\nlog_format = \"text\"\nlog_level = {:?}\nbody_bytes_max = {}\n\
             connections_max = {}\nconnections_per_address = {}\nbase_cache_bytes = {}\ncache_bytes = {}\ncors_origins = {:?}\nlog_keep_hours = {}\n\
             log_max_bytes = {}\nscrub_hours = {}\n\
             metrics_open = {}\nslow_ms = {}\nheartbeat_seconds = {}\nrate_limits = {}\nrate_limit_requests = {}\n\
             rate_limit_logins = {}\nwebhook_private_addresses = {}\ntrusted_proxies = {:?}\npassword_memory_kib = {}\n\
             request_log_lines = {}\nrequest_log_hours = {}\nrequest_log_level = \"info\"\n",
            settings.data,
            settings.listen,
            settings.tls_hsts_seconds,
            settings.dev,
            settings.log_level,
            settings.body_bytes_max,
            settings.connections_max,
            settings.connections_per_address,
            settings.base_cache_bytes,
            settings.cache_bytes,
            settings.cors_origins,
            settings.log_keep_hours,
            settings.log_max_bytes,
            settings.scrub_hours,
            settings.metrics_open,
            settings.slow_ms,
            settings.heartbeat_seconds,
            settings.rate_limits,
            settings.rate_limit_requests,
            settings.rate_limit_logins,
            settings.webhook_private_addresses,
            settings.trusted_proxies,
            settings.password_memory_kib,
            settings.request_log_lines,
            settings.request_log_hours
        )
    }

    #[test]
    fn dev_mode_is_for_loopback_only() {
        for (listen, good) in [
            ("127.0.0.1:0", true),
            ("127.8.9.1:80", true),
            ("[::1]:8090", true),
            ("0.0.0.0:8090", false),
            ("[::]:8090", false),
            ("192.168.0.4:8090", false),
            ("8.8.8.8:1", false),
        ] {
            let settings = Settings { listen: listen.parse().expect("an address"), ..Settings::default() };
            assert!(settings.validate().is_ok(), "{listen}");
            assert_eq!(Settings { dev: true, ..settings }.validate().is_ok(), good, "{listen}");
        }
    }

    #[test]
    fn a_network_holds_what_begins_alike() {
        let table = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1/31", "10.0.0.0", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::1", "::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ];
        for (net, address, holds) in table {
            let net: Net = net.parse().expect("a network");
            assert_eq!(net.holds(address.parse().expect("an address")), holds, "{net:?} {address}");
        }
        for text in ["", "/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0", "::/129", "localhost"] {
            assert!(text.parse::<Net>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let table = [
            ("data = ''", "data:"),
            ("body_bytes_max = 10", "body_bytes_max:"),
            ("body_bytes_max = 99999999999", "body_bytes_max:"),
            ("connections_max = 0", "connections_max:"),
            ("connections_per_address = 0", "connections_per_address:"),
            ("base_cache_bytes = 0", "base_cache_bytes:"),
            ("heartbeat_seconds = 0", "heartbeat_seconds:"),
            ("heartbeat_seconds = 301", "heartbeat_seconds:"),
            ("rate_limit_requests = 0", "rate_limit_requests:"),
            ("rate_limit_logins = 9999999", "rate_limit_logins:"),
            ("tls_cert = 'cert.pem'", "tls_key:"),
            ("tls_key = 'key.pem'", "tls_cert:"),
            ("tls_hsts_seconds = 60", "tls_cert:"),
            ("acme_domains = ['a.example']\ntls_cert = 'a'\ntls_key = 'b'", "acme_domains:"),
            ("acme_domains = ['https://a.example']", "acme_domains:"),
            ("acme_domains = ['*.a.example']", "acme_domains:"),
            ("acme_domains = ['10.0.0.1']", "acme_domains:"),
            ("acme_domains = ['a.example']\nacme_directory = 'http://a.example/'", "acme_directory:"),
            ("tls_cert = 'a'\ntls_key = 'b'\ntls_hsts_seconds = 99999999", "tls_hsts_seconds:"),
            ("dev = true\ntrusted_proxies = ['10.0.0.0/8']", "trusted_proxies: not with dev"),
            ("trusted_proxies = ['proxy']", "trusted_proxies:"),
            ("trusted_proxies = ['10.0.0.0/33']", "trusted_proxies:"),
            ("backup_store = '/mnt/backups'", "backup_store:"),
            ("backup_store = 's3://backups'", "backup_store_key:"),
            ("backup_store = 's3://backups'\nbackup_store_key = 'a'", "backup_store_secret:"),
            ("cors_origins = ['https://a.example/']", "cors_origins:"),
            ("cors_origins = ['https://a.example:443']", "cors_origins:"),
            ("cors_origins = ['https://u@a.example']", "cors_origins:"),
            ("cors_origins = ['HTTPS://a.example']", "cors_origins:"),
            ("cors_origins = ['a.example']", "cors_origins:"),
            ("cors_origins = ['ftp://a.example']", "cors_origins:"),
            ("cors_origins = ['null']", "cors_origins:"),
            ("dev = true\ncors_origins = ['https://a.example', '*']", "cors_origins:"),
            ("log_max_bytes = 1000000", "log_max_bytes:"),
            ("log_keep_hours = -1", "log_keep_hours"),
            ("cache_bytes = 1000", "cache_bytes:"),
            ("cache_bytes = 0\nl2_cache = 'redis://localhost'", "l2_cache:"),
            ("password_memory_kib = 100", "password_memory_kib:"),
            ("password_memory_kib = 9999999", "password_memory_kib:"),
            ("request_log_lines = 9999999", "request_log_lines:"),
            ("request_log_level = 'loud'", "loud"),
            ("lisen = '127.0.0.1:1'", "lisen"),
            ("listen = 'localhost'", "listen"),
            ("dev = 'yes'", "dev"),
            ("log_format = 'xml'", "xml"),
        ];
        for (text, named) in table {
            let refused = Settings::from_toml(text).and_then(|settings| settings.validate());
            let error = refused.expect_err(text);
            assert!(error.message().contains(named), "{text}: {error}");
        }
    }
}
