//! Streams: who listens to what, and what is sent next. Knows nothing of how it is sent.
//!
//! A [`Listener`] is one stream: a caller (`service::standing`), what it listens to (`target`), how it sees that (`lens`), and its
//! place in what changes ([`crate::live::Tail`]). [`Listener::next`] gives what is to be sent, as long as the client takes
//! it; nothing waits for a listener that is not asked.
//!
//! Invariants: before anything is given, the caller and the definitions are looked at again, so what is sent holds when it
//! is sent; when the caller's token or key is over, so is the stream.

pub mod changes;
mod lens;
mod registry;
mod snapshot;
mod target;

pub use registry::Form;
pub(super) use registry::Streams;
pub use snapshot::Snapshot;
pub use target::Subscription;

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Duration, sleep};

use crate::core::{Ended, Keeps, Published, Slot};
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Generation, Mark, Position, Seq};
use crate::limits;
use crate::live::{Bell, Event, Gathered, Lens, Lost, Meters, Read, Reading, SeatId, Step, Tail, Tell};
use crate::service::access::Caller;
use crate::service::records::find;
use crate::service::standing::Standing;
use crate::service::{Asker, Service};
use lens::Outlook;
use registry::Entered;

/// The least pause before a token's end is looked at again.
const END_PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest: a clock may be set.
const END_PAUSE_MAX: Duration = Duration::from_secs(60);

/// One stream.
#[derive(Debug)]
pub struct Listener {
    service: Service,
    bell: Bell,
    state: Mutex<State>,
    entered: Entered,
}

#[derive(Debug)]
struct State {
    standing: Standing,
    seated: Vec<Seated>,
    tail: Tail,
    /// The number of the next seat.
    next: SeatId,
    /// The view that everything was seated by; nothing is, if there is none.
    by: Option<Seq>,
    /// How often all was seated again: what was made before is of another caller or definition.
    turn: u64,
    /// What is to be told before all else.
    notices: Vec<Notice>,
    /// Why it is over.
    over: Option<Error>,
}

/// Something that is listened to.
#[derive(Clone, Debug)]
struct Seated {
    id: SeatId,
    subscription: Arc<Subscription>,
    collection: CollectionId,
    shown: Arc<str>,
}

/// What a client is told that is no change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What is listened to; `None` for all of it.
    pub subscription: Option<Arc<str>>,
    /// A word for it.
    pub reason: &'static str,
    /// Behind this everything is told again, if anything.
    pub mark: Mark,
    /// Whether that was the last of what is listened to there.
    pub last: bool,
}

/// What is to be sent next.
#[derive(Debug)]
pub enum Next {
    /// These, in order, each with the name of what it was listened to by.
    Events(Vec<(Arc<str>, Arc<Event>)>),
    /// What the client has is not what there is any more: it has to read anew.
    Reset(Notice),
    /// Nothing more: the server stops, or the caller's token is over.
    Ended(Option<Error>),
}

/// What something is to be listened to from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// What comes after this moment; of what takes another's place, what that was not given yet.
    Now,
    /// What came behind a mark.
    Behind(Mark),
}

/// What becomes of what was listened to before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Among {
    /// It stays, but for what has the same name: the new goes on where that was.
    Beside,
    /// The same, but the new begins anew.
    Anew,
    /// It goes, but for what has the same name, which stays as it is.
    Alone,
}

impl Service {
    /// A stream of this caller that listens to nothing yet. `credential` is what it showed; `address` the one that it
    /// counts for, if for any.
    ///
    /// # Errors
    /// `Unavailable` or `RateLimited` with code `too_many_streams`.
    pub fn listener(
        &self,
        form: Form,
        caller: Caller,
        credential: Option<&[u8]>,
        address: Option<IpAddr>,
    ) -> Result<Arc<Listener>> {
        let entered = self.0.streams.enter(form, &caller, address)?;
        let bell: Bell = Arc::new(Notify::new());
        let standing = Standing::new(self, caller, credential.map(Arc::from));
        let tail = Tail::new(self.0.bus.clone(), bell.clone());
        let state =
            State { standing, seated: Vec::new(), tail, next: 0, by: None, turn: 0, notices: Vec::new(), over: None };
        let listener = Listener { service: self.clone(), bell, state: Mutex::new(state), entered };
        listener.watch(&listener.state.lock().standing);
        Ok(Arc::new(listener))
    }

    /// Waits until nothing is read for streams any more, or for a while.
    pub async fn streams_ended(&self) {
        self.0.streams.snapshots_ended().await;
    }

    /// Streams that are open, of each form.
    pub fn streams(&self) -> [usize; Form::ALL.len()] {
        self.0.streams.count()
    }
}

impl Listener {
    /// Who listens.
    pub fn caller(&self) -> Caller {
        self.state.lock().standing.caller().clone()
    }

    /// Has the stream be this caller's from now on. A stream that is somebody's stays theirs.
    ///
    /// # Errors
    /// `Forbidden` for another than the stream's own; `RateLimited` as at its beginning.
    pub fn bind(&self, caller: Caller, credential: Option<&[u8]>) -> Result<()> {
        let mut state = self.state.lock();
        // Who was known only by where it sits may show who it is.
        if state.standing.is_shown() && state.standing.caller().principal() != caller.principal() {
            let message = "the stream is another caller's";
            return Err(Error::new(Kind::Forbidden, message).code("other_caller"));
        }
        self.entered.become_of(&caller)?;
        self.unwatch(&state.standing);
        state.standing = Standing::new(&self.service, caller, credential.map(Arc::from));
        self.watch(&state.standing);
        state.by = None;
        drop(state);
        self.bell.notify_one();
        Ok(())
    }

    /// Listens to something more, under that name; in the place of what was listened to by that name, if something was.
    ///
    /// # Errors
    /// `NotFound`, `Unauthenticated`, `Forbidden`, `Invalid` as a list would; `Gone` for a place that is not kept. Then
    /// nothing is changed.
    pub fn subscribe(&self, subscription: Subscription, begin: Begin) -> Result<()> {
        self.seat_all(vec![subscription], begin, Among::Beside).map(drop)
    }

    /// Listens to these and to nothing else. What was listened to before goes on from where it is.
    ///
    /// # Errors
    /// As [`Listener::subscribe`].
    pub fn subscribe_to_all(&self, subscriptions: Vec<Subscription>, begin: Begin) -> Result<()> {
        self.seat_all(subscriptions, begin, Among::Alone).map(drop)
    }

    /// Listens to something more, as [`Listener::subscribe`], and gives the records as they are at this moment.
    ///
    /// # Errors
    /// As [`Listener::subscribe`]; `Unavailable` where too many snapshots are being read.
    pub async fn subscribe_with_snapshot(&self, subscriptions: Vec<Subscription>) -> Result<Snapshot> {
        let held = self.entered.snapshot_turn().await?;
        // From here on nothing is waited for: whoever awaits this has it before the first event behind it.
        let (view, outlooks, turn) = self.seat_all(subscriptions, Begin::Now, Among::Anew)?;
        Ok(Snapshot::begin(&self.service, view, outlooks, turn, held))
    }

    /// Whether a snapshot may still be given: the caller may go on, and neither it nor a definition is another since.
    ///
    /// # Errors
    /// `Unauthenticated` when the caller's time is over.
    pub fn may_give(&self, snapshot: &Snapshot) -> Result<bool> {
        let mut state = self.state.lock();
        self.refresh(&mut state)?;
        Ok(state.turn == snapshot.turn)
    }

    /// Listens to nothing of that name any more; whether something was.
    pub fn unsubscribe(&self, name: &str) -> bool {
        let mut state = self.state.lock();
        let gone: Vec<SeatId> =
            state.seated.iter().filter(|seated| &*seated.shown == name).map(|seated| seated.id).collect();
        state.seated.retain(|seated| &*seated.shown != name);
        gone.iter().for_each(|id| state.tail.unseat(*id));
        !gone.is_empty()
    }

    fn seat_all(
        &self,
        subscriptions: Vec<Subscription>,
        begin: Begin,
        among: Among,
    ) -> Result<(Arc<Published>, Vec<Arc<Outlook>>, u64)> {
        let mut state = self.state.lock();
        // What is there and what comes is judged by one caller, that of now.
        self.refresh(&mut state)?;
        let only = among == Among::Alone;
        let wanted = |seated: &Seated| subscriptions.iter().any(|wanted| *wanted.name == *seated.shown);
        let kept = if only { 0 } else { state.seated.iter().filter(|seated| !wanted(seated)).count() };
        if kept + subscriptions.len() > limits::SUBSCRIPTIONS_MAX {
            let message = format!("a stream listens to at most {} things", limits::SUBSCRIPTIONS_MAX);
            return Err(Error::invalid(message).code("too_many_subscriptions"));
        }
        let subscriptions: Vec<_> = subscriptions.into_iter().map(Arc::new).collect();
        let view = self.service.core().view();
        let mut outlooks = Vec::with_capacity(subscriptions.len());
        for subscription in &subscriptions {
            let collection = find(&view.schema, &subscription.collection)?.id;
            outlooks.push(Arc::new(self.outlook(&view, &state.standing, subscription, collection, true)?));
        }
        let at = self.place(&view, begin)?;
        let wanted = |seated: &Seated| subscriptions.iter().any(|wanted| *wanted.name == *seated.shown);
        let (stay, go): (Vec<Seated>, Vec<Seated>) =
            std::mem::take(&mut state.seated).into_iter().partition(|seated| wanted(seated) == only);
        state.seated = stay;
        let left = |new: &Subscription, of| go.iter().find(|old| *old.shown == *new.name && old.collection == of);
        for (subscription, outlook) in subscriptions.iter().zip(&outlooks) {
            if only && state.seated.iter().any(|seated| *seated.shown == *subscription.name) {
                continue;
            }
            let id = state.next;
            state.next += 1;
            let generation = (begin == Begin::Now).then(|| outlook.collection().generation);
            let before = left(subscription, outlook.collection().id).and_then(|old| state.tail.place(old.id));
            let (at, generation) = match before {
                Some(before) if among == Among::Beside && begin == Begin::Now => before,
                _ => (at, generation),
            };
            self.seat(&mut state, id, outlook, at, generation);
            let (collection, shown) = (outlook.collection().id, Arc::from(&*subscription.name));
            state.seated.push(Seated { id, subscription: subscription.clone(), collection, shown });
        }
        go.iter().for_each(|seated| state.tail.unseat(seated.id));
        // Of all seats the oldest.
        state.by = Some(state.by.map_or(view.position.seq, |by| by.min(view.position.seq)));
        let turn = state.turn;
        drop(state);
        self.bell.notify_one();
        Ok((view, outlooks, turn))
    }

    /// Where to begin.
    fn place(&self, view: &Published, begin: Begin) -> Result<Mark> {
        let Begin::Behind(mark) = begin else { return Ok(view.position.into()) };
        let position = Position { seq: mark.whole(), ..mark.position };
        match self.service.core().consumer(position, Keeps::Nothing) {
            Ok(_) => Ok(mark),
            Err(Ended::Trimmed(_) | Ended::Reset) => Err(gone()),
            Err(Ended::Stopping) => Err(Error::new(Kind::Unavailable, "the server is stopping").code("stopping")),
            Err(Ended::Failed(error)) => Err(error),
        }
    }

    fn outlook(
        &self,
        view: &Published,
        standing: &Standing,
        subscription: &Arc<Subscription>,
        collection: CollectionId,
        strict: bool,
    ) -> Result<Outlook> {
        let asker: Asker = standing.asker(&self.service, &subscription.query);
        let (lists, clock) = (&self.service.0.lists, self.service.core().clock());
        Outlook::new(lists, clock, view, &asker, subscription, collection, strict)
    }

    fn seat(&self, state: &mut State, id: SeatId, outlook: &Arc<Outlook>, at: Mark, generation: Option<Generation>) {
        // One that is like no other has a name that no other has.
        let own = || format!("{}/{id}", self.entered.number()).into();
        let name = outlook.name().unwrap_or_else(own);
        let lens: Arc<dyn Lens> = outlook.clone();
        state.tail.seat(id, outlook.of(), name, lens, at, generation);
    }

    /// Looks again at who listens, and at the definitions, if there is reason to.
    fn refresh(&self, state: &mut State) -> Result<()> {
        let other = state.standing.renew(&self.service)?;
        let moved = self.service.core().slots().changed(Slot::DEFINITIONS);
        if !other && state.by.is_some_and(|by| moved <= by) {
            return Ok(());
        }
        let view = self.service.core().view();
        state.turn += 1;
        self.seat_again(state, &view)?;
        state.by = Some(view.position.seq);
        Ok(())
    }

    /// Seats everything by a view.
    fn seat_again(&self, state: &mut State, view: &Published) -> Result<()> {
        for seated in state.seated.clone() {
            let Seated { id, subscription, collection, shown } = seated;
            match self.outlook(view, &state.standing, &subscription, collection, false) {
                Ok(outlook) => self.seat(state, id, &Arc::new(outlook), view.position.into(), None),
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => {
                    let reason = if error.kind() == Kind::NotFound { "dropped" } else { "changed" };
                    state.tail.unseat(id);
                    state.seated.retain(|other| other.id != id);
                    // What is listened to beside it may not have come that far.
                    let mark = state.tail.at().unwrap_or(view.position.into());
                    state.notices.push(Notice { subscription: Some(shown), reason, mark, last: true });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Has the client told that what came before is not known any more.
    pub fn tell_reset(&self) {
        let mut state = self.state.lock();
        let mark = state.tail.at().unwrap_or_else(|| self.service.core().view().position.into());
        state.notices.push(Notice { subscription: None, reason: "log_trimmed", mark, last: false });
        drop(state);
        self.bell.notify_one();
    }

    /// What is to be sent next; waits until there is something. Nothing is lost when it is dropped.
    pub async fn next(&self) -> Next {
        loop {
            if let Some(next) = self.next_within(None).await {
                return next;
            }
        }
    }

    /// What is to be sent next of what lies up to a mark; `None` when that was all.
    pub async fn next_up_to(&self, mark: Mark) -> Option<Next> {
        self.next_within(Some(mark)).await
    }

    async fn next_within(&self, target: Option<Mark>) -> Option<Next> {
        loop {
            let (gathered, ends) = {
                let mut state = self.state.lock();
                if let Some(next) = self.first(&mut state) {
                    return Some(next);
                }
                (state.tail.gather(limits::LIVE_WRITE_BYTES), state.standing.expires())
            };
            let gathered = match (gathered, target) {
                (Gathered::Events(events), Some(mark)) if events.is_empty() => {
                    let state = self.state.lock();
                    match state.tail.at() {
                        Some(at) if at < mark => Gathered::Behind(state.tail.read_ahead()),
                        _ => return None,
                    }
                }
                (gathered, _) => gathered,
            };
            let lost = match gathered {
                Gathered::Events(events) if events.is_empty() => {
                    self.wait(ends).await;
                    continue;
                }
                Gathered::Events(events) => return Some(Next::Events(self.named(&self.state.lock(), events))),
                Gathered::Stale => Lost::Stale,
                Gathered::Behind(reading) => {
                    match self.read(reading).await {
                        Ok(read) => {
                            let mut state = self.state.lock();
                            // It took its time: who listens may be another by now, and what was read is then read again.
                            if let Some(next) = self.first(&mut state) {
                                return Some(next);
                            }
                            let events = state.tail.adopt(read);
                            if events.is_empty() {
                                continue;
                            }
                            return Some(Next::Events(self.named(&state, events)));
                        }
                        Err(lost) => lost,
                    }
                }
            };
            match lost {
                Lost::Stale => self.state.lock().by = None,
                Lost::Gone => return Some(Next::Reset(self.skip())),
                Lost::Stopping => return Some(Next::Ended(None)),
                Lost::Failed(error) => {
                    tracing::error!(%error, "a stream ends");
                    return Some(Next::Ended(Some(error)));
                }
            }
        }
    }

    /// Reads the next piece of the log, in as many turns as that takes.
    async fn read(&self, mut reading: Reading) -> std::result::Result<Read, Lost> {
        let turns = self.state.lock().tail.turns();
        loop {
            self.meters().read.add(1);
            // It is never closed.
            let permit = turns.clone().acquire_owned().await;
            let step = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                reading.step()
            });
            match step.await {
                Ok(Ok(Step::Done(read))) => return Ok(read),
                Ok(Ok(Step::Begun(begun))) => reading = begun,
                Ok(Err(lost)) => return Err(lost),
                Err(error) => {
                    let error = Error::internal("a stream's changes could not be judged").source(error);
                    return Err(Lost::Failed(error));
                }
            }
        }
    }

    /// What comes before all changes.
    fn first(&self, state: &mut State) -> Option<Next> {
        if state.over.is_none()
            && let Err(error) = self.refresh(state)
        {
            state.over = Some(error);
        }
        if state.over.is_some() {
            self.meters().ended.add(1);
            return Some(Next::Ended(state.over.take()));
        }
        if state.notices.is_empty() {
            return None;
        }
        self.meters().reset.add(1);
        Some(Next::Reset(state.notices.remove(0)))
    }

    /// Goes on behind the newest entry.
    fn skip(&self) -> Notice {
        let mut state = self.state.lock();
        let view = self.service.core().view();
        self.meters().reset.add(1);
        state.tail.skip_to(&view);
        Notice { subscription: None, reason: "log_trimmed", mark: view.position.into(), last: false }
    }

    fn named(&self, state: &State, events: crate::live::Events) -> Vec<(Arc<str>, Arc<Event>)> {
        self.meters().told.add(events.len() as u64);
        let emptied = events.iter().filter(|(_, event)| matches!(event.what, Tell::Emptied)).count();
        if emptied > 0 {
            self.meters().reset.add(emptied as u64);
        }
        let name = |id| state.seated.iter().find(|seated| seated.id == id).map(|seated| seated.shown.clone());
        events.into_iter().filter_map(|(id, event)| Some((name(id)?, event))).collect()
    }

    fn meters(&self) -> &Meters {
        self.service.0.bus.meters()
    }

    /// Until the bell rings or the token may be over.
    async fn wait(&self, ends: Option<crate::time::Millis>) {
        let Some(ends) = ends else { return self.bell.notified().await };
        let now = self.service.core().clock().now();
        let left = Duration::from_millis(u64::try_from(ends.0.saturating_sub(now.0)).unwrap_or(0));
        tokio::select! {
            () = self.bell.notified() => {}
            () = sleep(left.clamp(END_PAUSE_MIN, END_PAUSE_MAX)) => {}
        }
    }

    /// The place behind which nothing has been given yet: where a client goes on that comes again.
    pub fn at(&self) -> Mark {
        let state = self.state.lock();
        state.tail.at().unwrap_or_else(|| self.service.core().view().position.into())
    }

    fn watch(&self, standing: &Standing) {
        for (collection, id) in standing.records(&self.service) {
            self.service.0.bus.watch(collection, id, &self.bell);
        }
    }

    fn unwatch(&self, standing: &Standing) {
        for (collection, id) in standing.records(&self.service) {
            self.service.0.bus.unwatch(collection, &id, &self.bell);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.unwatch(&self.state.lock().standing);
    }
}

fn gone() -> Error {
    let message = "the log no longer holds what came behind that position: read anew, and go on from there";
    Error::new(Kind::Gone, message).code("log_trimmed")
}
