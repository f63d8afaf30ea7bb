//! What the core guarantees: decisions by tables, deletions with all they take along, random histories that must be
//! the same by every way to build them. Each random run prints its seed.

mod decide;
mod deletes;
mod fixture;
mod histories;
mod schema;
