//! Aggregates: a request resolved against one view (`resolve`), its sources scanned on the pool's threads (`run`) or asked of
//! other servers (`remote`), merged and told (`answer`).
//!
//! Invariant: every source is asked under its caller's own guard: the list rule decides which records are met, before
//! anything else is asked of them; what a caller may not see has no name in a key, a value or a condition.

mod answer;
mod remote;
mod resolve;
mod run;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::core::Published;
use crate::error::{Error, Result};
use crate::id::Position;
use crate::limits;
use crate::model::aggregate::{Aggregation, Table};
use crate::service::cache::{Answer, Cache, Found, Looked, Origin, Question};
use crate::service::import::busy;
use crate::service::lists::Kept;
use crate::service::places::Places;
use crate::service::scan_pool::Hands;
use crate::service::{Asker, Service};
pub use remote::HOPS;
pub(super) use remote::Remotes;
use resolve::Resolved;
use run::{Caller, Done, Ended, Run, too_late};

/// What an aggregate of this server's own work comes to, as JSON: carried out on the thread that calls, and on those of the
/// pool that have nothing to do. `ends` cuts it short.
///
/// # Errors
/// As [`Service::aggregate`].
pub(super) fn summed(
    lists: &Arc<Kept>,
    asker: &Asker,
    request: Arc<Aggregation>,
    view: Arc<Published>,
    (hands, places): (Hands, &Places),
    ends: Arc<AtomicBool>,
) -> Result<Vec<u8>> {
    let place = places.take().ok_or_else(|| busy("aggregates", limits::AGGREGATES_MAX))?;
    let resolved = Resolved::new(lists, asker, &request, view)?;
    let (_waiting, over) = Caller::new();
    let (told, outcome) = oneshot::channel();
    let deadline = Instant::now() + request.timeout;
    Run::start(resolved, request, deadline, hands, (over, ends), (told, place));
    let lost = || Error::internal("an aggregate ended without a word");
    match outcome.blocking_recv().unwrap_or_else(|_| Err(lost()))? {
        Ended::Told(done) => Ok(done.body),
        Ended::Waiting(_) => Err(lost()),
    }
}

impl Service {
    /// What an aggregate comes to, as JSON: `{"items": […], "totalItems": N}`, with `partial` also the `errors` of sources that
    /// failed. `question` is the request as it came.
    ///
    /// # Errors
    /// `NotFound` for a collection; `Unauthenticated` or `Forbidden` by its list rule; `Invalid` for what was asked;
    /// `Unprocessable` over a bound; `Timeout`; `Unavailable` while as many are running as may, or `min` is not reached.
    pub async fn aggregate(
        &self,
        asker: &Asker,
        question: &Question<'_>,
        request: Arc<Aggregation>,
        min: Option<Position>,
    ) -> Result<Answer> {
        let view = self.view(min).await?;
        // Behind `min`: what is kept and holds now holds there.
        if let Some(answer) = self.kept(question) {
            return Ok(answer);
        }
        // What is wrong with it is said before a thread is waited for. Then the view goes: it would be old when the turn comes.
        let Resolved { view, of, needs, .. } = Resolved::new(&self.0.lists, asker, &request, view)?;
        let ticket = match self.look_further(question, of, needs.as_ref(), &view, None).await {
            Looked::Found(answer) => return Ok(answer),
            Looked::Open(ticket) => ticket,
        };
        drop(view);
        let Done { body, of, needs, at } = self.carry_out(asker, request).await?;
        let found = Found { body: body.into(), tag: None };
        if let Some(cache) = &self.0.cache {
            let place = needs.and_then(|needs| Cache::place(question, of, needs));
            cache.keep(place, at, Some(&found), ticket);
        }
        Ok(Answer { found: Some(found), origin: Origin::Store })
    }

    /// On the pool's threads, from the view that is the newest when the first of them begins. Dropped, it ends there.
    async fn carry_out(&self, asker: &Asker, request: Arc<Aggregation>) -> Result<Done> {
        let place = self.0.aggregates.take().ok_or_else(|| busy("aggregates", limits::AGGREGATES_MAX))?;
        let deadline = Instant::now() + request.timeout;
        let (_waiting, over) = Caller::new();
        let (told, outcome) = oneshot::channel();
        let (core, lists, hands) = (self.core().clone(), self.0.lists.clone(), self.0.pool.hands());
        let (asker, asked) = (asker.clone(), request.clone());
        let work = move || {
            let resolved = Resolved::new(&lists, &asker, &asked, core.view())?;
            Run::start(resolved, asked, deadline, hands, (over, Arc::default()), (told, place));
            Ok(())
        };
        let lost = || Error::internal("an aggregate ended without a word");
        let near = async {
            self.0.pool.run(deadline, work).await?;
            outcome.await.unwrap_or_else(|_| Err(lost()))
        };
        let done = async {
            let far = async { Ok(self.ask_others(&request, deadline).await) };
            let (far, ended) = tokio::try_join!(far, near)?;
            match ended {
                Ended::Told(done) => Ok(done),
                // At most as many as may run, each once.
                Ended::Waiting(run) => {
                    let told = tokio::task::spawn_blocking(move || answer::of(&run, far)).await;
                    told.unwrap_or_else(|_| Err(lost()))
                }
            }
        };
        // Those at work see the deadline for themselves; what they have is told a little later.
        let end = tokio::time::Instant::from_std(deadline + limits::AGGREGATE_GRACE);
        tokio::time::timeout_at(end, done).await.unwrap_or_else(|_| Err(too_late()))
    }

    /// The sources on other servers, all at once: what came of each, by its number.
    async fn ask_others(&self, request: &Aggregation, deadline: Instant) -> Vec<(usize, Result<Table>)> {
        let mut asked = tokio::task::JoinSet::new();
        for (number, source) in request.sources.iter().enumerate().filter(|(_, source)| source.remote.is_some()) {
            let (service, source) = (self.clone(), source.clone());
            asked.spawn(async move { (number, service.0.remotes.ask(&source, deadline).await) });
        }
        let mut tables = Vec::new();
        while let Some(one) = asked.join_next().await {
            // One that panicked is missed where its table is looked for.
            tables.extend(one);
        }
        tables
    }
}
