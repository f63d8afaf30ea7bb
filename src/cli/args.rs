//! The arguments as `clap` reads them, and how they are laid over the TOML file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{bench, ready};
use crate::config::{Hidden, Level, LogFormat, Settings};
use crate::error::{Error, Result};

/// Millpond: a self-hosted backend in one binary.
#[derive(Debug, Parser)]
#[command(name = "millpond", version, about, long_about = None, after_help = AFTER_HELP)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

const AFTER_HELP: &str = "\
To begin:
  millpond demo                     a server with data in it, and lines to try
  millpond serve --data my-data     a server of your own
  millpond serve --help             every setting, with its variable and its default

A flag wins over its variable, a variable over the file that --config names.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 damaged data.";

const AFTER_SERVE_HELP: &str = "\
Each setting is also a line of the TOML file, under the flag's name with _ for -:
  listen = \"127.0.0.1:8090\"
  cors_origins = [\"https://app.example\"]

One line with the address goes to standard output once requests are taken; the log goes to standard error. At SIGTERM and
at Ctrl-C the requests in flight are answered first.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serves a folder over HTTP until SIGTERM or Ctrl-C.
    #[command(after_help = AFTER_SERVE_HELP)]
    Serve(Flags),
    /// Serves a folder with 20,000 real flights in it and prints curl lines to try.
    Demo(Flags),
    /// Makes a superuser of a stopped server's folder, or gives one another password.
    Superuser(Superuser),
    /// Verifies a stopped server's folder: the log, the tables, their indexes, counts and digests.
    Check(Folder),
    /// Definitions of collections as a file: out of a stopped server's folder, and into it.
    Collections(Collections),
    /// Writes all that a folder or, with --url, a running server holds into one file.
    Backup(Backup),
    /// Makes a new folder of a backup and, with --archive, of the log behind it, to any moment.
    Restore(Restore),
    /// Reads a backup through and says what is in it.
    Verify(Verify),
    /// Makes a follower the primary: a running one with --url, or a stopped one's folder.
    Promote(Promote),
    /// Shows the write log of a folder, without changing it.
    Log(Log),
    /// Makes records of the lines of a file, on a stopped server's folder or, with --url, on a running server.
    Import(Import),
    /// Writes the records of a collection to a file or to standard output; as import, on a folder or a server.
    Export(Export),
    /// Writes the types of all records as TypeScript, of a folder or, with --url, of a running server.
    Types(Types),
    /// Puts a load on a running server and says how long its answers take.
    Bench(bench::Args),
    /// Ends with 0 if a running server is ready for requests, else with 1.
    Ready(ready::Args),
    /// Prints the version.
    Version,
}

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// File to be written; there must be none of that name.
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// A backup's file, or a folder of them: then the newest that fits. Also in a bucket, as --backup-store of serve.
    #[arg(long, value_name = "FILE")]
    pub(super) from: PathBuf,
    #[command(flatten)]
    pub(super) keys: StoreKeys,
    /// Folder that the log was copied to (the setting archive of the server that is restored).
    #[arg(long, value_name = "DIR")]
    pub(super) archive: Option<PathBuf>,
    /// Up to where: an entry's number, or a time in UTC. [default: all that there is]
    #[arg(long, value_name = "SEQ|TIME")]
    pub(super) at: Option<String>,
    #[command(flatten)]
    pub(super) folder: Folder,
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// A backup's file, or one of a bucket, as s3://BUCKET/PREFIX/NAME?endpoint=URL&region=NAME.
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) keys: StoreKeys,
    #[command(flatten)]
    pub(super) folder: Folder,
}

/// Who a bucket is asked as.
#[derive(Debug, clap::Args)]
pub(super) struct StoreKeys {
    /// Id of the key that the bucket of backups is shown. [default: AWS_ACCESS_KEY_ID]
    #[arg(long, value_name = "ID", env = "MILLPOND_BACKUP_STORE_KEY")]
    pub(super) backup_store_key: Option<String>,
    /// Secret of that key, which is never shown: best in the variable. [default: AWS_SECRET_ACCESS_KEY]
    #[arg(long, value_name = "SECRET", env = "MILLPOND_BACKUP_STORE_SECRET", hide_env_values = true)]
    pub(super) backup_store_secret: Option<Hidden>,
}

impl StoreKeys {
    /// Lays them, or what AWS's tools use, over settings; a variable that is set to nothing sets nothing.
    pub(super) fn over(&self, settings: &mut Settings) {
        let set = |name: &str| std::env::var(name).ok();
        let key = self.backup_store_key.clone().or(settings.backup_store_key.take());
        settings.backup_store_key = key.or_else(|| set("AWS_ACCESS_KEY_ID")).filter(|key| !key.is_empty());
        let secret = self.backup_store_secret.clone().or(settings.backup_store_secret.take());
        let secret = secret.or_else(|| set("AWS_SECRET_ACCESS_KEY").map(Hidden));
        settings.backup_store_secret = secret.filter(|secret| !secret.0.is_empty());
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Promote {
    /// Even while another follower is ahead of it, or can't be asked.
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// Collection that the records go to.
    pub(super) collection: String,
    /// File of lines: NDJSON or CSV; - is standard input.
    pub(super) file: PathBuf,
    /// What becomes of a line whose id is there: refused (insert), or it replaces the record (upsert).
    #[arg(long, value_enum, default_value_t = Mode::Insert)]
    pub(super) mode: Mode,
    /// All lines in one transaction, or none: up to 10,000.
    #[arg(long)]
    pub(super) atomic: bool,
    /// ndjson or csv. [default: by the file's ending]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<String>,
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Collection whose records are written.
    pub(super) collection: String,
    /// File to be written. [default: standard output]
    pub(super) file: Option<PathBuf>,
    /// ndjson or csv. [default: by the file's ending]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<String>,
    /// Only the records that this holds of.
    #[arg(long, value_name = "EXPRESSION")]
    pub(super) filter: Option<String>,
    /// Only these parts of each.
    #[arg(long, value_name = "NAMES")]
    pub(super) fields: Option<String>,
    #[command(flatten)]
    pub(super) target: Target,
}

#[derive(Debug, clap::Args)]
pub(super) struct Types {
    /// File to be written. [default: standard output]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) target: Target,
}

/// What becomes of a line whose id is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    Insert,
    Upsert,
}

/// A folder, or a running server.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    #[command(flatten)]
    pub(super) folder: Folder,
    /// A running server, such as http://127.0.0.1:8090, in the place of a folder.
    #[arg(long, value_name = "URL", env = "MILLPOND_URL")]
    pub(super) url: Option<String>,
    /// Token to show it.
    #[arg(long, value_name = "TOKEN", env = "MILLPOND_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
}

/// Every setting. Each is also a variable `MILLPOND_…` and a line of the TOML file.
#[derive(clap::Args)]
pub(super) struct Flags {
    #[command(flatten)]
    folder: Folder,
    /// Address to listen at; port 0 takes a free one. [default: 127.0.0.1:8090]
    #[arg(long, value_name = "ADDRESS", env = "MILLPOND_LISTEN")]
    listen: Option<SocketAddr>,
    /// File of the certificate that clients are shown, in PEM, with its chain: TLS is spoken. Read again when it changes.
    #[arg(long, value_name = "FILE", env = "MILLPOND_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// File of its key, in PEM.
    #[arg(long, value_name = "FILE", env = "MILLPOND_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Names of this server, for which a certificate is asked of an authority (ACME) and renewed; it is reached at port 443.
    #[arg(long, value_name = "NAME", env = "MILLPOND_ACME_DOMAINS", value_delimiter = ',')]
    acme_domains: Option<Vec<String>>,
    /// Mail address that the authority is told.
    #[arg(long, value_name = "ADDRESS", env = "MILLPOND_ACME_CONTACT")]
    acme_contact: Option<String>,
    /// The authority's directory, whose terms of service are agreed to. [default: Let's Encrypt's]
    #[arg(long, value_name = "URL", env = "MILLPOND_ACME_DIRECTORY")]
    acme_directory: Option<String>,
    /// Time that browsers are told to come by TLS only (Strict-Transport-Security), seconds. [default: 0]
    #[arg(long, value_name = "SECONDS", env = "MILLPOND_TLS_HSTS_SECONDS")]
    tls_hsts_seconds: Option<u32>,
    /// Every caller is a superuser: for development on this machine.
    #[arg(long, env = "MILLPOND_DEV", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    dev: Option<bool>,
    /// A request's body at most, bytes. [default: 4194304]
    #[arg(long, value_name = "BYTES", env = "MILLPOND_BODY_BYTES_MAX")]
    body_bytes_max: Option<usize>,
    /// Connections at once; further ones wait. [default: 16384]
    #[arg(long, value_name = "N", env = "MILLPOND_CONNECTIONS_MAX")]
    connections_max: Option<usize>,
    /// The same of one address, but for this machine's own and those of trusted proxies. [default: 256]
    #[arg(long, value_name = "N", env = "MILLPOND_CONNECTIONS_PER_ADDRESS")]
    connections_per_address: Option<usize>,
    /// Page cache of the tables, bytes. [default: 67108864]
    #[arg(long, value_name = "BYTES", env = "MILLPOND_BASE_CACHE_BYTES")]
    base_cache_bytes: Option<usize>,
    /// Origins whose pages a browser lets read the answers, as https://app.example; * for all, but not with --dev.
    /// Several by commas, or the flag again. [default: none]
    #[arg(long, value_name = "ORIGINS", env = "MILLPOND_CORS_ORIGINS", value_delimiter = ',')]
    cors_origins: Option<Vec<String>>,
    /// Time that an entry of the log is kept at least, while the log is within its bytes, hours. [default: 24]
    #[arg(long, value_name = "HOURS", env = "MILLPOND_LOG_KEEP_HOURS")]
    log_keep_hours: Option<u32>,
    /// Files of the log at most, bytes; past it entries go however young. [default: 1073741824]
    #[arg(long, value_name = "BYTES", env = "MILLPOND_LOG_MAX_BYTES")]
    log_max_bytes: Option<u64>,
    /// Time in which everything stored is read and verified, hours; 0 is never. [default: 24]
    #[arg(long, value_name = "HOURS", env = "MILLPOND_SCRUB_HOURS")]
    scrub_hours: Option<u32>,
    /// Cache of finished answers and records, bytes; 0 for none. [default: 67108864]
    #[arg(long, value_name = "BYTES", env = "MILLPOND_CACHE_BYTES")]
    cache_bytes: Option<usize>,
    /// Redis behind that cache, for the servers of one database to share, as redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER] or
    /// rediss://…; whatever becomes of it, requests go on without it. [default: none]
    #[arg(long, value_name = "URL", env = "MILLPOND_L2_CACHE", hide_env_values = true)]
    l2_cache: Option<String>,
    /// Whether anybody who reaches the server may read /metrics; else superusers only. [default: false]
    #[arg(long, env = "MILLPOND_METRICS_OPEN", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    metrics_open: Option<bool>,
    /// A request that takes as long is logged as slow, ms; 0 for none. [default: 1000]
    #[arg(long, value_name = "MS", env = "MILLPOND_SLOW_MS")]
    slow_ms: Option<u64>,
    /// Time of silence after which a stream shows that it is there, seconds. [default: 15]
    #[arg(long, value_name = "SECONDS", env = "MILLPOND_HEARTBEAT_SECONDS")]
    heartbeat_seconds: Option<u32>,
    /// Whether clients are held to the two limits below; superusers are not. [default: false]
    #[arg(long, env = "MILLPOND_RATE_LIMITS", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    rate_limits: Option<bool>,
    /// Requests of one client in 10 seconds. [default: 300]
    #[arg(long, value_name = "N", env = "MILLPOND_RATE_LIMIT_REQUESTS")]
    rate_limit_requests: Option<u32>,
    /// Logins from one address in a minute. [default: 10]
    #[arg(long, value_name = "N", env = "MILLPOND_RATE_LIMIT_LOGINS")]
    rate_limit_logins: Option<u32>,
    /// Whether webhooks may be sent to addresses that are not open to all: this machine's, its net's. [default: false]
    #[arg(
        long,
        env = "MILLPOND_WEBHOOK_PRIVATE_ADDRESSES",
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    webhook_private_addresses: Option<bool>,
    /// Networks of proxies whose X-Forwarded-For says who the client is, as 10.0.0.0/8. Several by commas, or the flag
    /// again; not with --dev. [default: none]
    #[arg(long, value_name = "NETWORKS", env = "MILLPOND_TRUSTED_PROXIES", value_delimiter = ',')]
    trusted_proxies: Option<Vec<String>>,
    /// Server that this one follows, as http://HOST:PORT or https://HOST:PORT: it answers reads and passes writes on. [default: none]
    #[arg(long, value_name = "URL", env = "MILLPOND_FOLLOW")]
    follow: Option<String>,
    /// Superuser's API key that is shown to the server that is followed; on a primary, to the one that may take its place.
    #[arg(long, value_name = "KEY", env = "MILLPOND_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Where clients and other servers reach this one, as http://HOST:PORT or https://HOST:PORT. [default: none]
    #[arg(long, value_name = "URL", env = "MILLPOND_ADVERTISE")]
    advertise: Option<String>,
    /// How far a follower may be behind before /readyz says so, seconds. [default: 10]
    #[arg(long, value_name = "SECONDS", env = "MILLPOND_READY_LAG_S")]
    ready_lag_s: Option<u32>,
    /// Followers that must have a write on their disks before it is answered. [default: 0]
    #[arg(long, value_name = "N", env = "MILLPOND_SYNC_FOLLOWERS")]
    sync_followers: Option<usize>,
    /// How long that is waited for, ms; then 503 with code not_replicated. [default: 5000]
    #[arg(long, value_name = "MS", env = "MILLPOND_SYNC_FOLLOWERS_MS")]
    sync_followers_ms: Option<u64>,
    /// How often a backup is made, hours; 0 for never. [default: 0]
    #[arg(long, value_name = "HOURS", env = "MILLPOND_BACKUP_HOURS")]
    backup_hours: Option<u32>,
    /// How many of those are kept. [default: 7]
    #[arg(long, value_name = "N", env = "MILLPOND_BACKUPS_KEEP")]
    backups_keep: Option<usize>,
    /// Bucket of an S3-compatible store that backups are kept in, as s3://BUCKET/PREFIX?endpoint=URL&region=NAME; each server
    /// has a prefix of its own. [default: the folder's backups]
    #[arg(long, value_name = "URL", env = "MILLPOND_BACKUP_STORE")]
    backup_store: Option<String>,
    #[command(flatten)]
    store_keys: StoreKeys,
    /// Folder that the log is copied to as it grows, best on another disk: with a backup it leads to any moment since.
    /// [default: none]
    #[arg(long, value_name = "DIR", env = "MILLPOND_ARCHIVE")]
    archive: Option<PathBuf>,
    /// Memory that one hash of a password fills, KiB. [default: 19456]
    #[arg(long, value_name = "KIB", env = "MILLPOND_PASSWORD_MEMORY_KIB")]
    password_memory_kib: Option<usize>,
    /// Lines about requests that are kept for /api/logs; 0 for none. [default: 100000]
    #[arg(long, value_name = "N", env = "MILLPOND_REQUEST_LOG_LINES")]
    request_log_lines: Option<u64>,
    /// How long such a line is kept, hours; 0 for none. [default: 120]
    #[arg(long, value_name = "HOURS", env = "MILLPOND_REQUEST_LOG_HOURS")]
    request_log_hours: Option<u32>,
    /// The least grave line that is kept: debug (every request), info (those refused), warn (slow ones too, and those not
    /// taken), error (ours). [default: info]
    #[arg(long, value_name = "LEVEL", env = "MILLPOND_REQUEST_LOG_LEVEL")]
    request_log_level: Option<Level>,
    /// Address of the superuser that is made where there is none yet. With the password, from the environment only.
    #[arg(long, hide = true, env = "MILLPOND_SUPERUSER_EMAIL", value_name = "EMAIL")]
    superuser_email: Option<String>,
    /// Its password.
    #[arg(long, hide = true, env = "MILLPOND_SUPERUSER_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    superuser_password: Option<String>,
}

/// Without the password that may be among them.
impl std::fmt::Debug for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flags").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Where the data is and how lines are logged.
#[derive(Debug, clap::Args)]
pub(super) struct Folder {
    /// Folder that holds everything. [default: millpond-data]
    #[arg(long, value_name = "DIR", env = "MILLPOND_DATA")]
    data: Option<PathBuf>,
    /// TOML file with settings.
    #[arg(long, value_name = "FILE", env = "MILLPOND_CONFIG")]
    config: Option<PathBuf>,
    /// How log lines are written: text or json. [default: text]
    #[arg(long, value_name = "FORMAT", env = "MILLPOND_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged: a level, or directives such as info,millpond::http=debug. [default: info]
    #[arg(long, value_name = "LEVEL", env = "MILLPOND_LOG_LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Collections {
    #[command(subcommand)]
    pub(super) what: CollectionsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum CollectionsCommand {
    /// Writes all definitions as JSON, to standard output or into a file.
    Export {
        #[command(flatten)]
        target: Target,
        /// Where to write them.
        file: Option<PathBuf>,
    },
    /// Brings the collections to what a file says, and prints what changed.
    Apply {
        #[command(flatten)]
        target: Target,
        /// As `export` writes it, or a list of definitions.
        file: PathBuf,
        /// Only says what would change.
        #[arg(long)]
        dry_run: bool,
        /// Collections and fields that the file doesn't have go, with their data.
        #[arg(long)]
        delete_missing: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Superuser {
    #[command(subcommand)]
    pub(super) what: SuperuserCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum SuperuserCommand {
    /// Makes one.
    Create(Account),
    /// Gives one another password, which ends its tokens.
    Reset(Account),
}

#[derive(clap::Args)]
pub(super) struct Account {
    /// Its e-mail address.
    pub(super) email: String,
    /// Its password.
    pub(super) password: String,
    #[command(flatten)]
    pub(super) folder: Folder,
}

/// Without the password.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("email", &self.email).finish_non_exhaustive()
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Log {
    #[command(subcommand)]
    pub(super) what: LogCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Prints entries, one JSON object a line, and stops at the end.
    Print {
        #[command(flatten)]
        folder: Folder,
        /// First entry to print.
        #[arg(long, value_name = "SEQ", default_value_t = 1)]
        from: u64,
        /// Entries to print at most.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Prints the last entries, and then each new one as it is written.
    Tail {
        #[command(flatten)]
        folder: Folder,
        /// How many of those that are there to begin with.
        #[arg(long, value_name = "N", default_value_t = 10)]
        lines: usize,
    },
}

/// Lays each option that was given over the setting of its name.
macro_rules! lay {
    ($settings:ident, $flags:expr, $($name:ident),+) => {
        $(if let Some(value) = &$flags.$name {
            $settings.$name = value.clone();
        })+
    };
}

impl Flags {
    pub(super) fn settings(&self) -> Result<Settings> {
        self.over(self.folder.file()?)
    }

    /// As `settings`, but in a folder of its own and open to everybody on this machine.
    pub(super) fn settings_for_demo(&self) -> Result<Settings> {
        let demo = Settings { data: "millpond-demo".into(), dev: true, ..Settings::default() };
        let file = if self.folder.config.is_some() { self.folder.file()? } else { demo };
        self.over(file)
    }

    /// Address and password of the superuser that is made where there is none yet.
    pub(super) fn first_superuser(&self) -> Result<Option<(String, String)>> {
        match (&self.superuser_email, &self.superuser_password) {
            (None, None) => Ok(None),
            (Some(email), Some(password)) => Ok(Some((email.clone(), password.clone()))),
            _ => Err(Error::invalid("MILLPOND_SUPERUSER_EMAIL and MILLPOND_SUPERUSER_PASSWORD go together")),
        }
    }

    fn over(&self, mut settings: Settings) -> Result<Settings> {
        lay!(settings, self.folder, data, log_format, log_level);
        lay!(settings, self, listen, dev, body_bytes_max, connections_max, base_cache_bytes, cache_bytes, cors_origins);
        lay!(settings, self, log_keep_hours, log_max_bytes, scrub_hours, password_memory_kib);
        lay!(settings, self, ready_lag_s, sync_followers, sync_followers_ms, backup_hours, backups_keep);
        lay!(settings, self, connections_per_address, request_log_lines, request_log_hours, request_log_level);
        lay!(settings, self, acme_domains, acme_directory, tls_hsts_seconds);
        lay!(
            settings,
            self,
            metrics_open,
            slow_ms,
            heartbeat_seconds,
            rate_limits,
            rate_limit_requests,
            rate_limit_logins,
            webhook_private_addresses,
            trusted_proxies
        );
        // A variable that is set to nothing sets nothing.
        let given = |flag: &Option<String>, set: Option<String>| flag.clone().or(set).filter(|text| !text.is_empty());
        let given_path = |flag: &Option<PathBuf>, set: Option<PathBuf>| {
            flag.clone().or(set).filter(|path| !path.as_os_str().is_empty())
        };
        settings.archive = given_path(&self.archive, settings.archive);
        settings.tls_cert = given_path(&self.tls_cert, settings.tls_cert);
        settings.tls_key = given_path(&self.tls_key, settings.tls_key);
        settings.acme_contact = given(&self.acme_contact, settings.acme_contact);
        settings.follow = given(&self.follow, settings.follow);
        settings.token = given(&self.token, settings.token);
        settings.l2_cache = given(&self.l2_cache, settings.l2_cache);
        settings.advertise = given(&self.advertise, settings.advertise);
        settings.backup_store = given(&self.backup_store, settings.backup_store);
        self.store_keys.over(&mut settings);
        settings.acme_domains.retain(|name| !name.is_empty());
        settings.cors_origins.retain(|origin| !origin.is_empty());
        settings.trusted_proxies.retain(|net| !net.is_empty());
        settings.validate()?;
        Ok(settings)
    }
}

impl Folder {
    pub(super) fn settings(&self) -> Result<Settings> {
        let mut settings = self.file()?;
        lay!(settings, self, data, log_format, log_level);
        Ok(settings)
    }

    fn file(&self) -> Result<Settings> {
        let Some(path) = &self.config else { return Ok(Settings::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::invalid(format!("config: {} can't be read: {error}", path.display())))?;
        Settings::from_toml(&text)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The settings by the names they have in the file.
    fn settings() -> Vec<String> {
        let all = serde_json::to_value(Settings::default()).expect("plain data");
        all.as_object().expect("a struct").keys().cloned().collect()
    }

    #[test]
    fn help_and_readme_know_every_setting_and_its_variable() {
        let mut command = Args::command();
        let serve = command.find_subcommand_mut("serve").expect("there").render_long_help().to_string();
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
        for name in settings() {
            let (flag, variable) = (name.replace('_', "-"), name.to_uppercase());
            assert!(serve.contains(&format!("--{flag} ")), "--{flag} is not in the help:\n{serve}");
            // A secret's value is not shown.
            let told = ["=", "]"].map(|end| format!("[env: MILLPOND_{variable}{end}"));
            assert!(told.iter().any(|told| serve.contains(told)), "MILLPOND_{variable} is not in the help:\n{serve}");
            let row = format!("| `--{flag}` | `MILLPOND_{variable}` | `{name}` |");
            assert!(readme.contains(&row), "README.md has no row {row}");
        }
    }

    #[test]
    fn a_setting_of_many_values_is_read_from_the_flag_and_from_the_file() {
        let read = |arguments: &[&str]| match Args::try_parse_from(arguments).expect("arguments").command {
            Command::Serve(flags) => flags.settings().expect("settings").cors_origins,
            _ => panic!("not serve"),
        };
        let (a, b) = ("https://a.example", "http://b.example:81");
        let both = format!("{a},{b}");
        assert_eq!(read(&["millpond", "serve", "--cors-origins", &both]), [a, b]);
        assert_eq!(read(&["millpond", "serve", "--cors-origins", a, "--cors-origins", b]), [a, b]);
        assert_eq!(read(&["millpond", "serve", "--cors-origins", ""]), Vec::<String>::new());
        let file = Settings::from_toml(&format!("cors_origins = [{a:?}, {b:?}]")).expect("settings");
        assert_eq!(file.cors_origins, [a, b]);
    }

    #[test]
    fn every_option_says_what_it_is_for() {
        Args::command().debug_assert();
        let mut commands = vec![Args::command()];
        while let Some(command) = commands.pop() {
            let told =
                |about: Option<&clap::builder::StyledStr>| about.is_some_and(|text| !text.to_string().is_empty());
            assert!(told(command.get_about()), "{} has no text", command.get_name());
            for option in command.get_arguments() {
                assert!(told(option.get_help()), "{} {} has no text", command.get_name(), option.get_id());
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
