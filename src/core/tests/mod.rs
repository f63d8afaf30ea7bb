//! What the core guarantees: decisions by tables, deletions with all they take along, random histories that must be
//! the same by every way to build them, and the threads under load, faults and stops. Each random run prints its seed.

mod access;
mod adjusts;
mod auth;
mod builds;
mod consumer;
mod decide;
mod deletes;
mod expressions;
mod faults;
mod fixture;
mod gate;
mod handlers;
mod histories;
mod indexes;
mod jobs;
mod loads;
mod once;
mod replicas;
mod reshapes;
mod schema;
mod slots;
mod threads;
mod truncate;
mod upkeep;
