//! The real binary as a process of its own: started, asked, killed; its folder, and what it said.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::http::Client;

/// Whom the binary trusts, for webhooks, primaries and servers that a command works on over TLS.
const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kill/tls/ca.pem");
/// What it says when it is there.
const SERVES: &str = "millpond serves ";
const BINARY: &str = env!("CARGO_BIN_EXE_millpond");
/// Time after which a process that neither serves nor ends fails the test.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same of a command that does a long work.
const PATIENCE_COMMAND: Duration = Duration::from_secs(600);

/// A folder for a test's data, removed at the end unless the test fails.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{count}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    /// The server's own part of it.
    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Leaves it there, for whoever looks into a failure.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }

    /// The same data in another folder.
    pub(crate) fn copy(&self, name: &str) -> Folder {
        let copy = Folder::new(name);
        copy_all(&self.data(), &copy.data());
        copy
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // Left over is no fault.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the copy");
    for item in fs::read_dir(from).expect("a readable folder") {
        let item = item.expect("a folder's item").path();
        let target = to.join(item.file_name().expect("a name"));
        if item.is_dir() {
            copy_all(&item, &target);
        } else {
            fs::copy(&item, &target).expect("room for a copy");
        }
    }
}

/// A process that serves.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    said: PathBuf,
}

/// A process that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Absent when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Server {
    /// Starts a server that has to come up.
    pub(crate) fn start(folder: &Folder) -> Server {
        Server::try_start(folder).unwrap_or_else(|ended| panic!("the server did not start: {ended:#?}"))
    }

    /// Starts a server; it serves, or it says why not.
    pub(crate) fn try_start(folder: &Folder) -> Result<Server, Ended> {
        Server::try_start_with(folder, &[])
    }

    /// The same, with settings of its own.
    pub(crate) fn try_start_with(folder: &Folder, settings: &[&str]) -> Result<Server, Ended> {
        Server::try_start_as("serve", folder, settings)
    }

    /// The same by another command that serves.
    pub(crate) fn try_start_as(command: &str, folder: &Folder, settings: &[&str]) -> Result<Server, Ended> {
        let (mut child, said) = spawn(command, folder, settings);
        let mut stdout = BufReader::new(child.stdout.take().expect("a piped output"));
        let (line_in, line_out) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // The end of the pipe is an empty line, and says enough.
            while stdout.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && !line.starts_with(SERVES) {
                line.clear();
            }
            let _ = line_in.send(line);
            // What else it says must find somebody.
            let _ = stdout.read_to_end(&mut Vec::new());
        });
        let line = line_out.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("neither served nor ended within {PATIENCE:?}: {}", read(&said))
        });
        let address = line.trim().strip_prefix(SERVES).and_then(|line| line.split(';').next());
        let address = address.and_then(|url| url.split_once("://")?.1.parse().ok());
        match address {
            Some(address) => Ok(Server { child, address, said }),
            None => Err(Ended { code: wait(&mut child, PATIENCE), stdout: line, stderr: read(&said) }),
        }
    }

    /// Begins to start a server and kills it after `time`, wherever it is by then.
    pub(crate) fn kill_while_starting(folder: &Folder, time: Duration) {
        let (mut child, _) = spawn("serve", folder, &[]);
        std::thread::sleep(time);
        child.kill().expect("a process to kill");
        child.wait().expect("its end");
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Its memory that is in RAM.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") << 10
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.kill_now();
    }

    /// The same, for one that another takes the place of.
    pub(crate) fn kill_now(&mut self) {
        self.child.kill().expect("a process to kill");
        self.child.wait().expect("its end");
    }

    /// SIGTERM, without waiting.
    pub(crate) fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// Waits for the process to end by itself.
    pub(crate) fn ended(mut self) -> Ended {
        Ended { code: wait(&mut self.child, PATIENCE), stdout: String::new(), stderr: read(&self.said) }
    }

    /// Stops it as an operator does; it has to end well.
    pub(crate) fn stop(self) {
        self.terminate();
        let ended = self.ended();
        assert_eq!(ended.code, Some(0), "a clean stop ends with 0: {ended:#?}");
    }

    /// What it has logged so far, since the folder's beginning.
    pub(crate) fn said(&self) -> String {
        read(&self.said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &str, folder: &Folder, settings: &[&str]) -> (Child, PathBuf) {
    let said = folder.0.join("stderr");
    let log = File::options().create(true).append(true).open(&said).expect("a file for its log");
    let listen: &[&str] = if settings.contains(&"--listen") { &[] } else { &["--listen", "127.0.0.1:0"] };
    let child = Command::new(BINARY)
        .args([command, "--dev", "--data"])
        .arg(folder.data())
        .args(listen)
        .args(settings)
        .env("SSL_CERT_FILE", AUTHORITY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the binary");
    (child, said)
}

fn wait(child: &mut Child, patience: Duration) -> Option<i32> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if let Some(status) = child.try_wait().expect("a child to wait for") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    panic!("the process did not end within {patience:?}")
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("the process's log")).into_owned()
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .env("SSL_CERT_FILE", AUTHORITY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary");
    let (stdout, stderr) = (all_of(child.stdout.take()), all_of(child.stderr.take()));
    Ended {
        code: wait(&mut child, PATIENCE_COMMAND),
        stdout: stdout.join().expect("what it said"),
        stderr: stderr.join().expect("what it said"),
    }
}

fn all_of(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.expect("a piped output").read_to_end(&mut bytes).expect("a readable pipe");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// `millpond check` on a stopped server's folder.
pub(crate) fn check(folder: &Folder) -> Ended {
    run(&["check", "--data", folder.data().to_str().expect("a plain path")])
}
