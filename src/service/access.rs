//! Who asks, and what they may do: the only maker of guards (`tests/tidy.rs` holds it to that).
//!
//! A caller is nobody, a record of an auth collection by its token, what an API key stands for, or, on a server in `dev`
//! mode, a superuser if it sits on this machine. Invariant: a key may do nothing that its owner may not.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, RecordId};
use crate::model::expr::Program;
use crate::model::guard::{Action, Guard, Rows};
use crate::model::job::RUNS;
use crate::model::predicate::{Predicate, Request, Sight};
use crate::model::record::Record;
use crate::model::schema::{Collection, Schema};

use crate::time::Millis;

/// Who sends a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Caller {
    /// Without a token.
    Anonymous,
    /// May do all, and is nobody's record: the server's own work, and whoever sits on the machine in `dev` mode.
    Superuser,
    /// A record of an auth collection, by its token.
    Account(Arc<Account>),
    /// What an API key stands for.
    Key(Arc<Key>),
}

/// A record of an auth collection that asks.
#[derive(Clone, PartialEq)]
pub struct Account {
    pub(super) collection: CollectionId,
    pub(super) record: Arc<Record>,
    /// Whether it is one of `_superusers`.
    pub(super) superuser: bool,
    /// When its token ends.
    pub(super) expires: Millis,
    /// Whether its token may be changed for a later one.
    pub(super) refreshable: bool,
}

/// The record holds secrets, so only its name is written.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.record.id)
    }
}

/// An API key that was shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub(super) id: RecordId,
    /// For whom it acts; `None`: as a superuser.
    pub(super) owner: Option<Account>,
    /// The collections it is for, by name or id; `None`: all.
    pub(super) collections: Option<Vec<Box<str>>>,
    /// What it is for there; `None`: all.
    pub(super) actions: Option<Vec<Action>>,
    /// When it ends, if ever.
    pub(super) expires: Option<Millis>,
}

impl Key {
    fn is_limited(&self) -> bool {
        self.collections.is_some() || self.actions.is_some()
    }

    /// Whether it is for an action. The server's own collections decide who may what: a limited key is for them only as far
    /// as it names them, and never to write.
    fn is_for(&self, collection: &Collection, action: Action) -> bool {
        let id = collection.id.to_string();
        let named =
            self.collections.as_ref().map(|names| names.iter().any(|name| **name == *collection.name || **name == *id));
        let reads = matches!(action, Action::List | Action::View);
        let own = !collection.id.is_own() || !self.is_limited() || (named == Some(true) && reads);
        own && named.unwrap_or(true) && self.actions.as_ref().is_none_or(|actions| actions.contains(&action))
    }
}

impl Caller {
    /// Whether it sees hidden fields and is asked by no rule. A key may be so in few collections and for few actions.
    pub fn is_superuser(&self) -> bool {
        match self {
            Caller::Anonymous => false,
            Caller::Superuser => true,
            Caller::Account(account) => account.superuser,
            Caller::Key(key) => key.owner.as_ref().is_none_or(|owner| owner.superuser),
        }
    }

    /// Whether it may do all.
    pub fn is_unlimited(&self) -> bool {
        self.is_superuser() && !matches!(self, Caller::Key(key) if key.is_limited())
    }

    /// Whether it showed a token or a key, or needs none.
    pub fn is_known(&self) -> bool {
        *self != Caller::Anonymous
    }

    fn account(&self) -> Option<&Account> {
        match self {
            Caller::Anonymous | Caller::Superuser => None,
            Caller::Account(account) => Some(account),
            Caller::Key(key) => key.owner.as_ref(),
        }
    }

    /// The caller's own record and where it lies.
    pub(super) fn record(&self) -> Option<(CollectionId, Arc<Record>)> {
        self.account().map(|account| (account.collection, account.record.clone()))
    }

    /// When its token or key ends, if ever.
    pub(super) fn expires(&self) -> Option<Millis> {
        match self {
            Caller::Anonymous | Caller::Superuser => None,
            Caller::Account(account) => Some(account.expires),
            Caller::Key(key) => key.expires,
        }
    }

    /// When it is over and can't show itself for longer, if ever: a token that may be changed for a later one has no such end.
    pub(super) fn ends(&self) -> Option<Millis> {
        match self {
            Caller::Account(account) if account.refreshable => None,
            _ => self.expires(),
        }
    }

    /// A text that is the same for the same caller and another for every other; empty for nobody.
    pub fn principal(&self) -> String {
        match self {
            Caller::Anonymous => String::new(),
            Caller::Superuser => "superuser".to_owned(),
            Caller::Account(account) => format!("{}/{}", account.collection, account.record.id),
            Caller::Key(key) => format!("key/{}", key.id),
        }
    }
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
            Caller::Key(key) if key.is_limited() => None,
            _ if self.is_superuser() => Some(Kin::Superuser),
            Caller::Anonymous | Caller::Superuser | Caller::Account(_) | Caller::Key(_) => Some(Kin::Anybody),
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
        Ok(guard(&self.caller, schema, collection, &self.request)?.of_request(self.request.clone()))
    }

    /// The same, with another condition in the place of the rule of one action: what tells which part of it fails.
    ///
    /// # Errors
    /// As [`guard`].
    pub(super) fn guard_by(
        &self,
        schema: &Schema,
        collection: &Collection,
        action: Action,
        condition: Arc<Program>,
    ) -> Result<Guard> {
        let compiled = schema.compiled(collection)?;
        let rows = |one: Action| {
            let (rule, program) = if one == action {
                (Some("a part"), Some(&condition))
            } else {
                (collection.rules.of(one), compiled.rule(one))
            };
            rows_of(rule, program, &self.request)
        };
        let guard = Guard::for_caller(self.caller.is_known(), Action::ALL.map(rows));
        Ok(guard.of_request(self.request.clone()))
    }
}

/// The caller of a request from `peer`. In `dev` mode every caller on loopback is a superuser, but for one whose `Host`
/// is a name other than `localhost`: that is a browser which a foreign page sent here by its own domain's DNS.
pub(super) fn caller(dev: bool, peer: IpAddr, host: Option<&[u8]>) -> Caller {
    if dev && peer.is_loopback() && host.is_none_or(is_local) { Caller::Superuser } else { Caller::Anonymous }
}

/// The caller of a request that a browser sends for any page without asking, a form's. What only the connection vouches
/// for is not a foreign page's to use; a token, which a page can't add unasked, stays good.
pub(super) fn caller_of_form(caller: Caller, origin: Option<&[u8]>) -> Caller {
    let local = |origin: &[u8]| {
        let host = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        host.is_some_and(is_local)
    };
    if caller == Caller::Superuser && !origin.is_none_or(local) { Caller::Anonymous } else { caller }
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
fn guard(caller: &Caller, schema: &Schema, collection: &Collection, request: &Arc<Request>) -> Result<Guard> {
    let whole = if caller.is_superuser() {
        // How a run is getting on is the server's to say.
        let is_told = collection.id.is_own() && &*collection.name == RUNS;
        Guard::for_superuser().narrowed(|action| !is_told || !matches!(action, Action::Create | Action::Update))
    } else {
        let compiled = schema.compiled(collection)?;
        let rows = |action| rows_of(collection.rules.of(action), compiled.rule(action), request);
        Guard::for_caller(caller.is_known(), Action::ALL.map(rows)).compiled_by(schema)
    };
    match caller {
        Caller::Key(key) => Ok(whole.narrowed(|action| key.is_for(collection, action))),
        Caller::Anonymous | Caller::Superuser | Caller::Account(_) => Ok(whole),
    }
}

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
    if asker.caller.is_unlimited() {
        return Ok(Sight::All);
    }
    let known = reached.iter().filter_map(|id| schema.get(*id));
    let guards = known.map(|one| Ok((one.id, asker.guard(schema, one)?)));
    Ok(Sight::Guarded(guards.collect::<Result<Vec<_>>>()?.into()))
}

/// # Errors
/// `Unauthenticated` for nobody; `Forbidden` for all others but superusers and their keys without limits.
pub(super) fn superuser(caller: impl Borrow<Caller>) -> Result<()> {
    match caller.borrow() {
        caller if caller.is_unlimited() => Ok(()),
        Caller::Anonymous => Err(Error::new(Kind::Unauthenticated, "this needs a superuser's token")),
        _ => Err(Error::new(Kind::Forbidden, "only a superuser may do that")),
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
            (None, Caller::Superuser),
            (Some("http://localhost:5173"), Caller::Superuser),
            (Some("http://127.0.0.1:8090"), Caller::Superuser),
            (Some("https://[::1]"), Caller::Superuser),
            (Some("https://evil.example"), Caller::Anonymous),
            (Some("http://localhost.evil.example"), Caller::Anonymous),
            (Some("null"), Caller::Anonymous),
            (Some("file://localhost"), Caller::Anonymous),
        ];
        for (origin, expected) in table {
            let caller = caller_of_form(Caller::Superuser, origin.map(str::as_bytes));
            assert_eq!(caller, expected, "{origin:?}");
        }
        let by_token = Caller::Account(Arc::new(account(2, true)));
        assert_eq!(caller_of_form(by_token.clone(), Some(b"https://evil.example")), by_token, "a token stays good");
    }

    fn account(collection: u32, superuser: bool) -> Account {
        use crate::id::{Epoch, NodeId, Position, Seq};
        let version = Position { epoch: Epoch { counter: 1, node: NodeId(1) }, seq: Seq(1) };
        let record = Record { id: RecordId::new("r").expect("an id"), version, fields: Default::default() };
        let (collection, record) = (CollectionId(collection), Arc::new(record));
        Account { collection, record, superuser, expires: Millis(0), refreshable: true }
    }

    fn key(owner: Option<Account>, collections: Option<&[&str]>, actions: Option<&[Action]>) -> Caller {
        let collections = collections.map(|names| names.iter().map(|name| Box::from(*name)).collect());
        let actions = actions.map(<[Action]>::to_vec);
        Caller::Key(Arc::new(Key {
            id: RecordId::new("k").expect("an id"),
            owner,
            collections,
            actions,
            expires: None,
        }))
    }

    #[test]
    fn a_key_is_for_what_it_names() {
        use crate::model::definition;
        let mut schema = Schema::default();
        for (id, text) in [(1, r#"{"name":"a","listRule":"","createRule":""}"#), (2, r#"{"name":"b","listRule":""}"#)] {
            let mut made = definition::parse(&schema, text.as_bytes(), Millis(0)).expect("sound");
            definition::number(&mut made, CollectionId(id));
            schema.put(made);
        }
        let mut own = definition::parse_own(&schema, br#"{"name":"_own"}"#, Millis(0)).expect("sound");
        definition::number(&mut own, CollectionId::OWN_FIRST);
        schema.put(own);
        let request = Arc::new(Request::at(Millis(0)));
        let may = |caller: &Caller| {
            let letters = |name: &str| {
                let guard = guard(caller, &schema, schema.find(name).expect("there"), &request).expect("a guard");
                let allowed = Action::ALL.into_iter().filter(|action| guard.allow(*action).is_ok());
                allowed.map(|action| &action.name()[..1]).collect::<String>()
            };
            ["a", "b", "_own"].map(letters).join(" ")
        };
        let reads = [Action::List, Action::View];
        let user = || Some(account(1, false));
        assert_eq!(may(&key(None, None, None)), "lvcud lvcud lvcud");
        assert_eq!(may(&key(None, None, Some(&reads))), "lv lv ");
        assert_eq!(may(&key(None, Some(&["2"]), None)), " lvcud ");
        assert_eq!(may(&key(None, Some(&["a", "_own"]), None)), "lvcud  lv");
        assert_eq!(may(&key(None, Some(&[]), None)), "  ");
        assert_eq!(may(&key(user(), None, None)), "lc l ");
        assert_eq!(may(&key(user(), Some(&["a"]), Some(&reads))), "l  ");
        assert!(superuser(key(None, None, None)).is_ok());
        for limited in [key(None, Some(&["a"]), None), key(None, None, Some(&Action::ALL)), key(user(), None, None)] {
            assert_eq!(superuser(&limited).expect_err("limited").kind(), Kind::Forbidden);
        }
    }

    #[test]
    fn callers_differ_by_their_principals_and_tell_no_secret() {
        let callers = [
            Caller::Anonymous,
            Caller::Superuser,
            Caller::Account(Arc::new(account(1, false))),
            Caller::Account(Arc::new(account(2, false))),
            key(None, None, None),
        ];
        let principals: std::collections::BTreeSet<String> = callers.iter().map(Caller::principal).collect();
        assert_eq!(principals.len(), callers.len());
        assert_eq!(format!("{:?}", account(1, false)), "1/r");
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
