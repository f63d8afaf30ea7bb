//! That nothing kept is used after what it was made from has changed, in every order in which a writer, a reader who
//! keeps and one who looks can take their steps; and that every kind of change is noted before it can be seen.

use super::fixture::{Stepped, id};
use crate::core::{Slot, Slots};
use crate::id::{CollectionId, Seq};
use crate::model::change::{Change, Entry};
use crate::model::command::Command;
use crate::model::value::Fields;

const ITEMS: CollectionId = CollectionId(1);

fn creation(record: &str) -> Entry {
    let (generation, after) = (crate::id::Generation(0), Fields::new());
    Entry { changes: vec![Change::Created { collection: ITEMS, generation, id: id(record), after }] }
}

/// What the three share, besides the slots. A value is the number of the write that left it.
#[derive(Clone, Copy, Default)]
struct World {
    published: u64,
    answered: u64,
    /// What the reader took from a view.
    read: u64,
    kept: Option<u64>,
    /// What had been answered, and the newest view, when the look began.
    asked: (u64, u64),
    looked_at: Option<u64>,
}

/// A world's steps, by three who know nothing of each other.
struct Steps<'s> {
    slots: &'s Slots,
    entry: Entry,
    needs: [Slot; 2],
    /// The Seq of the state before.
    base: u64,
    publish_first: bool,
}

impl Steps<'_> {
    /// Twice: notes what changes, publishes, answers.
    fn write(&self, world: &mut World, step: usize) {
        let write = step as u64 / 3 + 1;
        match (step % 3, self.publish_first) {
            (0, false) | (1, true) => self.slots.note(&self.entry, Seq(self.base + write)),
            (0, true) | (1, false) => world.published = write,
            _ => world.answered = write,
        }
    }

    /// Reads a view, keeps what it read.
    fn read(&self, world: &mut World, step: usize) {
        match step {
            0 => world.read = world.published,
            _ => world.kept = Some(world.read),
        }
    }

    /// Begins to look, takes what is kept, looks whether it holds. Whether all is well.
    fn look(&self, world: &mut World, step: usize) -> bool {
        match step {
            0 => world.asked = (world.answered, world.published),
            1 => world.looked_at = world.kept,
            _ => {
                let Some(kept) = world.looked_at else { return true };
                let made = Seq(self.base + kept);
                let (answered, view) = world.asked;
                let stale = self.slots.hold(&self.needs, made) && kept < answered.max(view);
                // For one given view: that, and nothing else.
                let foreign = self.slots.hold(&self.needs, made.min(Seq(self.base + view))) && kept != view;
                return !stale && !foreign;
            }
        }
        true
    }
}

const WRITES: usize = 6;
const READS: usize = 2;
const LOOKS: usize = 3;

/// Plays every order of the steps; how many there are, and how many end badly.
fn play_all(publish_first: bool) -> (usize, usize) {
    let slots = Slots::default();
    let needs = [Slot::DEFINITIONS, Slot::of_record(ITEMS, &id("r"))];
    let (mut played, mut bad) = (0, 0);
    let mut order = Vec::new();
    each_order(&mut order, [WRITES, READS, LOOKS], &mut |order| {
        let base = 10 * (played as u64 + 1);
        slots.note(&creation("r"), Seq(base));
        let steps = Steps { slots: &slots, entry: creation("r"), needs, base, publish_first };
        let (mut world, mut done, mut well) = (World::default(), [0; 3], true);
        for who in order {
            let step = done[*who];
            done[*who] += 1;
            match who {
                0 => steps.write(&mut world, step),
                1 => steps.read(&mut world, step),
                _ => well &= steps.look(&mut world, step),
            }
        }
        played += 1;
        bad += usize::from(!well);
    });
    (played, bad)
}

fn each_order(order: &mut Vec<usize>, left: [usize; 3], play: &mut impl FnMut(&[usize])) {
    if left == [0; 3] {
        return play(order);
    }
    for who in (0..3).filter(|who| left[*who] > 0) {
        let mut left = left;
        left[who] -= 1;
        order.push(who);
        each_order(order, left, play);
        order.pop();
    }
}

#[test]
fn nothing_kept_outlives_a_change_in_any_order_of_steps() {
    // 11! / (6! 2! 3!)
    assert_eq!(play_all(false), (4_620, 0));
    let (_, bad) = play_all(true);
    assert!(bad > 0, "a writer that publishes before it notes is found out");
}

#[test]
fn every_change_is_noted_where_it_is_depended_on() {
    const A: &str = r#"{"name":"a","fields":[{"name":"t","type":"text"}]}"#;
    const B: &str = r#"{"name":"b","fields":[{"name":"a","type":"relation","collection":"a","onDelete":"cascade"},
        {"name":"n","type":"relation","collection":"a","onDelete":"setNull"}]}"#;
    let mut core = Stepped::with(&[A, B]);
    let slots = core.writer.slots();
    let (a, b) = (core.collection("a").id, core.collection("b").id);
    let records = [(a, "1"), (a, "2"), (b, "1"), (b, "2")].map(|(of, record)| Slot::of_record(of, &id(record)));
    let all: Vec<Slot> =
        [Slot::DEFINITIONS, Slot::of_collection(a), Slot::of_collection(b)].into_iter().chain(records).collect();
    let changed =
        |at: Seq| all.iter().map(|slot| if slots.changed(*slot) == at { 'x' } else { '-' }).collect::<String>();
    let mut seen = Vec::new();
    let mut step = |core: &mut Stepped, what: &'static str| {
        let at = core.view().position.seq;
        seen.push((what, changed(at)));
    };
    core.fill(&[("a", r#"{"id":"1","t":"x"}"#)]);
    step(&mut core, "create");
    core.fill(&[("a", r#"{"id":"2","t":"x"}"#)]);
    core.fill(&[("b", r#"{"id":"1","a":"1"}"#)]);
    core.fill(&[("b", r#"{"id":"2","n":"1"}"#)]);
    let put = core.put("a", "2", r#"{"t":"y"}"#, None, false);
    core.write(&[("a", put)]).unwrap();
    step(&mut core, "put");
    let delete = crate::model::command::Op::Delete { id: id("1"), if_match: None };
    core.write(&[("a", delete)]).unwrap();
    step(&mut core, "delete with a cascade and a null");
    core.submit(Command::Truncate(a)).unwrap();
    step(&mut core, "truncate");
    core.submit(Command::Drop(b)).unwrap();
    step(&mut core, "drop");
    core.define(r#"{"name":"c","fields":[]}"#);
    step(&mut core, "define");
    let expected = [
        ("create", "-x-x---"),
        ("put", "-x--x--"),
        ("delete with a cascade and a null", "-xxx-xx"),
        ("truncate", "x------"),
        ("drop", "x------"),
        ("define", "x------"),
    ];
    let seen: Vec<(&str, &str)> = seen.iter().map(|(what, changed)| (*what, changed.as_str())).collect();
    assert_eq!(seen, expected);
}
