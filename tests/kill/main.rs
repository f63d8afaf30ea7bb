//! The real binary as a process: killed under load, stopped under load, damaged while it stands still.
//!
//! It is a black box here: HTTP, the command line, its exit codes and the bytes of its files are all that is used.

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod backups;
mod bench;
mod check;
mod damage;
mod demo;
mod exits;
mod followers;
mod handlers;
mod jobs;
mod load;
mod search;
mod server;
mod soak;
mod streams;
mod tls;
mod transfers;
mod works;

use std::time::{Duration, Instant};

use check::World;
use load::{Load, Write};
use server::{Folder, Server};
use support::results;
use support::rng::Rng;

/// Kills after which a new folder is begun, from its very creation.
const FOLDER_KILLS: u64 = 50;
/// Time that clients have before the end comes.
const LOAD_MS: u64 = 350;
/// Time that a server which is killed while it starts has for it.
const START_MS: u64 = 60;

/// Kills in new folders, one after the other, until there were so many, or something is wrong, in words. How many there
/// are to be is by the size of the run, or `MILLPOND_CYCLES`.
fn kill_in_folders(
    row: &str,
    sizes: [u64; 3],
    of_folder: u64,
    mut one_folder: impl FnMut(&mut Rng, u64) -> Vec<String>,
) {
    let (started, seed) = (Instant::now(), results::seed());
    let wanted = match std::env::var("MILLPOND_CYCLES") {
        Ok(cycles) => cycles.parse().expect("MILLPOND_CYCLES is a number"),
        Err(_) => results::size(sizes[0], sizes[1], sizes[2]),
    };
    let mut rng = Rng::new(seed);
    let (mut killed, mut faults) = (0, Vec::new());
    while killed < wanted && faults.is_empty() {
        let most = of_folder.min(wanted - killed);
        faults = one_folder(&mut rng, most);
        killed += most;
    }
    results::record(row, killed, u64::from(!faults.is_empty()), started, seed);
    assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
}

/// F3. Between two kills: now and then a kill while it recovers, now and then a clean stop under load.
#[test]
fn an_answered_write_survives_kill_9_and_a_refused_one_is_never_there() {
    let mut sum = Sum::default();
    kill_in_folders("F3", [20, 200, 1_000], FOLDER_KILLS, |rng, most| {
        let faults = one_folder(rng, most, &mut sum);
        println!("{sum:?}");
        faults
    });
}

/// What a run came to.
#[derive(Debug, Default)]
struct Sum {
    kills: u64,
    cycles: u64,
    done: usize,
    refused: usize,
    in_doubt: usize,
    /// Of those in doubt, what was asked for again with its key.
    again: usize,
}

/// A new folder, killed `kills` times; what was wrong, in words.
fn one_folder(rng: &mut Rng, kills: u64, sum: &mut Sum) -> Vec<String> {
    let folder = Folder::new("kill");
    let mut world = World::default();
    kill_starts(rng, &folder);
    let mut server = Server::start(&folder);
    world.define(&mut server.client());
    let (mut faults, mut writes, last) = (Vec::new(), Vec::new(), sum.kills + kills);
    while sum.kills < last && faults.is_empty() {
        sum.cycles += 1;
        let clean = rng.once_in(8);
        // Now and then bodies are big and time is long, so that layers freeze and checkpoints fall due.
        let heavy = rng.once_in(6);
        let time = Duration::from_millis(rng.below(if heavy { 4 * LOAD_MS } else { LOAD_MS }) + 1);
        let load = Load { cycle: sum.cycles, note_max: if heavy { load::NOTE_MAX } else { 120 } };
        let mut history = load.run(server.address, rng, || {
            std::thread::sleep(time);
            if clean {
                server.stop();
            } else {
                server.kill();
                sum.kills += 1;
            }
        });
        faults.append(&mut history.faults);
        let count = |what: fn(&Write) -> bool| history.writes.iter().filter(|write| what(write)).count();
        sum.done += count(|write| write.seq().is_some());
        sum.in_doubt += count(Write::is_in_doubt);
        sum.refused += count(|write| write.seq().is_none() && !write.is_in_doubt());
        writes.append(&mut history.writes);
        if clean {
            // Whoever was not answered by a server that stops was not heard either.
            writes.retain(|write| !write.is_in_doubt());
        }
        kill_starts(rng, &folder);
        server = Server::start(&folder);
        for write in writes.iter_mut().filter(|write| write.is_in_doubt() && write.idempotency_key.is_some()) {
            load::send_again(&mut server.client(), write, &mut faults);
            sum.again += 1;
        }
        faults.append(&mut world.check(&folder, &mut server.client(), std::mem::take(&mut writes)));
    }
    let said = server.said();
    server.stop();
    let check = server::check(&folder);
    if check.code != Some(0) || !check.stdout.contains("all is well") {
        faults.push(format!("millpond check: {check:#?}"));
    }
    if !faults.is_empty() {
        faults.push(format!("it said:\n{}", &said[said.len().saturating_sub(4_000)..]));
        folder.keep();
    }
    faults
}

fn kill_starts(rng: &mut Rng, folder: &Folder) {
    while rng.once_in(3) {
        Server::kill_while_starting(folder, Duration::from_millis(rng.below(START_MS)));
    }
}
