//! Servers as child processes: started, asked for their CPU time and memory, killed.
//!
//! Invariant: only a process started here is ever signalled, by its own handle, and none outlives its `Process`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::Outcome;

/// `/proc` counts CPU time in these: USER_HZ, the same on every Linux that runs Rust.
const TICKS_PER_SECOND: f64 = 100.0;
/// Time a server has to say its address: a replay may come before it.
const START_TIME: Duration = Duration::from_secs(180);

pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a server that prints `… http://ADDRESS` on a line once it takes requests.
    pub(crate) fn announced(mut command: Command) -> Outcome<Process> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            // Read on to the end: a full pipe would block the server.
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                if let Some(address) = line.split("http://").nth(1).and_then(|rest| rest.trim().parse().ok()) {
                    let _ = tell.send(address);
                }
            }
        });
        let mut process = Process { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        process.address = told.recv_timeout(START_TIME).map_err(|_| "a server ended, or told no address in time")?;
        Ok(process)
    }

    /// Starts a server that listens at an address chosen for it.
    pub(crate) fn at(address: SocketAddr, mut command: Command) -> Outcome<Process> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let process = Process { child, address };
        for _ in 0..500 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(process);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!("nothing listens at {address}").into())
    }

    /// CPU time used since the start, user and system, seconds.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no stat of a process")?;
        let ticks = |at: usize| fields.split_whitespace().nth(at).and_then(|field| field.parse::<u64>().ok());
        let used = ticks(11).zip(ticks(12)).map(|(user, system)| user + system).ok_or("no CPU time in a stat")?;
        Ok(used as f64 / TICKS_PER_SECOND)
    }

    /// Memory held, bytes.
    pub(crate) fn resident_bytes(&self) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib << 10)
    }

    /// Ends it as a power cut ends a process, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
