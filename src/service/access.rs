//! Who asks, and what they may do: the only maker of guards (`tests/tidy.rs` holds it to that).
//!
//! Until there are accounts a caller is nobody, or, on a server in `dev` mode, a superuser if it sits on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::id::CollectionId;
use crate::model::expr::Program;
use crate::model::guard::{Action, Guard, Rows};
use crate::model::predicate::{Predicate, Request, Sight};
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Without a token.
    Anonymous,
    /// May do all.
    Superuser,
}

/// Callers who get the same answer wherever no expression asks for the request: those whose guards differ in nothing but
/// what rules ask for. One variant is one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kin {
    /// See hidden fields and all rows.
    Superuser,
    /// See what rules let anybody see.
    Anybody,
}

impl Caller {
    /// Whose answers may be this caller's; `None` for one whose guards are like no other's, whom nothing kept is for.
    pub(super) fn kin(&self) -> Option<Kin> {
        match self {
            Caller::Superuser => Some(Kin::Superuser),
            Caller::Anonymous => Some(Kin::Anybody),
        }
    }

    /// The caller's own record and where it lies.
    pub(super) fn record(&self) -> Option<(CollectionId, Arc<Record>)> {
        match self {
            Caller::Superuser | Caller::Anonymous => None,
        }
    }
}

/// A caller and what its request says, for the rules that ask for it.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Who.
    pub caller: Caller,
    /// What.
    pub request: Arc<Request>,
}

impl Asker {
    /// # Errors
    /// As [`guard`].
    pub(super) fn guard(&self, schema: &Schema, collection: &Collection) -> Result<Guard> {
        Ok(guard(self.caller, schema, collection, &self.request)?.of_request(self.request.clone()))
    }
}

/// The caller of a request from `peer`. In `dev` mode every caller on loopback is a superuser, but for one whose `Host`
/// is a name other than `localhost`: that is a browser which a foreign page sent here by its own domain's DNS.
pub(super) fn caller(dev: bool, peer: IpAddr, host: Option<&[u8]>) -> Caller {
    if dev && peer.is_loopback() && host.is_none_or(is_local) { Caller::Superuser } else { Caller::Anonymous }
}

/// The caller of a request that a browser sends for any page without asking, a form's. What only the connection vouches
/// for is not a foreign page's to use; a token, which a page can't add unasked, stays good.
pub(super) fn caller_of_form(caller: Caller, origin: Option<&[u8]>, token: bool) -> Caller {
    let local = |origin: &[u8]| {
        let host = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        host.is_some_and(is_local)
    };
    if token || origin.is_none_or(local) { caller } else { Caller::Anonymous }
}

/// Who a caller is, for what is kept of its own: no two share it, but those that are nobody.
pub(super) fn principal(caller: Caller) -> &'static str {
    match caller {
        Caller::Anonymous => "",
        Caller::Superuser => "superuser",
    }
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

/// What `caller` may do with `collection` of `schema`, by its rules as they stand there.
///
/// # Errors
/// `Internal` for a stored rule that does not compile, which `definition` excludes.
fn guard(caller: Caller, schema: &Schema, collection: &Collection, request: &Arc<Request>) -> Result<Guard> {
    match caller {
        Caller::Superuser => Ok(Guard::for_superuser()),
        Caller::Anonymous => {
            let compiled = schema.compiled(collection)?;
            let rows = |action| rows_of(collection.rules.of(action), compiled.rule(action), request);
            Ok(Guard::for_caller(false, ACTIONS.map(rows)))
        }
    }
}

/// In the order of the variants.
const ACTIONS: [Action; 5] = [Action::List, Action::View, Action::Create, Action::Update, Action::Delete];

/// A rule's rows.
fn rows_of(rule: Option<&str>, compiled: Option<&Arc<Program>>, request: &Arc<Request>) -> Rows {
    match (rule, compiled) {
        (Some(""), _) => Rows::All,
        (Some(_), Some(program)) => {
            Rows::Where(Box::new(Predicate { program: program.clone(), request: request.clone(), sight: Sight::All }))
        }
        (Some(_) | None, _) => Rows::None,
    }
}

/// What a caller's own expression may look at of the collections that it reaches: those records that it may view.
///
/// # Errors
/// As [`guard`].
pub(super) fn sight(asker: &Asker, schema: &Schema, reached: &[CollectionId]) -> Result<Sight> {
    if asker.caller == Caller::Superuser {
        return Ok(Sight::All);
    }
    let known = reached.iter().filter_map(|id| schema.get(*id));
    let guards = known.map(|one| Ok((one.id, asker.guard(schema, one)?)));
    Ok(Sight::Guarded(guards.collect::<Result<Vec<_>>>()?.into()))
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
    fn a_foreign_page_gets_nothing_by_a_form() {
        let table = [
            (None, false, Caller::Superuser),
            (Some("http://localhost:5173"), false, Caller::Superuser),
            (Some("http://127.0.0.1:8090"), false, Caller::Superuser),
            (Some("https://[::1]"), false, Caller::Superuser),
            (Some("https://evil.example"), false, Caller::Anonymous),
            (Some("http://localhost.evil.example"), false, Caller::Anonymous),
            (Some("null"), false, Caller::Anonymous),
            (Some("file://localhost"), false, Caller::Anonymous),
            (Some("https://evil.example"), true, Caller::Superuser),
        ];
        for (origin, token, expected) in table {
            let caller = caller_of_form(Caller::Superuser, origin.map(str::as_bytes), token);
            assert_eq!(caller, expected, "{origin:?} {token}");
        }
    }

    #[test]
    fn a_rule_allows_all_or_nothing() {
        let request = Arc::new(Request::at(crate::time::Millis(0)));
        assert_eq!(rows_of(Some(""), None, &request), Rows::All);
        assert_eq!(rows_of(None, None, &request), Rows::None);
        assert_eq!(rows_of(Some("id != ''"), None, &request), Rows::None);
        assert!(superuser(Caller::Superuser).is_ok());
        assert_eq!(superuser(Caller::Anonymous).expect_err("nobody").kind(), Kind::Unauthenticated);
    }
}
