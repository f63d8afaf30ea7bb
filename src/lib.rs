//! Millpond: a self-hosted backend in one binary. This page is the map.
//!
//! # The one idea
//!
//! The write log is the database. A write is finished when its entry is on disk in the log; tables, indexes, counts and
//! everything to come are derived from the log, have a position in it, and can be rebuilt from it.
//!
//! ```text
//!  HTTP ─▶ access ─▶ service ─▶ pipeline ─▶ [writer: decide ─▶ append + sync ─▶ publish view, position] ─▶ answer
//!          (guard)              validate     rules on rows     the log             │                        (look:
//!                               sanitize     adjust, enrich                        ▼                        fields,
//!                               parse        check           fresh layer ─▶ frozen layer ─▶ [applier: redb] expand,
//!                               transform                                                                   embed)
//!                               400          401 403 404 409 412 413 422
//! ```
//!
//! Rules, filters, checks, computed fields and defaults are one language (`model::expr`), compiled once for each schema.
//! A list is planned from its rule and its filter together (`state::query`) and read from one view. Imports and exports
//! (`service::import`, `service::export`) are streams of such writes and rows, bounded in memory at any length.
//!
//! An aggregate ([`model::aggregate`], [`state::aggregate`]) is planned as a list is and scanned in pieces that merge to the
//! same whatever they were; all its sources are read from one view.
//!
//! What changes flows on by the log alone: a consumer ([`core::Consumer`]) reads it at its own pace. [`live`] is one, for all
//! who listen: each change is judged once for those who see the same, and a listener that is slow goes on from the log.
//! [`handlers`] are others, one for each record of `_handlers`: they write what is derived, send webhooks, drop what is kept.
//! [`jobs`] deal with all records of a collection, in chunks, when they are due.
//! [`search`] is one more, for the words of all collections that are searched.
//!
//! A follower ([`replica`]) logs the frames of its primary as they are, and from there all is the same: the same effects,
//! layers, positions and consumers. It passes writes on.
//!
//! Reads take the newest published view, a stack of layers over redb, and never wait for the writer.
//!
//! # The floors
//!
//! A file imports from lower floors and from its own folder only; `tests/tidy.rs` proves it.
//!
//! | floor | modules | what lives there |
//! |---|---|---|
//! | 0 words | [`error`] [`id`] [`limits`] [`time`] [`config`] [`disk`] [`meter`] | kinds of errors, newtypes, every bound, the clock, counters, the file seam with its simulator |
//! | 1 model | [`model`] | values, schema, changes, commands, guards, queries, the input pipeline: pure |
//! | 2 engines | [`log`] [`state`] [`journal`] [`outbound`] | frames and segments · layers, indexes, the redb base, queries, aggregates, snapshots · lines about requests · connections to others, a Redis among them; mutually unknown |
//! | 3 core | [`core`] | decide, the writer, the applier, the keeper of the log, replay, the published view, consumers |
//! | 4 flows | [`live`] [`handlers`] [`jobs`] [`replica`] [`backup`] [`search`] | the bus of changes: topics, their rings, each listener's place · what is done with each change by the records of `_handlers` · what is done with many records by those of `_jobs` · the same log on another server · snapshots in a folder or a bucket, the log in files, and folders made of them · the indexes of words, kept with the log |
//! | 5 service | [`service`] | what a caller may do, the bytes of the answer, the cache of those, in memory and shared |
//! | 6 edge | [`http`] [`admin`] | the route table, one match from error kind to status, the accept loop, TLS with certificates from files or by ACME · the admin page's files |
//! | 7 top | [`server`] [`cli`] | builds bottom-up, owns every thread, stops top-down; the command line |
//!
//! Floor 4 is what consumes the log, and what goes on by itself.
//!
//! # Invariants
//!
//! - Answered, published and applied only after the log's sync; a failed sync ends the process.
//! - Only [`core`]'s writer appends to the log, only its applier (and replay, before it runs) writes to redb.
//! - Decide judges, effects obey: nothing under either reads a clock, a random source or the environment, so replay
//!   gives every server the same bytes.
//! - The log is trimmed only up to where the tables' last durable commit and a synced snapshot both reach.
//! - What the next start makes of a folder (of a snapshot, of its log's older part) is noted by the writer, which logs nothing
//!   behind that: what was answered never goes with a folder unnoticed.
//! - Only `service::access` makes a guard for a caller, and there is no query and no command without one.
//! - A write with an idempotency key and the answer that is kept for it are one entry: both are there, or neither.
//! - What is kept of an answer is used only while the change slots of all that it depends on stand ([`core::Slots`]). What
//!   servers share of them (`service::cache`) is found by a key that names all that the answer follows from by its content,
//!   as the asker's own view has it; a fault of that store is no request's.
//! - Long works (building an index, removing what is no longer read) are entries of bounded pieces like any other: what is
//!   left to do is found in the state, so a restart goes on, and clients' writes come between.
//! - Hashes of passwords, token keys and hashes of API keys are in no answer and have no name in an expression; they and
//!   all else that is random are made before the append (`service::auth`).
//! - A stream is told of a change only what its caller may see by the rules, the definitions and the caller's own record of
//!   the moment it is sent (`service::listen`); nothing waits for a listener.
//! - A handler's place in the log moves by entries of the log: what a `collection` handler writes is in the same one, so it
//!   is written once; what a webhook sends is sent at least once, with the same id each time. No write waits for a handler.
//! - What a run of a job writes and how far it has come are one entry, on condition of the run's version: each record is dealt
//!   with once, whoever goes on with the run. A job has one run at once, and a time of its schedule one run, ever.
//! - A server logs what it decided, or what its primary logged, never both at one time; which of them is the writer's alone
//!   to change, and each change of the primary begins an epoch. What is answered is a state that the primary had.
//! - A search index is derived: it goes with its position in one commit, and is filled anew from the state wherever it is
//!   not right. What it finds is asked again of a view, and how much it counts follows from the record alone.
//! - Every channel and every queue is bounded, in items and in bytes; [`limits`] says what happens when one is full.
//! - Stored bytes are verified when read: frames by checksum and chain, the tables by a checksum for each block.
//! - A caller's expressions see of other records only those that the caller may view; a hidden field is an unknown one.
//!
//! # Where to start reading
//!
//! [`model::change`] is what the log holds, `core::decide` how a command becomes one, `state::effects` what it does to
//! the tables, `core::writer` the order of it all, [`model::expr`] the language, `state::query::plan` how an index is chosen,
//! and `http::routes` the whole surface on one screen.

#![forbid(unsafe_code)]

pub mod admin;
pub mod backup;
pub mod cli;
pub mod config;
pub mod core;
pub mod disk;
pub mod error;
pub mod handlers;
pub mod http;
pub mod id;
pub mod jobs;
pub mod journal;
pub mod limits;
pub mod live;
pub mod log;
pub mod meter;
pub mod model;
pub mod outbound;
pub mod replica;
pub mod search;
pub mod server;
pub mod service;
pub mod state;
pub mod time;
