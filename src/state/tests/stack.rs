//! A stack of layers is one ordered map: whatever was frozen and flushed between, it reads as a plain map does.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::state::tests::fixture::{Dice, History, disk, open, rounds, things};
use crate::state::{Applied, BaseView, Key, Layer, Overlay, Read, Stack};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn read_all(read: &dyn Read, from: &[u8], to: &[u8], backwards: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let scan = read.scan(from, to, backwards).unwrap();
    scan.map(|pair| pair.map(|pair| (pair.key().to_vec(), pair.value().to_vec())).unwrap()).collect()
}

/// Few keys, of differing lengths, some a prefix of another; all above the local ones.
fn key(dice: &mut Dice) -> Vec<u8> {
    let mut key = vec![1 + dice.roll(3) as u8];
    (0..dice.roll(4)).for_each(|_| key.push(*dice.pick(&[0, 1, 0xFE, 0xFF])));
    key
}

fn compare(read: &dyn Read, model: &Model, dice: &mut Dice) {
    for _ in 0..20 {
        let key = key(dice);
        assert_eq!(read.get(&key).unwrap().map(|value| value.to_vec()), model.get(&key).cloned(), "{key:?}");
    }
    let (from, to) = (key(dice), key(dice));
    let expected: Vec<_> = if from < to {
        model.range(from.clone()..to.clone()).map(|(key, value)| (key.clone(), value.clone())).collect()
    } else {
        Vec::new()
    };
    assert_eq!(read_all(read, &from, &to, false), expected);
    let turned: Vec<_> = expected.into_iter().rev().collect();
    assert_eq!(read_all(read, &from, &to, true), turned);
    let some = dice.roll(4) as usize;
    let few: Vec<_> =
        read.scan(&from, &to, true).unwrap().take(some).map(|pair| pair.unwrap().key().to_vec()).collect();
    assert_eq!(few, turned.iter().take(some).map(|(key, _)| key.clone()).collect::<Vec<_>>());
}

#[test]
fn a_stack_reads_as_a_plain_map() {
    for seed in 0..20 {
        let mut dice = Dice::new("stack", seed);
        let mut base = open(&disk(seed)).base;
        let mut stack = Stack::new(base.view());
        let mut model = Model::new();
        for _ in 0..300 {
            let change = |dice: &mut Dice| (key(dice), (dice.roll(3) > 0).then(|| vec![dice.roll(256) as u8; 3]));
            let (at, value) = change(&mut dice);
            stack.fresh.put(Key::from(&at[..]), value.clone().map(Bytes::from));
            match value {
                Some(value) => model.insert(at, value),
                None => model.remove(&at),
            };
            match dice.roll(20) {
                0 if stack.frozen.is_none() => stack.frozen = Some(std::mem::take(&mut stack.fresh).into()),
                1 => {
                    if let Some(frozen) = stack.frozen.take() {
                        base.apply(&frozen, Applied::default()).unwrap();
                        stack.base = base.view();
                    }
                }
                2 => compare(&stack, &model, &mut dice),
                3 => {
                    let mut overlay = Overlay::new(&stack);
                    let mut over = model.clone();
                    for _ in 0..10 {
                        let (at, value) = change(&mut dice);
                        overlay.put(Key::from(&at[..]), value.clone().map(Bytes::from));
                        match value {
                            Some(value) => over.insert(at, value),
                            None => over.remove(&at),
                        };
                    }
                    compare(&overlay, &over, &mut dice);
                    compare(&stack, &model, &mut dice);
                }
                _ => {}
            }
        }
        compare(&stack, &model, &mut dice);
    }
}

#[test]
fn a_layer_counts_its_bytes() {
    let mut dice = Dice::new("bytes", 3);
    let mut layer = Layer::new();
    for _ in 0..2_000 {
        let value = (dice.roll(3) > 0).then(|| Bytes::from(vec![0; dice.roll(9) as usize]));
        layer.put(Key::from(&key(&mut dice)[..]), value);
    }
    let counted: usize = layer.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum();
    assert_eq!(layer.bytes(), counted);
    let copy = layer.clone();
    layer.put(Key::from(&[9][..]), None);
    assert_eq!((copy.len() + 1, copy.bytes() + 1), (layer.len(), layer.bytes()));
}

#[test]
fn a_published_stack_stays_as_it_was_while_work_goes_on() {
    let mut dice = Dice::new("views", 5);
    let mut history = History::new(1);
    let mut views = Vec::new();
    for step in 0..200 {
        history.step(&mut dice);
        history.churn(&mut dice);
        if step % 25 == 0 {
            let view = history.stack.clone();
            let all = read_all(&view, &[1], &[0xFF], false);
            views.push((view, all));
        }
    }
    for (view, all) in views {
        assert_eq!(read_all(&view, &[1], &[0xFF], false), all);
    }
}

/// A row lookup may be answered from memory: by each view what it would have read itself, whoever asked before it.
#[test]
fn every_view_of_the_base_has_the_rows_of_its_own_moment() {
    for seed in 0..rounds(20, 200) {
        let mut dice = Dice::new("views", seed);
        let mut base = open(&disk(seed)).base;
        let mut rows: BTreeMap<Vec<u8>, Bytes> = BTreeMap::new();
        let mut views: Vec<(Arc<BaseView>, BTreeMap<Vec<u8>, Bytes>)> = vec![(base.view(), rows.clone())];
        let collection = things(1, 1);
        let row = |dice: &mut Dice| crate::state::key::row(collection.id, collection.generation, &dice.id());
        for step in 0..60u32 {
            let mut layer = Layer::new();
            for _ in 0..dice.roll(5) {
                let key = row(&mut dice);
                let value = (dice.roll(4) > 0).then(|| Bytes::from(step.to_be_bytes().to_vec()));
                match &value {
                    Some(value) => rows.insert(key.clone(), value.clone()),
                    None => rows.remove(&key),
                };
                layer.put(Key::from(&key[..]), value);
            }
            base.apply(&layer, Applied::default()).unwrap();
            views.push((base.view(), rows.clone()));
            if views.len() > 4 {
                views.remove(dice.roll(4) as usize);
            }
            for _ in 0..40 {
                let key = row(&mut dice);
                let (view, expected) = dice.pick(&views);
                assert_eq!(view.get(&key).unwrap().as_ref(), expected.get(&key), "seed {seed}, step {step}");
            }
        }
    }
}
