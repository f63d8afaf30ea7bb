//! Who asks, and what they may do: the only maker of guards (`tests/tidy.rs` holds it to that).
//!
//! Until there are accounts a caller is nobody, or, on a server in `dev` mode, a superuser if it sits on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{Error, Kind, Result};
use crate::model::guard::{Guard, Rows};
use crate::model::schema::Collection;

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Without a token.
    Anonymous,
    /// May do all.
    Superuser,
}

/// The caller of a request from `peer`. In `dev` mode every caller on loopback is a superuser, but for one whose `Host`
/// is a name other than `localhost`: that is a browser which a foreign page sent here by its own domain's DNS.
pub(super) fn caller(dev: bool, peer: IpAddr, host: Option<&[u8]>) -> Caller {
    if dev && peer.is_loopback() && host.is_none_or(is_local) { Caller::Superuser } else { Caller::Anonymous }
}

/// Whether a `Host` names this machine by an address or by `localhost`.
fn is_local(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    if let Some(inside) = host.strip_prefix('[') {
        return inside.split_once(']').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok()
}

/// What `caller` may do with `collection`.
pub(super) fn guard(caller: Caller, collection: &Collection) -> Guard {
    match caller {
        Caller::Superuser => Guard::for_superuser(),
        Caller::Anonymous => {
            let rules = &collection.rules;
            let rows = [&rules.list, &rules.view, &rules.create, &rules.update, &rules.delete];
            Guard::for_caller(false, rows.map(|rule| rows_of(rule.as_deref())))
        }
    }
}

/// A rule's rows. One that this version can't evaluate allows nothing.
fn rows_of(rule: Option<&str>) -> Rows {
    match rule {
        Some("") => Rows::All,
        Some(_) | None => Rows::None,
    }
}

/// # Errors
/// `Unauthenticated` for anybody but a superuser.
pub(super) fn superuser(caller: Caller) -> Result<()> {
    match caller {
        Caller::Superuser => Ok(()),
        Caller::Anonymous => Err(Error::new(Kind::Unauthenticated, "this needs a superuser's token")),
    }
}

/// The server's own work, such as loading what it ships: never for a caller.
pub fn for_server() -> Guard {
    Guard::for_server()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dev_mode_makes_superusers_and_only_of_this_machine() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let there: IpAddr = "192.168.0.9".parse().expect("an address");
        let table = [
            (true, here, Some("127.0.0.1:8090"), Caller::Superuser),
            (true, here, Some("localhost"), Caller::Superuser),
            (true, here, Some("LocalHost:8090"), Caller::Superuser),
            (true, here, Some("[::1]:8090"), Caller::Superuser),
            (true, here, None, Caller::Superuser),
            (true, here, Some("evil.example"), Caller::Anonymous),
            (true, here, Some("evil.example:8090"), Caller::Anonymous),
            (true, here, Some("localhost.evil.example"), Caller::Anonymous),
            (true, here, Some("127.0.0.1.evil.example"), Caller::Anonymous),
            (true, here, Some("[evil]"), Caller::Anonymous),
            (true, here, Some(""), Caller::Anonymous),
            (true, there, Some("127.0.0.1"), Caller::Anonymous),
            (false, here, Some("127.0.0.1"), Caller::Anonymous),
        ];
        for (dev, peer, host, expected) in table {
            assert_eq!(caller(dev, peer, host.map(str::as_bytes)), expected, "{dev} {peer} {host:?}");
        }
    }

    #[test]
    fn a_rule_allows_all_or_nothing() {
        assert_eq!(rows_of(Some("")), Rows::All);
        assert_eq!(rows_of(None), Rows::None);
        assert_eq!(rows_of(Some("id != ''")), Rows::None);
        assert!(superuser(Caller::Superuser).is_ok());
        assert_eq!(superuser(Caller::Anonymous).expect_err("nobody").kind(), Kind::Unauthenticated);
    }
}
