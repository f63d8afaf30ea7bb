//! Redis, where the machine has one: the reference for durable writes, syncing before each answer; and a cache's second tier.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::rc::Rc;

use tempfile::TempDir;

use crate::process::Process;
use crate::template::Template;
use crate::{Outcome, orders};

const PROGRAM: &str = "redis-server";

pub(crate) struct Redis {
    pub(crate) process: Process,
    // After the process, so that the folder goes when nothing writes into it any more.
    _dir: TempDir,
}

/// Whether there is one to compare with.
pub(crate) fn present() -> bool {
    Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// One that syncs before each answer.
pub(crate) fn start() -> Outcome<Redis> {
    started(&["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"])
}

/// One that keeps nothing on disk.
pub(crate) fn start_in_memory() -> Outcome<Redis> {
    started(&["--appendonly", "no"])
}

fn started(options: &[&str]) -> Outcome<Redis> {
    let dir = crate::folder()?;
    // Free now; should another process take it first, the start fails and says so.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new(PROGRAM);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no", "--save", ""])
        .args(options)
        .arg("--dir")
        .arg(dir.path());
    let process = Process::at(SocketAddr::from(([127, 0, 0, 1], port)), command)?;
    Ok(Redis { process, _dir: dir })
}

/// `SET` of a new key to a record as `orders::create` sends it.
pub(crate) fn set() -> Rc<Template> {
    let record = orders::record();
    let length = record.len();
    Template::default()
        .text("*3\r\n$3\r\nSET\r\n$15\r\nr")
        .number(14)
        .text(&format!("\r\n${length}\r\n"))
        .join(record)
        .text("\r\n")
        .shared()
}
