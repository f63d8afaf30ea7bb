//! The arguments as `clap` reads them, and how they are laid over the TOML file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::{LogFormat, Settings};
use crate::error::{Error, Result};

/// Millpond: a self-hosted backend in one binary.
#[derive(Debug, Parser)]
#[command(name = "millpond", version, about, long_about = None)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serves a folder over HTTP until SIGTERM or Ctrl-C.
    Serve(Flags),
    /// Serves a folder with 20,000 real flights in it and prints curl lines to try.
    Demo(Flags),
    /// Verifies a stopped server's folder: the log, the tables, their indexes, counts and digests.
    Check(Folder),
    /// Shows the write log of a folder, without changing it.
    Log(Log),
    /// Makes records of the lines of a file, on a stopped server's folder or, with --url, on a running server.
    Import(Import),
    /// Writes the records of a collection to a file or to standard output; as import, on a folder or a server.
    Export(Export),
    /// Prints the version.
    Version,
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
#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    #[command(flatten)]
    folder: Folder,
    /// Address to listen at; port 0 takes a free one. Loopback only, until there are accounts. [default: 127.0.0.1:8090]
    #[arg(long, value_name = "ADDRESS", env = "MILLPOND_LISTEN")]
    listen: Option<SocketAddr>,
    /// Every caller is a superuser: for development on this machine.
    #[arg(long, env = "MILLPOND_DEV", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    dev: Option<bool>,
    /// A request's body at most, bytes. [default: 4194304]
    #[arg(long, value_name = "BYTES", env = "MILLPOND_BODY_BYTES_MAX")]
    body_bytes_max: Option<usize>,
    /// Connections at once; further ones wait. [default: 16384]
    #[arg(long, value_name = "N", env = "MILLPOND_CONNECTIONS_MAX")]
    connections_max: Option<usize>,
    /// Page cache of the tables, bytes. [default: 67108864]
    #[arg(long, value_name = "BYTES", env = "MILLPOND_BASE_CACHE_BYTES")]
    base_cache_bytes: Option<usize>,
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

    fn over(&self, mut settings: Settings) -> Result<Settings> {
        lay!(settings, self.folder, data, log_format, log_level);
        lay!(settings, self, listen, dev, body_bytes_max, connections_max, base_cache_bytes);
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
