//! How often one client may ask, and which client that is.
//!
//! A client is its address, or, once it has shown who it is, its principal; superusers are not counted. An address is
//! what the socket says, or, behind a proxy that is trusted by name, what that proxy says; nobody else is believed.
//!
//! The count is a leaky bucket kept as one moment for each client (GCRA): the whole quota at once, then as it refills.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use crate::config::{Net, Settings};
use crate::error::{Error, Kind};
use crate::http::answer::text;
use crate::limits;
use crate::service::Caller;

pub(super) const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The fields of draft-ietf-httpapi-ratelimit-headers.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// What a route is to a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Never refused: those that ask whether the server is well.
    Free,
    /// Like any other.
    Plain,
    /// Shows a password: counted apart, more strictly, and always by address.
    Login,
}

/// Whom a request is counted for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    /// Who showed who it is.
    Principal(String),
    /// All for whom there is no room.
    Rest,
}

/// Whom a caller is counted as; `None` for nobody. The only place that knows both.
fn key(caller: &Caller, address: IpAddr) -> Option<Key> {
    match caller {
        Caller::Anonymous => Some(Key::Address(network(address))),
        caller if caller.is_unlimited() => None,
        Caller::Superuser | Caller::Account(_) | Caller::Key(_) => Some(Key::Principal(caller.principal())),
    }
}

/// An address of the fourth version, or the network of one household of the sixth.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The limits, if they are on.
#[derive(Debug)]
pub(super) struct Rates {
    plain: Rate,
    login: Rate,
}

impl Rates {
    pub(super) fn new(settings: &Settings) -> Option<Rates> {
        settings.rate_limits.then(|| Rates {
            plain: Rate::new("requests", settings.rate_limit_requests, limits::RATE_REQUESTS_TIME),
            login: Rate::new("logins", settings.rate_limit_logins, limits::RATE_LOGINS_TIME),
        })
    }

    /// Counts a request; `None` where it counts for nobody.
    pub(super) fn count(&self, class: Class, caller: &Caller, address: IpAddr) -> Option<Counted<'_>> {
        let rate = if class == Class::Login { &self.login } else { &self.plain };
        let key = match class {
            Class::Free => None,
            Class::Plain => key(caller, address),
            Class::Login => Some(Key::Address(network(address))),
        };
        Some(rate.count(key?, Instant::now()))
    }
}

/// So many in a time.
#[derive(Debug)]
struct Rate {
    name: &'static str,
    quota: u32,
    time: Duration,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// When each client will have its whole quota again.
    whole_at: HashMap<Key, Instant>,
    swept: Instant,
}

/// What the count came to.
#[derive(Debug)]
pub(super) struct Counted<'a> {
    rate: &'a Rate,
    left: u32,
    /// Until the whole quota is there again.
    whole_in: Duration,
    /// Until there is room for one more; of a request that is refused.
    wait: Option<Duration>,
}

impl Rate {
    fn new(name: &'static str, quota: u32, time: Duration) -> Rate {
        let kept = Kept { whole_at: HashMap::new(), swept: Instant::now() };
        Rate { name, quota, time, kept: Mutex::new(kept) }
    }

    fn count(&self, key: Key, now: Instant) -> Counted<'_> {
        let one = self.time / self.quota;
        let mut kept = self.kept.lock();
        let key = kept.place(key, now);
        let whole_at = kept.whole_at.get(&key).copied().unwrap_or(now).max(now);
        let used = whole_at + one - now;
        if used > self.time {
            return Counted { rate: self, left: 0, whole_in: whole_at - now, wait: Some(used - self.time) };
        }
        kept.whole_at.insert(key, whole_at + one);
        let left = ((self.time - used).as_nanos() / one.as_nanos().max(1)) as u32;
        Counted { rate: self, left, whole_in: used, wait: None }
    }
}

impl Kept {
    /// The key, or, where there is no room for one more, the one of all the rest. Who has its whole quota is as one who
    /// never came, and is forgotten.
    fn place(&mut self, key: Key, now: Instant) -> Key {
        if self.whole_at.len() < limits::RATE_CLIENTS_MAX || self.whole_at.contains_key(&key) {
            return key;
        }
        if now >= self.swept + limits::RATE_SWEEP_TIME {
            self.swept = now;
            self.whole_at.retain(|_, whole_at| *whole_at > now);
        }
        if self.whole_at.len() < limits::RATE_CLIENTS_MAX { key } else { Key::Rest }
    }
}

impl Counted<'_> {
    /// # Errors
    /// `RateLimited` when it was one too many.
    pub(super) fn allow(&self) -> Result<(), Error> {
        match self.wait {
            None => Ok(()),
            Some(_) => Err(Error::new(Kind::RateLimited, "too many requests: wait as long as Retry-After says")),
        }
    }

    /// Tells the client how it stands.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        let Rate { name, quota, time, .. } = self.rate;
        headers.insert(POLICY, text(format!("\"{name}\";q={quota};w={}", time.as_secs())));
        headers.insert(STATE, text(format!("\"{name}\";r={};t={}", self.left, seconds(self.whole_in))));
        if let Some(wait) = self.wait {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
        }
    }
}

/// Whole seconds, none too few.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Where a request comes from: `peer`, or, as far as the proxies on the way are trusted, whom they name. Each adds at the
/// right whom it was sent by, so the list is read from there; what stands left of a stranger anybody may have written.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Net]) -> IpAddr {
    let mut at = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.holds(address));
    if trusted.is_empty() || !is_trusted(at) {
        return at;
    }
    let lines = headers.get_all(FORWARDED).iter().rev();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
    for hop in hops.take(limits::PROXY_HOPS_MAX) {
        match address(hop.trim()) {
            None => return at,
            Some(before) => at = before,
        }
        if !is_trusted(at) {
            return at;
        }
    }
    at
}

/// An address as proxies write it: plain, in brackets, with a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let inside = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(with_port).or_else(inside).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_quota_can_be_used_at_once_and_refills() {
        let rate = Rate::new("r", 5, Duration::from_secs(10));
        let (begin, key) = (Instant::now(), || Key::Address(ip("192.0.2.1")));
        for left in (0..5).rev() {
            let counted = rate.count(key(), begin);
            assert_eq!((counted.left, counted.wait), (left, None));
        }
        let refused = rate.count(key(), begin);
        assert_eq!((refused.left, refused.wait), (0, Some(Duration::from_secs(2))));
        assert_eq!(refused.allow().expect_err("one too many").kind(), Kind::RateLimited);
        let other = rate.count(Key::Address(ip("192.0.2.2")), begin);
        assert_eq!(other.left, 4, "another has a quota of its own");
        let later = begin + Duration::from_secs(2);
        assert!(rate.count(key(), later).allow().is_ok(), "a refusal costs nothing");
        assert!(rate.count(key(), later).allow().is_err());
        assert_eq!(rate.count(key(), begin + Duration::from_secs(60)).left, 4);
    }

    #[test]
    fn clients_are_forgotten_once_whole_and_beyond_the_bound_they_share() {
        let rate = Rate::new("r", 2, Duration::from_secs(10));
        let begin = Instant::now();
        let nth = |number: usize| Key::Address(IpAddr::V4(std::net::Ipv4Addr::from_bits(number as u32)));
        for number in 0..limits::RATE_CLIENTS_MAX {
            assert_eq!(rate.count(nth(number), begin).left, 1);
        }
        let beyond: Vec<bool> =
            (0..3).map(|number| rate.count(nth(limits::RATE_CLIENTS_MAX + number), begin).allow().is_ok()).collect();
        assert_eq!(beyond, [true, true, false], "three strangers share one quota");
        assert_eq!(rate.count(nth(7), begin).left, 0, "who is known keeps the own");
        assert!(rate.kept.lock().whole_at.len() <= limits::RATE_CLIENTS_MAX + 1);
        let later = begin + Duration::from_secs(30);
        assert_eq!(rate.count(nth(limits::RATE_CLIENTS_MAX + 9), later).left, 1);
        assert_eq!(rate.kept.lock().whole_at.len(), 1);
    }

    #[test]
    fn logins_are_counted_by_address_and_superusers_and_probes_not_at_all() {
        let settings = Settings { rate_limits: true, rate_limit_logins: 1, ..Settings::default() };
        let rates = Rates::new(&settings).expect("on");
        let (one, same_house, other) = (ip("2001:db8::1"), ip("2001:db8::2:3"), ip("2001:db8:0:1::1"));
        let count = |class, caller, address| rates.count(class, &caller, address).map(|counted| counted.wait.is_none());
        assert_eq!(count(Class::Plain, Caller::Superuser, one), None);
        assert_eq!(count(Class::Free, Caller::Anonymous, one), None);
        assert_eq!(count(Class::Login, Caller::Superuser, one), Some(true));
        assert_eq!(count(Class::Login, Caller::Anonymous, same_house), Some(false));
        assert_eq!(count(Class::Login, Caller::Anonymous, other), Some(true));
        assert_eq!(count(Class::Plain, Caller::Anonymous, one), Some(true));
        assert!(Rates::new(&Settings::default()).is_none(), "off by default");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_as_far_as_the_next_stranger() {
        let trusted: Vec<Net> = ["10.0.0.0/8", "::1"].iter().map(|net| net.parse().expect("a network")).collect();
        let table: &[(&str, &[&str], &str)] = &[
            ("192.0.2.1", &["198.51.100.1"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1 , 10.2.3.4"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, ::1, 10.0.0.9"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ];
        for (peer, lines, expected) in table {
            let line = |line: &&str| (FORWARDED, HeaderValue::from_str(line).expect("a header"));
            let headers: HeaderMap = lines.iter().map(line).collect();
            assert_eq!(client(ip(peer), &headers, &trusted), ip(expected), "{peer} {lines:?}");
        }
        let long = vec!["10.0.0.2"; limits::PROXY_HOPS_MAX].join(",");
        let headers = HeaderMap::from_iter([(FORWARDED, text(format!("198.51.100.1,{long}")))]);
        assert_eq!(client(ip("10.0.0.1"), &headers, &trusted), ip("10.0.0.2"), "so far it is looked, and no further");
    }
}
