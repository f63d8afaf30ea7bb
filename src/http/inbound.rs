//! A request's body on its way in: bounded in bytes and in time, never gathered past its bound.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::time::timeout;

use crate::error::{Error, Kind, Result};
use crate::http::socket::Shared;

/// hyper's body, which tells its connection whether it was read to the end.
pub(super) struct Inbound {
    body: Incoming,
    shared: Arc<Shared>,
}

impl Inbound {
    pub(super) fn new(body: Incoming, shared: &Arc<Shared>) -> Inbound {
        shared.set_unread(!body.is_end_stream());
        Inbound { body, shared: Arc::clone(shared) }
    }
}

impl hyper::body::Body for Inbound {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.shared.took_some();
        if frame.is_none() || self.body.is_end_stream() {
            self.shared.set_unread(false);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The whole body. One that says it is over `bytes_max` is refused before a byte of it is read.
///
/// # Errors
/// `TooLarge`; `RequestTimeout` after `time_max`; `Invalid` when the client broke off or its framing is wrong.
pub(super) async fn gather(body: Body, bytes_max: usize, time_max: Duration) -> Result<Bytes> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    match timeout(time_max, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(bytes_max)),
        Ok(Err(error)) => Err(Error::invalid("the body could not be read to its end").code("body_cut").source(error)),
        Err(_) => Err(Error::new(Kind::RequestTimeout, "the body took too long to arrive")),
    }
}

/// The refusal of a body over its bound.
pub(super) fn too_large(bytes_max: usize) -> Error {
    Error::new(Kind::TooLarge, format!("a body may have {bytes_max} bytes at most")).code("body_too_large")
}
