//! What an operator may set: one plain struct with its defaults, read from TOML; flags and `MILLPOND_*` are laid over
//! it by `cli`.
//!
//! Nothing here opens, binds or creates: [`Settings::validate`] only refuses what can never work or must not be.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// The base's page cache, bytes.
    pub base_cache_bytes: usize,
    /// Memory that one hash of a password fills, KiB.
    pub password_memory_kib: usize,
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
            dev: false,
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
            body_bytes_max: limits::BODY_BYTES_MAX,
            connections_max: limits::CONNECTIONS_MAX,
            base_cache_bytes: limits::BASE_CACHE_BYTES,
            password_memory_kib: limits::PASSWORD_MEMORY_KIB,
        }
    }
}

impl Settings {
    /// Reads a TOML file's text; what it does not name keeps its default.
    ///
    /// # Errors
    /// `Invalid` with the place, for bad TOML, an unknown setting or a wrong type.
    pub fn from_toml(text: &str) -> Result<Settings> {
        toml::from_str(text).map_err(|error| Error::invalid(format!("the settings can't be read: {error}")))
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
        at_least("body_bytes_max", self.body_bytes_max, 1_024)?;
        at_most("body_bytes_max", self.body_bytes_max, limits::ENTRY_BYTES_MAX)?;
        at_least("connections_max", self.connections_max, 1)?;
        at_most("connections_max", self.connections_max, 1 << 20)?;
        at_least("base_cache_bytes", self.base_cache_bytes, 1 << 20)?;
        // RFC 9106 and OWASP's advice start at about the least; each thread that hashes fills that much.
        at_least("password_memory_kib", self.password_memory_kib, 8 << 10)?;
        at_most("password_memory_kib", self.password_memory_kib, 1 << 20)
    }
}

fn at_least(name: &str, value: usize, least: usize) -> Result<()> {
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

    fn toml_of(settings: &Settings) -> String {
        format!(
            "data = {:?}\nlisten = \"{}\"\ndev = {}\nlog_format = \"text\"\nlog_level = {:?}\nbody_bytes_max = {}\n\
             connections_max = {}\nbase_cache_bytes = {}\npassword_memory_kib = {}\n",
            settings.data,
            settings.listen,
            settings.dev,
            settings.log_level,
            settings.body_bytes_max,
            settings.connections_max,
            settings.base_cache_bytes,
            settings.password_memory_kib
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
    fn what_cannot_work_is_refused_by_name() {
        let table = [
            ("data = ''", "data:"),
            ("body_bytes_max = 10", "body_bytes_max:"),
            ("body_bytes_max = 99999999999", "body_bytes_max:"),
            ("connections_max = 0", "connections_max:"),
            ("base_cache_bytes = 0", "base_cache_bytes:"),
            ("password_memory_kib = 100", "password_memory_kib:"),
            ("password_memory_kib = 9999999", "password_memory_kib:"),
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
