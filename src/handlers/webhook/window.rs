//! What a webhook has yet to deliver of what it has read: which delivery may begin, and up to where all is done. Pure: the
//! time is handed in.
//!
//! Invariants: of one record at most one delivery is under way, the oldest; what waits to be tried again holds up those of
//! its own record and no others. What waits of one record is tried for one time together, from its first failure to its
//! next success, not each for its own. A window is never full of one record that fails while others are delivered: then
//! its oldest are given up. Nothing lies past [`Window::done_through`] that was not dealt with. What is held is
//! bounded in number and in bytes; while there is no room nothing more is read, and the log keeps it.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::handlers::letter::Letter;
use crate::id::{CollectionId, Mark, RecordId};
use crate::limits;
use crate::outbound::webhook::Message;
use crate::time::Millis;

/// Whose deliveries keep their order.
pub(super) type Lane = (CollectionId, RecordId);

/// Deliveries in the order of the log.
#[derive(Debug)]
pub(super) struct Window {
    held: BTreeMap<Mark, Held>,
    lanes: HashMap<Lane, Waiting>,
    /// The first of each lane that is not under way, by when it may begin.
    due: BTreeSet<(Instant, Mark)>,
    /// What was given up and is not logged yet.
    letters: BTreeMap<Mark, (Letter, usize)>,
    /// Up to where the log was read.
    read: Mark,
    bytes: usize,
    under_way: usize,
    retrying: usize,
    /// When something was delivered last.
    delivered: Option<Instant>,
}

/// Those of one record.
#[derive(Debug, Default)]
struct Waiting {
    /// In order; the first may be under way.
    order: VecDeque<Mark>,
    bytes: usize,
    /// When one of them was first tried since the last was delivered.
    since: Option<Instant>,
}

impl Waiting {
    fn is_past_its_share(&self) -> bool {
        self.order.len() > limits::HANDLER_LANE_MAX || self.bytes > limits::HANDLER_LANE_BYTES
    }
}

#[derive(Debug)]
struct Held {
    message: Arc<Message>,
    lane: Lane,
    /// The change before it: up to there all may be done.
    before: Mark,
    failed: u32,
    is_under_way: bool,
}

impl Window {
    /// Nothing is read beyond `read`.
    pub(super) fn new(read: Mark) -> Window {
        Window {
            held: BTreeMap::new(),
            lanes: HashMap::new(),
            due: BTreeSet::new(),
            letters: BTreeMap::new(),
            read,
            bytes: 0,
            under_way: 0,
            retrying: 0,
            delivered: None,
        }
    }

    /// Up to where the log was read.
    pub(super) fn read(&self) -> Mark {
        self.read
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.held.len() + self.letters.len() < limits::HANDLER_WINDOW_MAX && self.bytes < limits::HANDLER_WINDOW_BYTES
    }

    /// How many wait or are under way, how many of them after a failure, and how many are under way.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.held.len(), self.retrying, self.under_way)
    }

    /// When the change happened that has waited longest.
    pub(super) fn oldest(&self) -> Option<Millis> {
        self.held.values().next().map(|held| held.message.time)
    }

    /// A change that nothing is sent for was read.
    pub(super) fn pass(&mut self, mark: Mark) {
        self.read = self.read.max(mark);
    }

    /// A change was read that `message` is sent for.
    pub(super) fn put(&mut self, mark: Mark, lane: Lane, message: Arc<Message>, now: Instant) {
        self.bytes += message.body.len();
        let waiting = self.lanes.entry(lane.clone()).or_default();
        if waiting.order.is_empty() {
            self.due.insert((now, mark));
        }
        waiting.order.push_back(mark);
        waiting.bytes += message.body.len();
        self.held.insert(mark, Held { message, lane, before: self.read, failed: 0, is_under_way: false });
        self.read = mark;
    }

    /// A change was read that can't be sent at all: it is given up at once.
    pub(super) fn refuse(&mut self, mark: Mark, letter: Letter) {
        let bytes = letter.bytes();
        self.bytes += bytes;
        self.letters.insert(mark, (letter, bytes));
        self.read = mark;
    }

    /// One that may begin; it is under way from here.
    pub(super) fn begin(&mut self, now: Instant) -> Option<(Mark, Arc<Message>)> {
        let (at, mark) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        let held = self.held.get_mut(&mark)?;
        held.is_under_way = true;
        if let Some(waiting) = self.lanes.get_mut(&held.lane) {
            waiting.since.get_or_insert(now);
        }
        self.under_way += 1;
        Some((mark, held.message.clone()))
    }

    /// When the next one may begin.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// One that was under way is delivered.
    pub(super) fn done(&mut self, mark: Mark, now: Instant) {
        self.under_way -= 1;
        self.delivered = Some(now);
        let lane = self.held.get(&mark).map(|held| &held.lane);
        if let Some(waiting) = lane.and_then(|lane| self.lanes.get_mut(lane)) {
            waiting.since = None;
        }
        self.remove(mark, now);
    }

    /// One that was under way has failed: how often by now, and for how long its record has been tried in vain.
    pub(super) fn failed(&mut self, mark: Mark, now: Instant) -> (u32, Duration) {
        self.under_way -= 1;
        let Some(held) = self.held.get_mut(&mark) else { return (0, Duration::ZERO) };
        self.retrying += usize::from(held.failed == 0);
        held.failed += 1;
        held.is_under_way = false;
        let since = self.lanes.get(&held.lane).and_then(|waiting| waiting.since);
        (held.failed, since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)))
    }

    /// It is tried again then.
    pub(super) fn again(&mut self, mark: Mark, at: Instant) {
        self.due.insert((at, mark));
    }

    /// It is tried no more; the next of its record may begin.
    pub(super) fn give_up(&mut self, mark: Mark, letter: Letter, now: Instant) {
        let bytes = letter.bytes();
        self.bytes += bytes;
        self.letters.insert(mark, (letter, bytes));
        self.remove(mark, now);
    }

    /// Where there is no room: records that failed already when the last delivery began, so by themselves, keep no more than
    /// their share; older ones of theirs are given up. How many.
    pub(super) fn make_room(&mut self, now: Instant) -> usize {
        let Some(delivered) = self.delivered.filter(|_| !self.has_room()) else { return 0 };
        // What was delivered sooner may have begun before a receiver went down.
        let longest = Duration::from_secs(limits::HANDLER_TIMEOUT_SECONDS_MAX);
        let fails_alone = |waiting: &Waiting| waiting.since.is_some_and(|since| since + longest < delivered);
        let over = self.lanes.iter().filter(|(_, waiting)| fails_alone(waiting) && waiting.is_past_its_share());
        let over: Vec<Lane> = over.map(|(lane, _)| lane.clone()).collect();
        let mut given_up = 0;
        for lane in over {
            while let Some(waiting) = self.lanes.get(&lane).filter(|waiting| waiting.is_past_its_share()) {
                let Some((mark, held)) = waiting.order.front().and_then(|mark| self.held.get_key_value(mark)) else {
                    break;
                };
                // What is under way ends soon.
                if held.is_under_way {
                    break;
                }
                let (mark, why) = (*mark, "as many changes of its record wait as may");
                let letter = Letter::undelivered(mark, &held.message, held.failed, why);
                self.due.retain(|(_, due)| *due != mark);
                self.give_up(mark, letter, now);
                given_up += 1;
            }
        }
        given_up
    }

    fn remove(&mut self, mark: Mark, now: Instant) {
        let Some(held) = self.held.remove(&mark) else { return };
        self.bytes -= held.message.body.len();
        self.retrying -= usize::from(held.failed > 0);
        let Some(waiting) = self.lanes.get_mut(&held.lane) else { return };
        waiting.order.pop_front();
        waiting.bytes -= held.message.body.len();
        match waiting.order.front() {
            Some(next) => {
                self.due.insert((now, *next));
            }
            None => {
                self.lanes.remove(&held.lane);
            }
        }
    }

    /// Up to where all was delivered, passed by or given up.
    pub(super) fn done_through(&self) -> Mark {
        self.held.values().next().map_or(self.read, |held| held.before)
    }

    /// What was given up to there and is to be logged with the cursor: so many as fit into one entry, and up to where the
    /// cursor goes with them.
    pub(super) fn letters(&self, through: Mark) -> (Mark, Vec<&Letter>) {
        let mut letters = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        for (mark, (letter, size)) in self.letters.range(..=through) {
            bytes += size;
            let full = letters.len() >= limits::HANDLER_WRITES_MAX || bytes > limits::HANDLER_WINDOW_BYTES;
            if let (true, Some(last)) = (full, last) {
                return (last, letters);
            }
            letters.push(letter);
            last = Some(*mark);
        }
        (through, letters)
    }

    /// What was given up to there is logged.
    pub(super) fn forget_letters(&mut self, through: Mark) {
        while let Some(first) = self.letters.first_entry().filter(|first| *first.key() <= through) {
            let (_, bytes) = first.remove();
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::Rng;
    use crate::id::{Position, Seq};

    fn mark(seq: u64) -> Mark {
        Mark::from(Position { seq: Seq(seq), ..Position::default() })
    }

    fn message(number: u64) -> Message {
        Message { id: format!("msg_{number}"), body: bytes::Bytes::from_static(b"{}"), time: Millis(number as i64) }
    }

    fn lane(record: u64) -> Lane {
        (CollectionId(1), RecordId::new(&format!("r{record}")).unwrap())
    }

    fn put(window: &mut Window, seq: u64, record: u64, now: Instant) {
        window.put(mark(seq), lane(record), Arc::new(message(seq)), now);
    }

    fn begin(window: &mut Window, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| window.begin(now)).map(|(mark, _)| mark.position.seq.0).collect()
    }

    #[test]
    fn what_is_tried_again_holds_up_its_own_record_alone() {
        let now = Instant::now();
        let mut window = Window::new(mark(10));
        for (seq, record) in [(11, 1), (12, 2), (14, 1), (15, 3)] {
            put(&mut window, seq, record, now);
        }
        window.pass(mark(20));
        assert_eq!(begin(&mut window, now), [11, 12, 15]);
        window.done(mark(12), now);
        window.done(mark(15), now);
        assert_eq!(window.failed(mark(11), now).0, 1);
        let later = now + Duration::from_secs(1);
        window.again(mark(11), later);
        assert_eq!((begin(&mut window, now), window.done_through()), (vec![], mark(10)));
        assert_eq!((window.counts(), window.next_at()), ((2, 1, 0), Some(later)));
        assert_eq!(begin(&mut window, later), [11]);
        window.done(mark(11), later);
        assert_eq!(window.done_through(), mark(12), "14 is still to come");
        assert_eq!(begin(&mut window, later), [14]);
        window.done(mark(14), later);
        assert_eq!((window.done_through(), window.counts()), (mark(20), (0, 0, 0)));
    }

    #[test]
    fn what_is_given_up_is_logged_when_the_cursor_passes_it() {
        let now = Instant::now();
        let mut window = Window::new(mark(0));
        put(&mut window, 1, 1, now);
        put(&mut window, 2, 2, now);
        put(&mut window, 3, 2, now);
        assert_eq!(begin(&mut window, now), [1, 2]);
        window.failed(mark(2), now);
        window.give_up(mark(2), Letter::for_tests("two"), now);
        let through = window.done_through();
        assert_eq!((through, window.letters(through).1.len()), (mark(0), 0), "1 is not done");
        assert_eq!(begin(&mut window, now), [3]);
        window.done(mark(1), now);
        window.done(mark(3), now);
        let through = window.done_through();
        let (to, letters) = window.letters(through);
        assert_eq!((to, letters.len(), &*letters[0].error), (mark(3), 1, "two"));
        window.forget_letters(to);
        assert_eq!((window.letters(through).1.len(), window.bytes), (0, 0));
    }

    #[test]
    fn there_is_room_again_when_something_is_done() {
        let now = Instant::now();
        let mut window = Window::new(mark(0));
        let mut seq = 0;
        while window.has_room() {
            seq += 1;
            put(&mut window, seq, seq, now);
        }
        assert_eq!(seq as usize, limits::HANDLER_WINDOW_MAX);
        assert_eq!(begin(&mut window, now).len(), limits::HANDLER_WINDOW_MAX);
        window.done(mark(500), now);
        assert!(window.has_room());
        assert_eq!(window.done_through(), mark(0));
    }

    #[test]
    fn what_waits_of_one_record_is_tried_for_one_time_together() {
        let now = Instant::now();
        let hour = Duration::from_secs(3_600);
        let mut window = Window::new(mark(0));
        for seq in 1..=4 {
            put(&mut window, seq, 1, now);
        }
        assert_eq!(begin(&mut window, now), [1]);
        assert_eq!(window.failed(mark(1), now + hour), (1, hour));
        window.give_up(mark(1), Letter::for_tests("one"), now + hour);
        assert_eq!(begin(&mut window, now + hour), [2]);
        assert_eq!(window.failed(mark(2), now + 2 * hour), (1, 2 * hour), "its time is its record's");
        window.again(mark(2), now + 2 * hour);
        assert_eq!(begin(&mut window, now + 2 * hour), [2]);
        window.done(mark(2), now + 2 * hour);
        assert_eq!(begin(&mut window, now + 2 * hour), [3]);
        assert_eq!(window.failed(mark(3), now + 3 * hour), (1, hour), "one was delivered between");
    }

    #[test]
    fn a_record_that_fails_by_itself_does_not_fill_the_window() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut window = Window::new(mark(0));
        let last = limits::HANDLER_WINDOW_MAX as u64;
        put(&mut window, 1, 1, now);
        put(&mut window, 2, 2, now);
        assert_eq!(begin(&mut window, now), [1, 2]);
        window.failed(mark(1), later(1));
        window.again(mark(1), later(9));
        for seq in 3..=last {
            put(&mut window, seq, 1, now);
        }
        assert!(!window.has_room());
        assert_eq!(window.make_room(later(2)), 0, "nothing at all is delivered: all of them wait for the receiver");
        window.done(mark(2), later(20));
        put(&mut window, last + 1, 3, later(20));
        let given_up = window.make_room(later(20));
        assert_eq!(given_up, limits::HANDLER_WINDOW_MAX - 1 - limits::HANDLER_LANE_MAX);
        let through = window.done_through();
        assert_eq!(through, mark(given_up as u64 + 1), "the oldest, and 2");
        while !window.letters.is_empty() {
            let (to, _) = window.letters(through);
            window.forget_letters(to);
        }
        assert!(window.has_room());
        assert_eq!(begin(&mut window, later(20)), [given_up as u64 + 2, last + 1]);
        assert_eq!(window.make_room(later(20)), 0);
    }

    /// Against a list of all that was read: the cursor never passes what is not dealt with, and records keep their order.
    #[test]
    fn a_random_course_passes_nothing_by_and_keeps_each_records_order() {
        let seed = 11;
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let mut now = Instant::now();
        let mut window = Window::new(mark(0));
        // Of each change: its record if something is sent for it, and whether that is over.
        let mut read: Vec<(Option<u64>, bool)> = Vec::new();
        let mut under_way: Vec<u64> = Vec::new();
        for _ in 0..20_000 {
            now += Duration::from_millis(rng.below(50));
            match rng.below(4) {
                0 => {
                    let seq = read.len() as u64 + 1;
                    let record = (rng.below(3) > 0).then(|| rng.below(20));
                    match record {
                        Some(record) if window.has_room() => put(&mut window, seq, record, now),
                        Some(_) => continue,
                        None => window.pass(mark(seq)),
                    }
                    read.push((record, record.is_none()));
                }
                1 => {
                    if let Some((mark, _)) = window.begin(now) {
                        let seq = mark.position.seq.0;
                        let record = read[seq as usize - 1].0;
                        let earlier = &read[..seq as usize - 1];
                        assert!(earlier.iter().all(|(other, over)| *other != record || *over), "{seq} out of order");
                        under_way.push(seq);
                    }
                }
                _ if under_way.is_empty() => {}
                2 => {
                    let seq = under_way.swap_remove(rng.below(under_way.len() as u64) as usize);
                    window.done(mark(seq), now);
                    read[seq as usize - 1].1 = true;
                }
                _ => {
                    let seq = under_way.swap_remove(rng.below(under_way.len() as u64) as usize);
                    let (failed, _) = window.failed(mark(seq), now);
                    if failed > 2 {
                        window.give_up(mark(seq), Letter::for_tests("x"), now);
                        read[seq as usize - 1].1 = true;
                    } else {
                        window.again(mark(seq), now + Duration::from_millis(100));
                    }
                }
            }
            let over = read.iter().take_while(|(_, over)| *over).count() as u64;
            assert_eq!(window.done_through(), mark(over));
            window.forget_letters(mark(over));
        }
        assert!(read.len() > 1_000, "{}", read.len());
    }
}
