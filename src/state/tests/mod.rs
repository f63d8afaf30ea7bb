//! What the state guarantees, under random histories against plain models. Each run prints its seed.

mod backend;
mod effects;
mod fixture;
mod golden;
mod key;
mod lists;
mod pages;
mod query;
mod snapshot;
mod stack;
