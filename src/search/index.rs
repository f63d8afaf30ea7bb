//! One collection's index in a folder of its own, by tantivy: made, opened, written to, committed.
//!
//! A document is a record: its id (looked up to take it out again, and a column to read it back) and the words of each
//! searched field, as they stand and, where the field has a language, as stems. Nothing of the text itself is stored.
//! What a commit holds goes with it in its payload: `<version> <position> <settled>`, so that index and position can't
//! part. Up to `settled` the rows that it was filled from may have been newer than its position.
//!
//! Invariant: an index is only ever of one [`Key`]; files are opened only after their checksums were looked at.

use std::borrow::Cow;
use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::{
    FAST, Field as Slot, IndexRecordOption, STRING, Schema as Slots, TextFieldIndexing, TextOptions,
};
use tantivy::{IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyDocument, TantivyError, Term};
use xxhash_rust::xxh3::Xxh3;

use super::files::Files;
use super::text::{self, Analyzer};
use crate::error::{Error, Result};
use crate::id::{CollectionId, FieldId, Generation, Position, RecordId, Seq};
use crate::limits;
use crate::model::field::FieldKind;
use crate::model::schema::Collection;
use crate::model::search::Language;
use crate::model::value::Fields;

/// What an index is of: a filling of a collection, and which words of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The collection.
    pub collection: CollectionId,
    /// Its filling.
    pub generation: Generation,
    /// Of the searched fields, their languages and the rules by which words are made.
    words: u64,
}

impl Key {
    /// Of a collection; `None` where it is not searched.
    pub fn of(collection: &Collection) -> Option<Key> {
        let search = collection.search.as_ref()?;
        let mut hash = Xxh3::new();
        hash.update(&text::VERSION.to_le_bytes());
        for one in &search.fields {
            let editor = collection.field_by_id(one.field).is_some_and(|field| is_editor(&field.kind));
            hash.update(&one.field.0.to_le_bytes());
            hash.update(one.language.map_or("", Language::name).as_bytes());
            hash.update(if editor { b";e" } else { b";t" });
        }
        Some(Key { collection: collection.id, generation: collection.generation, words: hash.digest() })
    }

    /// What the names of its folders begin with.
    pub(super) fn folder(&self) -> String {
        format!("{}-{}-{:016x}-", self.collection, self.generation.0, self.words)
    }
}

fn is_editor(kind: &FieldKind) -> bool {
    matches!(kind, FieldKind::Editor { .. })
}

/// A field and where its words are.
#[derive(Clone, Debug)]
pub(super) struct Indexed {
    pub(super) field: FieldId,
    kind: FieldKind,
    /// Words as they stand.
    pub(super) plain: Slot,
    /// Stems.
    pub(super) stems: Option<(Language, Slot)>,
}

impl Indexed {
    /// The text whose words are there.
    pub(super) fn text<'f>(&self, fields: &'f Fields) -> Option<Cow<'f, str>> {
        text::text_of(&self.kind, fields.get(self.field))
    }
}

/// The name of the column of ids.
pub(super) const ID: &str = "id";

/// An open index.
pub(super) struct Index {
    pub(super) key: Key,
    pub(super) folder: PathBuf,
    pub(super) fields: Arc<[Indexed]>,
    id: Slot,
    inner: tantivy::Index,
    reader: IndexReader,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("key", &self.key).field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// What its last commit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The last entry that is in it.
    pub(super) position: Position,
    /// Up to here an entry may tell what is in it already.
    pub(super) settled: Seq,
}

const PAYLOAD: &str = "1";

impl Held {
    fn write(&self) -> String {
        format!("{PAYLOAD} {} {}", self.position, self.settled)
    }

    fn read(payload: &str) -> Option<Held> {
        let mut parts = payload.split(' ');
        let (version, position, settled) = (parts.next()?, parts.next()?, parts.next()?);
        let held = Held { position: position.parse().ok()?, settled: Seq(settled.parse().ok()?) };
        (version == PAYLOAD && parts.next().is_none()).then_some(held)
    }
}

impl Index {
    /// Makes an empty one; its folder must not be there.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn create(collection: &Collection, key: Key, folder: &Path) -> Result<Index> {
        // Words of records are their owner's alone to read.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Error::io(folder.display(), error))?;
        let (slots, _) = slots(collection);
        let inner = tantivy::Index::create(files(folder)?, slots, tantivy::IndexSettings::default()).map_err(failed)?;
        Index::over(inner, collection, key, folder)
    }

    /// Opens one that was committed, and says what it holds. All of its files are read and verified.
    ///
    /// # Errors
    /// `Damaged`, or the disk's.
    pub(super) fn open(collection: &Collection, key: Key, folder: &Path) -> Result<(Index, Held)> {
        let inner = tantivy::Index::open(files(folder)?).map_err(failed)?;
        let damaged = inner.validate_checksum().map_err(failed)?;
        if let Some(file) = damaged.iter().next() {
            return Err(Error::damaged(format!("the search index's file {} is damaged", file.display())));
        }
        let held = held(&inner)?;
        if inner.schema() != slots(collection).0 {
            return Err(Error::damaged("the search index is of other fields"));
        }
        Ok((Index::over(inner, collection, key, folder)?, held))
    }

    fn over(inner: tantivy::Index, collection: &Collection, key: Key, folder: &Path) -> Result<Index> {
        inner.tokenizers().register("plain", Analyzer::plain().into_inner());
        let (slots, fields) = slots(collection);
        for (language, _) in fields.iter().filter_map(|one| one.stems) {
            inner.tokenizers().register(&stems_name(language), Analyzer::stems(language).into_inner());
        }
        let id = slots.get_field(ID).map_err(failed)?;
        let reader = inner.reader_builder().reload_policy(ReloadPolicy::Manual).doc_store_cache_num_blocks(0);
        let reader = reader.try_into().map_err(failed)?;
        Ok(Index { key, folder: folder.to_owned(), fields: fields.into(), id, inner, reader })
    }

    /// What it holds by its files.
    ///
    /// # Errors
    /// `Damaged`, or the disk's.
    pub(super) fn held(&self) -> Result<Held> {
        held(&self.inner)
    }

    /// The last commit, to be read.
    ///
    /// # Errors
    /// `Damaged`, or the disk's.
    pub(super) fn searcher(&self) -> Result<Searcher> {
        self.reader.reload().map_err(failed)?;
        Ok(self.reader.searcher())
    }

    /// Begins to write, with one thread that indexes, one that merges, and so much memory.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn writer(&self, bytes: usize) -> Result<Writer> {
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(bytes)
            .build();
        let inner: IndexWriter = self.inner.writer_with_options(options).map_err(failed)?;
        let mut policy = LogMergePolicy::default();
        policy.set_del_docs_ratio_before_merge(limits::SEARCH_DELETED_PART_MAX);
        inner.set_merge_policy(Box::new(policy));
        Ok(Writer { inner, id: self.id, fields: self.fields.clone() })
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        let files = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
    }
}

/// Writes an index. What is not committed when it goes is not in the index.
pub(super) struct Writer {
    inner: IndexWriter,
    id: Slot,
    fields: Arc<[Indexed]>,
}

impl Writer {
    /// Puts a record in.
    ///
    /// # Errors
    /// The disk's, of what was put in before.
    pub(super) fn add(&mut self, id: &RecordId, fields: &Fields) -> Result<()> {
        let mut document = TantivyDocument::default();
        document.add_text(self.id, id.as_str());
        for one in self.fields.iter() {
            let Some(text) = one.text(fields) else { continue };
            if let Some((_, stems)) = one.stems {
                document.add_text(stems, &*text);
            }
            document.add_text(one.plain, &*text);
        }
        self.inner.add_document(document).map(|_| ()).map_err(failed)
    }

    /// Takes a record out, as it was put in until now.
    pub(super) fn remove(&mut self, id: &RecordId) {
        self.inner.delete_term(Term::from_field_text(self.id, id.as_str()));
    }

    /// Makes durable and readable what was put in and taken out.
    ///
    /// # Errors
    /// The disk's: nothing of it is in the index then, and this is of no more use.
    pub(super) fn commit(&mut self, held: &Held) -> Result<()> {
        let mut prepared = self.inner.prepare_commit().map_err(failed)?;
        prepared.set_payload(&held.write());
        prepared.commit().map(|_| ()).map_err(failed)
    }
}

fn held(inner: &tantivy::Index) -> Result<Held> {
    let payload = inner.load_metas().map_err(failed)?.payload;
    let held = payload.as_deref().and_then(Held::read);
    held.ok_or_else(|| Error::damaged("the search index does not say what it holds"))
}

fn files(folder: &Path) -> Result<Files> {
    Files::open(folder).map_err(|error| failed(TantivyError::from(error)))
}

fn stems_name(language: Language) -> String {
    format!("stems_{}", language.name())
}

/// The slots of an index over a collection, and what is where.
fn slots(collection: &Collection) -> (Slots, Vec<Indexed>) {
    let mut builder = Slots::builder();
    builder.add_text_field(ID, STRING | FAST);
    let words = |tokenizer: &str, option| {
        let indexing = TextFieldIndexing::default().set_tokenizer(tokenizer).set_index_option(option);
        TextOptions::default().set_indexing_options(indexing)
    };
    let mut fields = Vec::new();
    for one in collection.search.iter().flat_map(|search| &search.fields) {
        let Some(field) = collection.field_by_id(one.field) else { continue };
        let plain = words("plain", IndexRecordOption::WithFreqsAndPositions);
        let plain = builder.add_text_field(&format!("{}", one.field), plain);
        let stems = one.language.map(|language| {
            let stems = words(&stems_name(language), IndexRecordOption::WithFreqs);
            (language, builder.add_text_field(&format!("{}_stems", one.field), stems))
        });
        fields.push(Indexed { field: one.field, kind: field.kind.clone(), plain, stems });
    }
    (builder.build(), fields)
}

/// What tantivy says of a failure.
pub(super) fn failed(error: TantivyError) -> Error {
    match error {
        TantivyError::IoError(error) => {
            let copy = std::io::Error::new(error.kind(), error.to_string());
            Error::io("the search index", copy)
        }
        error @ (TantivyError::DataCorruption(_) | TantivyError::OpenReadError(_) | TantivyError::SchemaError(_)) => {
            Error::damaged("the search index can't be read").source(error)
        }
        error => Error::internal("the search index").source(error),
    }
}
