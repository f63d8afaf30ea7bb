//! What the simulator promises to the tests that stand on it.

use super::*;
use crate::disk::read_all;

fn file(disk: &SimDisk, name: &str) -> Arc<dyn DiskFile> {
    disk.create_dir_all(Path::new("/d")).expect("dir");
    disk.open(&Path::new("/d").join(name), Open::CreateNew).expect("create")
}

fn bytes_of(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    read_all(disk, &Path::new("/d").join(name)).ok()
}

fn synced(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = file(disk, name);
    file.write_at(0, bytes).expect("write");
    file.sync_data().expect("sync");
    disk.sync_dir(Path::new("/d")).expect("sync dir");
    file
}

#[test]
fn a_file_reads_as_a_plain_buffer_does_through_any_writes_cuts_and_syncs() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(seed);
        let file = synced(&disk, "a", b"");
        let mut plain: Vec<u8> = Vec::new();
        for _ in 0..40 {
            match rng.below(4) {
                0 => {
                    let len = rng.below(20_000) as usize;
                    file.set_len(len as u64).expect("set_len");
                    plain.resize(len, 0);
                }
                1 => file.sync_data().expect("sync"),
                _ => {
                    let (at, len) = (rng.below(16_000) as usize, rng.below(9_000) as usize);
                    let fill = if rng.chance(40) { 0 } else { rng.u64() as u8 };
                    file.write_at(at as u64, &vec![fill; len]).expect("write");
                    if len > 0 {
                        plain.resize(plain.len().max(at + len), 0);
                        plain[at..at + len].fill(fill);
                    }
                }
            }
            assert_eq!(bytes_of(&disk, "a").as_ref(), Some(&plain), "seed {seed}");
        }
        file.sync_data().expect("sync");
        assert_eq!(bytes_of(&disk.crash_with(seed, Loss::All), "a"), Some(plain), "seed {seed}");
    }
}

#[test]
fn synced_bytes_survive_and_unsynced_ones_are_kept_dropped_or_torn_in_sectors() {
    let (mut kept, mut dropped, mut torn) = (0, 0, 0);
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let file = synced(&disk, "a", &[1; 4096]);
        file.write_at(1024, &[2; 2048]).expect("write");
        let after = disk.crash(seed);
        assert!(file.write_at(0, b"late").is_err(), "an old handle works after the power loss");
        let found = bytes_of(&after, "a").expect("the name was synced");
        assert!(found[..1024].iter().chain(&found[3072..]).all(|b| *b == 1), "synced bytes changed, seed {seed}");
        let sectors: Vec<u8> = found[1024..3072].chunks(512).map(|sector| sector[0]).collect();
        assert!(found[1024..3072].chunks(512).all(|sector| sector.iter().all(|b| *b == sector[0])));
        match sectors.iter().filter(|b| **b == 2).count() {
            0 => dropped += 1,
            4 => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(kept > 20 && dropped > 20 && torn > 20, "kept {kept}, dropped {dropped}, torn {torn}");
}

#[test]
fn later_writes_may_be_found_without_earlier_ones() {
    let lone_second = (0..200).filter(|seed| {
        let disk = SimDisk::new(*seed);
        let file = synced(&disk, "a", &[0; 8192]);
        file.write_at(0, &[1; 512]).expect("write");
        file.write_at(4096, &[2; 512]).expect("write");
        let found = bytes_of(&disk.crash(*seed), "a").expect("file");
        found[0] == 0 && found[4096] == 2
    });
    assert!(lone_second.count() > 10);
}

#[test]
fn names_are_durable_only_after_a_sync_of_their_folder() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        synced(&disk, "a", b"old");
        let tmp = file(&disk, "tmp");
        tmp.write_at(0, b"new").expect("write");
        tmp.sync_data().expect("sync");
        disk.rename(Path::new("/d/tmp"), Path::new("/d/a")).expect("rename");
        assert_eq!(bytes_of(&disk, "a").as_deref(), Some(&b"new"[..]));
        match bytes_of(&disk.crash(seed), "a").as_deref() {
            Some(b"old") => old += 1,
            Some(b"new") => new += 1,
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(old > 20 && new > 20, "old {old}, new {new}");

    let disk = SimDisk::new(1);
    synced(&disk, "a", b"x");
    disk.remove(Path::new("/d/a")).expect("remove");
    file(&disk, "b");
    let image = disk.image();
    assert_eq!(image.list(Path::new("/d")).expect("list"), ["b"]);
    assert_eq!(disk.crash_with(1, Loss::All).list(Path::new("/d")).expect("list"), ["a"]);
}

#[test]
fn a_failed_sync_may_lose_writes_that_a_later_sync_does_not_bring_back() {
    let lost = (0..100).filter(|seed| {
        let disk = SimDisk::new(*seed);
        let file = synced(&disk, "a", &[1; 512]);
        file.write_at(0, &[2; 512]).expect("write");
        disk.fail_at(disk.ops() + 1, Fault::Eio, true);
        assert!(file.sync_data().is_err());
        file.sync_data().expect("the fault was for once");
        assert_eq!(bytes_of(&disk, "a").expect("file")[0], 2, "the cache still shows it");
        bytes_of(&disk.crash_with(*seed, Loss::Nothing), "a").expect("file")[0] == 1
    });
    assert!((10..90).contains(&lost.count()));
}

#[test]
fn faults_strike_once_or_for_good_and_a_full_disk_refuses_to_grow() {
    let disk = SimDisk::new(7);
    let file = synced(&disk, "a", &[1; 1000]);
    disk.fail_at(disk.ops() + 2, Fault::ShortWrite, true);
    file.write_at(0, &[2; 1000]).expect("one before");
    assert!(file.write_at(0, &[3; 1000]).is_err());
    let found = bytes_of(&disk, "a").expect("file");
    assert!(found.ends_with(&[2]), "a short write wrote all");
    file.write_at(0, &[4; 1000]).expect("one after");

    disk.set_capacity(Some(1500));
    assert_eq!(disk.free_bytes(Path::new("/d")).expect("free"), 500);
    assert_eq!(file.write_at(1000, &[5; 501]).expect_err("full").kind(), io::ErrorKind::StorageFull);
    file.write_at(0, &[5; 1000]).expect("what does not grow fits");
    disk.set_capacity(None);

    disk.fail_at(disk.ops() + 1, Fault::Enospc, false);
    file.write_at(0, &[6; 1000]).expect("needs no room");
    assert!(file.write_at(5000, &[6; 1000]).is_err());
    assert!(disk.open(Path::new("/d/new"), Open::CreateNew).is_err());
    file.sync_data().expect("needs no room");
    disk.heal();
    disk.fail_at(disk.ops() + 1, Fault::Eio, false);
    assert!(file.sync_data().is_err() && file.sync_data().is_err());
}

#[test]
fn the_power_goes_at_the_named_sync_or_operation() {
    let disk = SimDisk::new(3);
    let file = synced(&disk, "a", b"1");
    disk.freeze_at_sync(disk.syncs() + 2);
    file.write_at(0, b"2").expect("write");
    file.sync_data().expect("first");
    file.write_at(0, b"3").expect("write");
    assert!(!disk.is_frozen());
    assert!(file.sync_data().is_err() && disk.is_frozen());
    assert!(file.read_at(0, &mut [0]).is_err() && disk.list(Path::new("/d")).is_err());
    assert_eq!(bytes_of(&disk.crash_with(0, Loss::All), "a").as_deref(), Some(&b"2"[..]));

    let disk = SimDisk::new(4);
    let file = synced(&disk, "a", b"1");
    disk.freeze_at_op(disk.ops() + 1);
    assert!(file.write_at(0, b"2").is_err() && disk.is_frozen());
}

#[test]
fn a_lock_is_held_by_one_until_dropped() {
    let disk = SimDisk::new(0);
    disk.create_dir_all(Path::new("/d")).expect("dir");
    let held = disk.lock(Path::new("/d")).expect("free");
    assert_eq!(disk.clone().lock(Path::new("/d")).expect_err("held").kind(), io::ErrorKind::WouldBlock);
    let after = disk.crash(0);
    after.lock(Path::new("/d")).expect("a power loss frees it");
    drop(held);
}

#[test]
fn bits_are_flipped_and_ends_cut_on_the_medium() {
    let disk = SimDisk::new(0);
    synced(&disk, "a", &[0b100, 0, 7]);
    disk.flip_bit(Path::new("/d/a"), 2);
    disk.flip_bit(Path::new("/d/a"), 9);
    disk.truncate(Path::new("/d/a"), 2);
    assert_eq!(bytes_of(&disk.crash_with(0, Loss::All), "a").as_deref(), Some(&[0, 2][..]));
}
