//! `millpond types`: the types of all records as TypeScript, of a stopped server's folder or a running server.

use bytes::Bytes;
use hyper::Method;

use super::args::Types;
use super::remote::{self, Outgoing};
use super::say;
use super::target::{runtime, with_service};
use crate::error::{Error, Result};
use crate::service::Caller;

pub(super) fn run(types: &Types) -> Result<()> {
    let text = match types.target.remote()? {
        Some(remote) => runtime()?.block_on(async {
            let answer = remote.send(Method::GET, "/api/types.d.ts", None, Outgoing::empty()).await?;
            read(&remote::whole(answer).await?)
        })?,
        None => with_service(&types.target, |service| service.types(&Caller::Superuser))?,
    };
    match &types.file {
        None => say(format_args!("{}", text.trim_end())),
        Some(file) => std::fs::write(file, text).map_err(|error| Error::io(file.display(), error))?,
    }
    Ok(())
}

fn read(bytes: &Bytes) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|error| Error::internal("the answer is no text").source(error))
}
