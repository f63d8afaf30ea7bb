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
    /// Makes a superuser of a stopped server's folder, or gives one another password.
    Superuser(Superuser),
    /// Verifies a stopped server's folder: the log, the tables, their indexes, counts and digests.
    Check(Folder),
    /// Shows the write log of a folder, without changing it.
    Log(Log),
    /// Prints the version.
    Version,
}

/// Every setting. Each is also a variable `MILLPOND_…` and a line of the TOML file.
#[derive(clap::Args)]
pub(super) struct Flags {
    #[command(flatten)]
    folder: Folder,
    /// Address to listen at; port 0 takes a free one. [default: 127.0.0.1:8090]
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
    /// Memory that one hash of a password fills, KiB. [default: 19456]
    #[arg(long, value_name = "KIB", env = "MILLPOND_PASSWORD_MEMORY_KIB")]
    password_memory_kib: Option<usize>,
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
        lay!(settings, self, listen, dev, body_bytes_max, connections_max, base_cache_bytes, password_memory_kib);
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
