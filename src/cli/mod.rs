//! Floor 7, the command line: one file a command; flags over `MILLPOND_*` over the TOML file over the defaults.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 damaged data. The only place that prints to standard output.

mod args;
mod backup;
mod bench;
mod check;
mod collections;
mod demo;
mod log;
mod promote;
mod ready;
mod remote;
mod serve;
mod superuser;
mod target;
mod transfer;
mod types;

use std::process::ExitCode;

use clap::Parser;

use crate::config::{LogFormat, Settings};
use crate::error::{Error, Kind, Result};
use args::{Args, Command};

/// Runs the command that the process's arguments name.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Nowhere to tell that it can't be told.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Serve(flags) => serve::run(flags.settings()?, flags.first_superuser()?),
        Command::Demo(flags) => demo::run(flags.settings_for_demo()?),
        Command::Check(folder) => check::run(&folder.settings()?),
        Command::Collections(collections) => collections::run(&collections),
        Command::Superuser(superuser) => superuser::run(&superuser),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Verify(args) => backup::verify(&args),
        Command::Promote(promote) => promote::run(&promote),
        Command::Log(log) => log::run(&log),
        Command::Import(args) => transfer::import(&args),
        Command::Export(args) => transfer::export(&args),
        Command::Types(args) => types::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Ready(args) => ready::run(&args),
        Command::Version => {
            say(format_args!("millpond {}", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
    }
}

/// What the process ends with.
fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        Kind::Damaged => 3,
        Kind::Invalid => 2,
        _ => 1,
    }
}

/// One line to standard output. A reader that hung up is no fault.
fn say(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn complain(error: &Error) {
    use std::io::Write;
    let mut out = std::io::stderr().lock();
    let _ = writeln!(out, "millpond: {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        let _ = writeln!(out, "  because: {one}");
        cause = one.source();
    }
}

/// Sends `tracing`'s lines to standard error, in the form and depth that was set.
fn trace(settings: &Settings) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log_level)
        .map_err(|error| Error::invalid(format!("log_level: {error}")))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let set = match settings.log_format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    set.map_err(|error| Error::internal(format!("the log lines: {error}")))
}
