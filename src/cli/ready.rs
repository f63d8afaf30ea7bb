//! `millpond ready`: whether a running server takes requests, for whoever watches over its process.

use hyper::Method;

use super::remote::{Outgoing, Remote};
use super::target::runtime;
use crate::error::Result;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Server that is asked.
    #[arg(long, value_name = "URL", env = "MILLPOND_URL", default_value = "http://127.0.0.1:8090")]
    url: String,
}

/// # Errors
/// `Unavailable` where it isn't there or isn't ready.
pub(super) fn run(args: &Args) -> Result<()> {
    let remote = Remote::new(&args.url, None)?;
    runtime()?.block_on(remote.send(Method::GET, "/readyz", None, Outgoing::empty())).map(drop)
}
