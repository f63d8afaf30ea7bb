//! A request against one view: its collections found, its guards made, its expressions compiled.

use std::sync::Arc;

use crate::core::Published;
use crate::error::{Error, Result};
use crate::id::CollectionId;
use crate::model::aggregate::{Aggregation, Column, Grouping, Selection, Source as Asked};
use crate::model::expr::{Input, Scope};
use crate::model::guard::Action;
use crate::model::predicate::{Predicate, Request};
use crate::model::query::Query;
use crate::service::cache::Needs;
use crate::service::lists::Kept;
use crate::service::records::find;
use crate::service::{Asker, access};
use crate::state::aggregate::Source;

/// A request, resolved against one view.
pub(super) struct Resolved {
    pub(super) view: Arc<Published>,
    /// In the order of the request; none for those on other servers.
    pub(super) sources: Vec<Option<Source>>,
    pub(super) selection: Selection,
    /// Of which collection the answer is kept.
    pub(super) of: CollectionId,
    /// What the answer depends on; `None` where it is not to be kept.
    pub(super) needs: Option<Needs>,
    request: Arc<Request>,
}

impl Resolved {
    /// # Errors
    /// As [`crate::service::Service::aggregate`], as far as no record is read.
    pub(super) fn new(kept: &Kept, asker: &Asker, request: &Aggregation, view: Arc<Published>) -> Result<Resolved> {
        if request.explain {
            access::superuser(&asker.caller)?;
        }
        let mut needs = Needs::new();
        let mut sources = Vec::with_capacity(request.sources.len());
        for asked in &request.sources {
            // A request of one source names it by its path.
            let path = match request.sources.len() {
                1 if &*asked.name == "source" => String::new(),
                _ => format!("sources.{}.", asked.name),
            };
            sources.push(match &asked.remote {
                None => Some(source(kept, asker, &view, asked, &path, &mut needs)?),
                Some(_) => {
                    // It would be the server that speaks there, from where it stands.
                    access::superuser(&asker.caller)?;
                    None
                }
            });
        }
        let columns = sources.iter().zip(&request.sources).map(|(source, asked)| match source {
            Some(source) => source.grouping.finishing.columns().to_vec(),
            None => asked.columns(),
        });
        let columns: Vec<Vec<Column>> = columns.collect();
        let columns: Vec<&[Column]> = columns.iter().map(|columns| &columns[..]).collect();
        let selection = Selection::new(request, &columns)?;
        selection.programs().for_each(|program| needs.uses(program.uses()));
        let of = sources.iter().flatten().next().map_or(CollectionId(0), |source| source.query.collection);
        // Nobody tells when something on another server changes.
        let needs = (!request.explain && sources.iter().all(Option::is_some)).then_some(needs);
        Ok(Resolved { view, sources, selection, of, needs, request: asker.request.clone() })
    }

    /// What expressions over groups are evaluated with.
    pub(super) fn input(&self) -> Input<'_> {
        self.request.input(self.request.now, &[])
    }
}

fn source(
    kept: &Kept,
    asker: &Asker,
    view: &Published,
    asked: &Asked,
    path: &str,
    needs: &mut Needs,
) -> Result<Source> {
    let schema = &view.schema;
    let collection = find(schema, &asked.collection)?;
    let guard = asker.guard(schema, collection)?;
    guard.allow(Action::List)?;
    let sees_hidden = guard.is_superuser();
    let at = |error: Error| match path {
        "" => error,
        path => {
            let message = error.message().to_owned();
            error.fault(format!("{path}filter"), "bad_filter", message)
        }
    };
    let filter = match &asked.filter {
        Some(text) => kept.filter(asker, schema, collection, text, sees_hidden).map_err(at)?,
        None => None,
    };
    let scope = Scope { schema, collection, callers: schema.callers(), sees_hidden };
    let grouping = Grouping::new(scope, asked, path)?;
    let mut reached: Vec<CollectionId> =
        grouping.programs().flat_map(|program| program.uses().collections.iter().copied()).collect();
    reached.sort_unstable();
    reached.dedup();
    let sight = access::sight(asker, schema, &reached)?;
    needs.collection(collection.id);
    needs.rule(&guard, Action::List);
    filter.iter().for_each(|filter| needs.predicate(filter));
    for program in grouping.programs() {
        let predicate = Predicate { program: program.clone(), request: asker.request.clone(), sight: sight.clone() };
        needs.predicate(&predicate);
    }
    grouping.finishing.programs().for_each(|program| needs.uses(program.uses()));
    let query = Query::of_all(collection, guard, filter);
    let (schema, request) = (schema.clone(), asker.request.clone());
    Ok(Source { query, schema, grouping, request, sight })
}
