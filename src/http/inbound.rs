//! A request's body on its way in: bounded in bytes and in time, never gathered past its bound.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::time::timeout;

use crate::error::{Error, Kind, Result};
use crate::http::socket::Shared;
use crate::limits;

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

/// A body that is taken piece by piece, of any length.
pub(super) struct Pieces {
    body: Body,
    patience: Patience,
}

/// How long a body may still be waited for.
struct Patience {
    max: Duration,
    waited: Duration,
    /// Bytes that came meanwhile.
    came: usize,
}

impl Patience {
    fn new(max: Duration) -> Patience {
        Patience { max, waited: Duration::ZERO, came: 0 }
    }

    fn left(&self) -> Duration {
        self.max.saturating_sub(self.waited)
    }

    /// So many bytes came after so long.
    fn note(&mut self, waited: Duration, came: usize) {
        self.waited += waited;
        self.came += came;
        if self.came >= limits::BODY_RATE_BYTES {
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
    }
}

impl Pieces {
    /// `wait_max` is the time that it may be waited for `limits::BODY_RATE_BYTES`.
    pub(super) fn new(body: Body, wait_max: Duration) -> Pieces {
        Pieces { body, patience: Patience::new(wait_max) }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// `RequestTimeout` when the client is too slow; `Invalid` when it broke off or its framing is wrong.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let began = Instant::now();
            match timeout(self.patience.left(), self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    // Trailers say nothing here.
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.patience.note(began.elapsed(), bytes.len());
                    return Ok(Some(bytes));
                }
                Ok(Some(Err(error))) => return Err(cut(error)),
                Err(_) => return Err(Error::new(Kind::RequestTimeout, "the body comes too slowly")),
            }
        }
    }
}

fn cut(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::invalid("the body could not be read to its end").code("body_cut").source(error)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_take_long_but_not_stand_still_or_trickle() {
        let pause = Duration::from_secs(20);
        let mut patience = Patience::new(Duration::from_secs(30));
        for _ in 0..100 {
            patience.note(pause, limits::BODY_RATE_BYTES);
            assert_eq!(patience.left(), Duration::from_secs(30), "each wait was short enough");
        }
        patience.note(pause, 1);
        assert_eq!(patience.left(), Duration::from_secs(10), "so few bytes buy no time");
        patience.note(pause, 1);
        assert_eq!(patience.left(), Duration::ZERO);
    }

    /// Never gives anything.
    struct Silent;

    impl hyper::body::Body for Silent {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<std::result::Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_that_stands_still_is_given_up() {
        let mut pieces = Pieces::new(Body::new(Silent), Duration::from_millis(20));
        assert_eq!(pieces.next().await.expect_err("too slow").kind(), Kind::RequestTimeout);
    }
}
