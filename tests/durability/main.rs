//! What must never go wrong, shown on a simulated disk: power losses at random (F1) and at every point (F2), faults of
//! the disk (F5), flipped bits in the tables (F6). Each test prints its seed and writes a line of results.

mod cores;
mod faults;
mod flips;
mod heal;
mod model;
mod points;
mod power;
mod reclaim;
mod rig;
mod shapes;
mod soak;
#[path = "../support/mod.rs"]
mod support;

use support::results;
