//! A whole state as one stream: what a backup and a new follower are made from.
//!
//! ```text
//! "MILLSNAP" | format u16 | header bytes u32 | header (postcard) | crc32c of all before u32
//! zstd of:
//!   key bytes u32 | value bytes u32 | key | value      all keys that are the same on every server, in order
//!   …
//!   0 u32 | pairs u64 | xxh3_128 of all pairs as above u128
//! ```
//!
//! Numbers are big-endian. Index entries are in it, so that loading needs no schema and no sorting. A stream that was
//! cut or altered anywhere is refused, and then nothing of it was kept.

use std::io::{self, Read as _, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;
use zstd::stream::{read::Decoder, write::Encoder};

use crate::disk::Disk;
use crate::error::{Error, Kind, Result};
use crate::id::{CollectionId, Generation};
use crate::model::schema::Schema;
use crate::state::base::{Applied, Base};
use crate::state::stack::Read;
use crate::state::tally::Tally;
use crate::state::{key, lookup};

const MAGIC: &[u8; 8] = b"MILLSNAP";
const FORMAT: u16 = 1;
/// A header's bytes at most: some thousand collections.
const HEADER_BYTES_MAX: u32 = 1 << 20;
/// A key's or value's bytes at most: far above any that is written.
const PART_BYTES_MAX: u32 = 64 << 20;
const ZSTD_LEVEL: i32 = 3;

/// What a snapshot says of itself before its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The entry up to which the log is in it.
    pub applied: Applied,
    /// Rows and digest of each collection.
    pub tallies: Vec<(CollectionId, Generation, Tally)>,
}

impl Header {
    /// The header of a state.
    ///
    /// # Errors
    /// Those of the base.
    pub fn of(read: &dyn Read, schema: &Schema, applied: Applied) -> Result<Header> {
        let mut tallies = Vec::new();
        for collection in schema.iter() {
            let (id, generation) = (collection.id, collection.generation);
            tallies.push((id, generation, lookup::tally(read, id, generation)?));
        }
        Ok(Header { applied, tallies })
    }
}

/// Writes a snapshot of what `read` shows.
///
/// # Errors
/// Those of the base, or `out`'s.
pub fn write(read: &dyn Read, schema: &Schema, applied: Applied, out: &mut dyn Write) -> Result<Header> {
    let io = |error| Error::io("writing a snapshot", error);
    let header = Header::of(read, schema, applied)?;
    out.write_all(&encode_header(&header)?).map_err(io)?;
    let mut body = Encoder::new(out, ZSTD_LEVEL).map_err(io)?;
    let mut digest = Xxh3::new();
    let mut pairs = 0u64;
    let mut bytes = Vec::new();
    let (from, to) = key::SHARED;
    for pair in read.scan(from, to, false)? {
        let pair = pair?;
        bytes.clear();
        bytes.extend_from_slice(&len_of(pair.key())?.to_be_bytes());
        bytes.extend_from_slice(&len_of(pair.value())?.to_be_bytes());
        bytes.extend_from_slice(pair.key());
        bytes.extend_from_slice(pair.value());
        digest.update(&bytes);
        pairs += 1;
        body.write_all(&bytes).map_err(io)?;
    }
    body.write_all(&0u32.to_be_bytes()).map_err(io)?;
    body.write_all(&pairs.to_be_bytes()).map_err(io)?;
    body.write_all(&digest.digest128().to_be_bytes()).map_err(io)?;
    body.finish().and_then(|out| out.flush()).map_err(io)?;
    Ok(header)
}

/// Makes the base of a folder from a snapshot, all of it or nothing. The base must not be open.
///
/// # Errors
/// `Damaged` for a stream that is not what was written, `Unprocessable` for a newer format, the disk's; then what was
/// in the folder is still there.
pub fn load(disk: &dyn Disk, dir: &Path, from: &mut dyn io::Read) -> Result<Header> {
    let header = read_header(from)?;
    Base::rebuild(disk, dir, header.applied, &mut body(&header, from)?)?;
    Ok(header)
}

/// Reads a snapshot from begin to end and keeps nothing of it.
///
/// # Errors
/// As [`load`].
pub fn verify(from: &mut dyn io::Read) -> Result<Header> {
    let header = read_header(from)?;
    body(&header, from)?.try_for_each(|pair| pair.map(drop))?;
    Ok(header)
}

fn body<'a>(header: &Header, from: &'a mut dyn io::Read) -> Result<Body<io::BufReader<&'a mut dyn io::Read>>> {
    let body = Decoder::new(from).map_err(broken)?;
    Ok(Body { body, digest: Xxh3::new(), pairs: 0, over: false, tallies: header.tallies.clone() })
}

/// Reads a snapshot's header and leaves the stream at its keys.
///
/// # Errors
/// As [`load`].
pub fn read_header(from: &mut dyn io::Read) -> Result<Header> {
    let mut head = [0; 14];
    from.read_exact(&mut head).map_err(broken)?;
    if head[..8] != *MAGIC {
        return Err(Error::damaged("this is not a snapshot"));
    }
    let format = u16::from_be_bytes([head[8], head[9]]);
    if format != FORMAT {
        let what = format!("the snapshot has format {format}; this program knows {FORMAT}");
        return Err(Error::new(Kind::Unprocessable, what).code("unknown_format"));
    }
    let len = u32::from_be_bytes([head[10], head[11], head[12], head[13]]);
    if len > HEADER_BYTES_MAX {
        return Err(altered());
    }
    let mut bytes = head.to_vec();
    bytes.resize(head.len() + len as usize, 0);
    from.read_exact(&mut bytes[head.len()..]).map_err(broken)?;
    let mut sum = [0; 4];
    from.read_exact(&mut sum).map_err(broken)?;
    if u32::from_be_bytes(sum) != crc32c::crc32c(&bytes) {
        return Err(altered());
    }
    postcard::from_bytes(&bytes[head.len()..]).map_err(|error| altered().source(error))
}

fn encode_header(header: &Header) -> Result<Vec<u8>> {
    let encoded = postcard::to_stdvec(header).map_err(|error| Error::internal("a snapshot's header").source(error))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_be_bytes());
    bytes.extend_from_slice(&len_of(&encoded)?.to_be_bytes());
    bytes.extend_from_slice(&encoded);
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_be_bytes());
    Ok(bytes)
}

fn len_of(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| Error::internal("a key or value over 4 GiB"))
}

/// The keys and values of a snapshot as they are read. Ends well only if the trailer fits.
struct Body<R: io::BufRead> {
    body: Decoder<'static, R>,
    digest: Xxh3,
    pairs: u64,
    over: bool,
    /// Of the header; taken out as they are met among the keys.
    tallies: Vec<(CollectionId, Generation, Tally)>,
}

impl<R: io::BufRead> Body<R> {
    fn pair(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let key_len = self.number()?;
        if key_len == 0 {
            return self.finish().map(|()| None);
        }
        let value_len = self.number()?;
        let key = self.part(key_len)?;
        let value = self.part(value_len)?;
        for part in [&key_len.to_be_bytes()[..], &value_len.to_be_bytes()[..], &key, &value] {
            self.digest.update(part);
        }
        self.pairs += 1;
        let (from, to) = key::SHARED;
        if *key < *from || *key >= *to {
            return Err(altered());
        }
        let is_listed = |(id, generation, tally): &(CollectionId, Generation, Tally)| {
            key == key::tally(*id, *generation) && tally.encode().is_some_and(|listed| listed[..] == value[..])
        };
        self.tallies.retain(|listed| !is_listed(listed));
        Ok(Some((key, value)))
    }

    fn number(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        self.body.read_exact(&mut bytes).map_err(broken)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn part(&mut self, len: u32) -> Result<Vec<u8>> {
        if len > PART_BYTES_MAX {
            return Err(altered());
        }
        let mut bytes = Vec::new();
        (&mut self.body).take(u64::from(len)).read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() == len as usize { Ok(bytes) } else { Err(altered()) }
    }

    /// Reads the trailer. Nothing may follow, and what the header said must have come.
    fn finish(&mut self) -> Result<()> {
        let mut trailer = [0; 24];
        self.body.read_exact(&mut trailer).map_err(broken)?;
        let pairs = self.pairs.to_be_bytes();
        let digest = self.digest.digest128().to_be_bytes();
        let whole = trailer[..8] == pairs && trailer[8..] == digest;
        // Reading on makes zstd verify the end of its frame.
        let ends = self.body.read(&mut [0]).map_err(broken)? == 0;
        let told = self.tallies.iter().all(|(_, _, tally)| *tally == Tally::default());
        if whole && ends && told { Ok(()) } else { Err(altered()) }
    }
}

impl<R: io::BufRead> Iterator for Body<R> {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.pair();
        self.over = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

fn altered() -> Error {
    Error::damaged("the snapshot is not what was written: take another one")
}

fn broken(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => altered().source(error),
        // zstd tells of malformed input by kinds of its own choice.
        io::ErrorKind::InvalidData | io::ErrorKind::Other => altered().source(error),
        _ => Error::io("reading a snapshot", error),
    }
}
