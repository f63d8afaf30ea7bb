//! The real binary as a process: killed under load, stopped under load, damaged while it stands still.
//!
//! It is a black box here: HTTP, the command line, its exit codes and the bytes of its files are all that is used.

#[path = "../support/mod.rs"]
mod support;

mod check;
mod damage;
mod exits;
mod load;
mod server;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use check::World;
use server::{Folder, Server};
use support::results;
use support::rng::Rng;

/// Time that clients have before the end comes.
const LOAD_MS: u64 = 350;
/// Time that a server which is killed while it starts has for it.
const START_MS: u64 = 60;

fn cycles() -> u64 {
    match std::env::var("MILLPOND_CYCLES") {
        Ok(cycles) => cycles.parse().expect("MILLPOND_CYCLES is a number"),
        Err(_) => results::size(20, 200, 1_000),
    }
}

/// F3. Between two kills: now and then a kill while it recovers, now and then a clean stop under load.
#[test]
fn an_answered_write_survives_kill_9_and_a_refused_one_is_never_there() {
    let (started, seed, wanted) = (Instant::now(), results::seed(), cycles());
    let mut rng = Rng::new(seed);
    let folder = Folder::new("kill");
    let mut world = World::default();
    let (mut kills, mut cycle, mut writes) = (0, 0, Vec::new());
    let mut server = Server::start(&folder);
    world.define(&mut server.client());
    let (mut faults, mut done, mut in_doubt) = (Vec::new(), 0, 0);
    while kills < wanted && faults.is_empty() {
        cycle += 1;
        let clean = rng.once_in(8);
        let time = Duration::from_millis(rng.below(LOAD_MS) + 1);
        let mut history = load::run(server.address, cycle, &mut rng, &AtomicBool::new(false), || {
            std::thread::sleep(time);
            if clean {
                server.stop();
            } else {
                server.kill();
                kills += 1;
            }
        });
        faults.append(&mut history.faults);
        done += history.writes.iter().filter(|write| write.seq().is_some()).count();
        in_doubt += history.writes.iter().filter(|write| write.is_in_doubt()).count();
        writes.append(&mut history.writes);
        if clean {
            // Whoever was not answered by a server that stops was not heard either.
            writes.retain(|write| !write.is_in_doubt());
        }
        while rng.once_in(4) {
            Server::kill_while_starting(&folder, Duration::from_millis(rng.below(START_MS)));
        }
        server = Server::start(&folder);
        faults.append(&mut world.check(&folder, &mut server.client(), std::mem::take(&mut writes)));
    }
    let said = server.said();
    server.stop();
    let check = server::check(&folder);
    if check.code != Some(0) || !check.stdout.contains("all is well") {
        faults.push(format!("millpond check: {check:#?}"));
    }
    println!("{kills} kills, {done} writes answered as done, {in_doubt} in doubt");
    results::record("F3", kills, u64::from(!faults.is_empty()), started, seed);
    let tail = &said[said.len().saturating_sub(4_000)..];
    assert!(faults.is_empty(), "seed {seed}, cycle {cycle}:\n{}\nit said:\n{tail}", faults.join("\n"));
}
