//! One connection to a Redis: bytes over what `dial` gives, replies told apart by the crate `redis`.
//!
//! Invariant: of what comes no more is held than `limits::L2_HELD_BYTES_MAX` before a reply is taken: then it ends.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, IntoConnectionInfo, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use url::Url;

use crate::limits;
use crate::outbound::dial::{Dialer, Stream};

/// Redis's own port.
const PORT: u16 = 6379;

/// Where it is, and how one is let in.
pub(super) struct Target {
    /// Without name and password.
    url: Url,
    login: RedisConnectionInfo,
    dialer: Dialer,
    resolving: Arc<Semaphore>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::super::host_of(&self.url))
    }
}

impl Target {
    pub(super) fn new(text: &str) -> Result<Target, String> {
        let wrong = || "it must be redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER], or rediss:// for TLS".to_owned();
        let mut url = Url::parse(text).map_err(|_| wrong())?;
        let known = matches!(url.scheme(), "redis" | "rediss") && url.host_str().is_some_and(|host| !host.is_empty());
        if !known || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong());
        }
        // TLS is `dial`'s: the crate only reads what is said of the login.
        let plain = text.replacen("rediss://", "redis://", 1);
        let info = plain.as_str().into_connection_info().map_err(|_| wrong())?;
        let login = info.redis_settings().clone().set_skip_set_lib_name();
        if url.port().is_none() {
            url.set_port(Some(PORT)).map_err(|()| wrong())?;
        }
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| wrong())?;
        // The operator named it: it may stand in the own net.
        Ok(Target { url, login, dialer: Dialer::new(true), resolving: Arc::new(Semaphore::new(1)) })
    }
}

/// A connection that has answered a probe.
pub(super) struct Line {
    connection: MultiplexedConnection,
    /// Bytes read since a reply was taken.
    held: Arc<AtomicUsize>,
    /// Those that went without a reply since there was one in time.
    pub(super) unanswered: AtomicU32,
    pub(super) replies: AtomicU64,
    driver: AbortHandle,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("replies", &self.replies).finish_non_exhaustive()
    }
}

impl Line {
    /// Connects, logs in and probes.
    ///
    /// # Errors
    /// Why not, for people; nothing that the other side said is in it.
    pub(super) async fn open(target: &Target) -> Result<Line, String> {
        let stream = target.dialer.connect(&target.url, &target.resolving).await?;
        let held = Arc::new(AtomicUsize::new(0));
        let stream = Bounded { stream, held: held.clone() };
        // Times are this module's: all that the crate would wait for is waited for here.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(limits::L2_READS_MAX + limits::L2_WRITES_MAX);
        let made = MultiplexedConnection::new_with_config(&target.login, stream, config).await;
        let (connection, driver) = made.map_err(|error| format!("it lets nobody in: {}", error.category()))?;
        let driver = tokio::spawn(driver).abort_handle();
        let line = Line { connection, held, unanswered: AtomicU32::new(0), replies: AtomicU64::new(0), driver };
        let probe = redis::cmd("PING");
        let mut connection = line.connection();
        // As fast as a request must be answered, so that none finds out how slow it is.
        match tokio::time::timeout(limits::L2_READ_TIME, connection.send_packed_command(&probe)).await {
            Ok(Ok(Value::SimpleString(pong))) if pong == "PONG" => {
                line.answered(true);
                Ok(line)
            }
            Ok(Ok(_)) => Err("it does not answer as a Redis does".to_owned()),
            Ok(Err(error)) => Err(format!("the connection broke off: {}", error.category())),
            Err(_) => Err("it does not answer in time".to_owned()),
        }
    }

    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// A reply was taken. One that took longer than requests wait says nothing for those that they go without.
    pub(super) fn answered(&self, in_time: bool) {
        self.held.store(0, Ordering::Relaxed);
        if in_time {
            self.unanswered.store(0, Ordering::Relaxed);
            self.replies.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A stream that ends where too much comes.
struct Bounded {
    stream: Box<dyn Stream>,
    held: Arc<AtomicUsize>,
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let more = into.filled().len() - before;
        let held = self.held.fetch_add(more, Ordering::Relaxed) + more;
        Poll::Ready(if held > limits::L2_HELD_BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) })
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_password_is_in_no_text() {
        let table = [
            ("redis://127.0.0.1", "127.0.0.1:6379", None, None, 0),
            ("redis://:secret@cache.example:7000/3", "cache.example:7000", None, Some("secret"), 3),
            ("rediss://me:s%40cret@[::1]:7001", "[::1]:7001", Some("me"), Some("s@cret"), 0),
        ];
        for (text, shown, user, password, number) in table {
            let target = Target::new(text).unwrap();
            assert_eq!((target.to_string(), format!("{target:?}")), (shown.to_owned(), format!("Target({shown})")));
            let login = &target.login;
            assert_eq!((login.username(), login.password(), login.db()), (user, password, number), "{text}");
            assert_eq!(target.url.password(), None);
        }
        for text in [
            "",
            "redis://",
            "http://secret@a",
            "redis://:secret@a/x",
            "redis://a/0?secret=1",
            "rediss:a",
            "redis://a:99999",
        ] {
            let why = Target::new(text).err().unwrap_or_else(|| panic!("{text} is no address"));
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
