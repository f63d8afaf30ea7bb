//! A guard: what a caller may do with one collection, as a value that travels with every query and every command.
//!
//! Invariant: only `service::access` makes one for a caller (`tests/tidy.rs` looks for the constructors), and there is
//! no query and no command without one. `decide` and `state::query` obey it, so no path around the rules exists.

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Seq};
use crate::model::predicate::{Predicate, Request};
use crate::model::schema::Schema;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See records in a list.
    List,
    /// See one record.
    View,
    /// Make one.
    Create,
    /// Change one.
    Update,
    /// Remove one.
    Delete,
}

impl Action {
    /// In the order of the variants.
    pub const ALL: [Action; 5] = [Action::List, Action::View, Action::Create, Action::Update, Action::Delete];

    /// As keys and questions name it.
    pub fn name(self) -> &'static str {
        match self {
            Action::List => "list",
            Action::View => "view",
            Action::Create => "create",
            Action::Update => "update",
            Action::Delete => "delete",
        }
    }
}

/// Which rows an action is allowed on.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// None: the rule is null and the caller no superuser.
    None,
    /// All of them.
    All,
    /// Those of which a rule holds.
    Where(Box<Predicate>),
}

/// What one caller may do with one collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    known: bool,
    superuser: bool,
    rows: [Rows; 5],
    request: Option<Arc<Request>>,
    proof: Option<Box<str>>,
    /// Of what its rules look at, the versions that they were compiled by.
    by: Vec<(CollectionId, Seq)>,
}

impl Guard {
    /// For `service::access` alone: `known` says whether the caller showed a valid token, `rows` holds what each
    /// [`Action`] is allowed on, in the order of its variants.
    pub fn for_caller(known: bool, rows: [Rows; 5]) -> Guard {
        Guard { known, superuser: false, rows, request: None, proof: None, by: Vec::new() }
    }

    /// For `service::access` alone: a superuser, who may do all and sees hidden fields.
    pub fn for_superuser() -> Guard {
        let rows = [const { Rows::All }; 5];
        Guard { known: true, superuser: true, rows, request: None, proof: None, by: Vec::new() }
    }

    /// The server's own work, such as a cascade or a reclaim: never made for a caller.
    pub fn for_server() -> Guard {
        Guard::for_superuser()
    }

    /// The same, made for this request: what defaults and computed fields may ask for.
    #[must_use]
    pub fn of_request(mut self, request: Arc<Request>) -> Guard {
        self.request = Some(request);
        self
    }

    /// The same, whose rules were compiled by this schema.
    #[must_use]
    pub fn compiled_by(mut self, schema: &Schema) -> Guard {
        for rows in &self.rows {
            let Rows::Where(rule) = rows else { continue };
            for collection in rule.program.uses().collections.iter().filter_map(|id| schema.get(*id)) {
                if self.by.iter().all(|(known, _)| *known != collection.id) {
                    self.by.push((collection.id, collection.version));
                }
            }
        }
        self
    }

    /// Whether its rules mean by a schema what they meant by the one they were compiled by: a field elsewhere whose type
    /// changed has another id since.
    pub fn stands_by(&self, schema: &Schema) -> bool {
        self.by.iter().all(|(id, version)| schema.get(*id).is_some_and(|now| now.version == *version))
    }

    /// The same, of a caller whose key is for these actions only.
    #[must_use]
    pub fn narrowed(mut self, allowed: impl Fn(Action) -> bool) -> Guard {
        for action in Action::ALL.into_iter().filter(|action| !allowed(*action)) {
            self.rows[action as usize] = Rows::None;
        }
        self
    }

    /// The same, of a caller that knows the password of which this is the stored hash.
    #[must_use]
    pub fn proving(mut self, hash: Box<str>) -> Guard {
        self.proof = Some(hash);
        self
    }

    /// The hash of the password that the caller showed to know.
    pub fn proof(&self) -> Option<&str> {
        self.proof.as_deref()
    }

    /// The request that it was made for; none of the server's own work.
    pub fn request(&self) -> Option<&Request> {
        self.request.as_deref()
    }

    /// Whether hidden fields are seen.
    pub fn is_superuser(&self) -> bool {
        self.superuser
    }

    /// The rows that `action` is allowed on.
    pub fn rows(&self, action: Action) -> &Rows {
        &self.rows[action as usize]
    }

    /// # Errors
    /// `Forbidden`, or `Unauthenticated` without a token, when the action is allowed on no row at all. A rule is still to
    /// be asked of the row: `state::permits`.
    pub fn allow(&self, action: Action) -> Result<()> {
        match self.rows(action) {
            Rows::All | Rows::Where(_) => Ok(()),
            Rows::None => Err(self.refusal()),
        }
    }

    /// What a caller is told who may not: `Forbidden`, or `Unauthenticated` without a token.
    pub fn refusal(&self) -> Error {
        if self.known {
            Error::new(Kind::Forbidden, "this caller may not do that here")
        } else {
            Error::new(Kind::Unauthenticated, "this needs a token")
        }
    }
}
