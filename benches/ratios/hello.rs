//! The reference for reads: a bare hyper server that answers every request with the same bytes, in a process of its
//! own (this binary, started again).

use std::convert::Infallible;
use std::io::Write;
use std::process::Command;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Outcome;
use crate::process::Process;

/// The argument that makes this binary such a server; the body's size, bytes, follows it.
pub(crate) const ARGUMENT: &str = "--hello-server";

/// Starts one that answers `bytes` of body.
pub(crate) fn start(bytes: usize) -> Outcome<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(ARGUMENT).arg(bytes.to_string());
    Process::announced(command)
}

/// Serves until killed.
pub(crate) fn serve(bytes: usize) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "hello serves http://{}", listener.local_addr()?)?;
        stdout.flush()?;
        let body = Bytes::from(vec![b'h'; bytes]);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let body = body.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| std::future::ready(answer(&request, &body)));
                // A client that goes away is no news.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

fn answer(_: &Request<Incoming>, body: &Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(body.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
