//! How many connections each address has, so that no one address takes all places; and which address counts.
//!
//! Invariant: an address stands in the map only while it has a connection, so the map is no larger than there are places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Net;
use crate::http::rates::network;

/// The addresses that are connected.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Of one address.
    most: usize,
    /// Those that are not counted: this machine, and proxies, behind which are many.
    exempt: Vec<Net>,
    of: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection, until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, it counts no more"]
pub(super) struct Member(Option<(Arc<Crowd>, IpAddr)>);

impl Crowd {
    pub(super) fn new(most: usize, exempt: Vec<Net>) -> Crowd {
        Crowd { most, exempt, of: Mutex::default() }
    }

    /// What an address counts as, if it is counted.
    pub(super) fn counted(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        let exempt = peer.is_unspecified() || self.exempt.iter().any(|net| net.holds(peer));
        (!exempt).then(|| network(peer))
    }

    /// Counts a connection of an address, or, of the sixth version, of its network; `None` if there are too many.
    pub(super) fn enter(self: &Arc<Crowd>, peer: IpAddr) -> Option<Member> {
        let Some(peer) = self.counted(peer) else { return Some(Member(None)) };
        let mut of = self.of.lock();
        let count = of.entry(peer).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Member(Some((self.clone(), peer))))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some((crowd, peer)) = &self.0 else { return };
        let mut of = crowd.of.lock();
        if let Some(count) = of.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                of.remove(peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_so_many_and_no_more() {
        let exempt = ["127.0.0.0/8", "::1", "10.1.0.0/16"].map(|net| net.parse().expect("a network"));
        let crowd = Arc::new(Crowd::new(2, exempt.into()));
        let enter = |address: &str| crowd.enter(address.parse().expect("an address"));
        let (first, second) = (enter("192.0.2.1"), enter("192.0.2.1"));
        assert!(first.is_some() && second.is_some() && enter("192.0.2.1").is_none());
        assert!(enter("::ffff:192.0.2.1").is_none(), "written another way it is the same");
        assert!(enter("192.0.2.2").is_some(), "another address has its own");
        let six = [enter("2001:db8::1"), enter("2001:db8::ffff")];
        assert!(six.iter().all(Option::is_some) && enter("2001:db8::2").is_none(), "one household");
        assert!(enter("2001:db8:0:1::1").is_some());
        let free: Vec<_> =
            (0..9).flat_map(|_| ["127.0.0.1", "::1", "10.1.2.3", "::ffff:127.0.0.1"].map(enter)).collect();
        assert!(free.iter().all(Option::is_some));
        drop(first);
        let third = enter("192.0.2.1");
        assert!(third.is_some() && enter("192.0.2.1").is_none());
        drop((second, third, six, free));
        assert!(crowd.of.lock().is_empty());
    }
}
