//! One segment: its file's name, its header, and how its file is made.
//!
//! A segment `{first_seq:020}.log` is a header, frames, and zeros to its full size. Integers are little endian:
//!
//! ```text
//!  0        8          12     16          32            36        40
//! ┌────────┬──────────┬──────┬───────────┬─────────────┬─────────┬───────────┐
//! │ magic  │ version  │ crc  │ database  │ epoch count │ its node│ first seq │
//! ├────────┴─────────┬┴──────┼───────────┼─────────────┴─────────┼───────────┤
//! │ 48  previous     │ 56    │ 64        │ 80                    │ 88        │
//! │     first seq    │ bytes │ chain     │ durable seq           │ 0         │
//! └──────────────────┴───────┴───────────┴───────────────────────┴───────────┘
//! ```
//!
//! The crc32c covers all of it but itself; chain is the one before the first entry, durable the last entry that was in
//! the file when it got its name. Invariants: a file gets its segment's name only when its header, its first entries
//! and all of its size are synced, so a bad header, a shorter file or an earlier end is never the trace of a power
//! loss; a segment begins only after all before it was synced, so it bears witness of that.

use std::io;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::frame::{u32_at, u64_at, u128_at};
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};
use crate::id::{Chain, DatabaseId, Epoch, NodeId, Seq};

/// Bytes of a segment's header; frames follow.
pub(super) const HEADER: usize = 96;
/// The newest segment format this server reads, and the one it writes.
pub(super) const VERSION: u32 = 1;
/// Segments' sizes are its multiples.
const PAGE: u64 = 4096;

const MAGIC: &[u8; 8] = b"millplog";
const SUFFIX: &str = ".log";
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) database: DatabaseId,
    /// The epoch when the segment was begun.
    pub(super) epoch: Epoch,
    pub(super) first: Seq,
    /// The first seq of the segment before, zero for the very first: a missing segment shows by headers alone.
    pub(super) previous: Seq,
    /// The file's size.
    pub(super) bytes: u64,
    /// The chain before the first entry.
    pub(super) chain: Chain,
    /// The last entry that was synced with the header.
    pub(super) durable: Seq,
}

impl Header {
    /// The stored form.
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.database.0.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.epoch.counter.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.epoch.node.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.previous.0.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[64..80].copy_from_slice(&self.chain.0.to_le_bytes());
        bytes[80..88].copy_from_slice(&self.durable.0.to_le_bytes());
        let crc = crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `name` is its file's, for the message and to be compared.
    ///
    /// # Errors
    /// `Damaged`; with code `newer_format` for a version this server does not know.
    pub(super) fn decode(name: &str, bytes: &[u8; HEADER]) -> Result<Header> {
        let bad = |what: &str| damaged(name, 0, first_of(name).unwrap_or_default(), what);
        if &bytes[..8] != MAGIC {
            return Err(bad("the file does not begin as a segment does"));
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Err(newer(name, version));
        }
        if u32_at(bytes, 12) != crc(bytes) {
            return Err(bad("the header's checksum does not match"));
        }
        let header = Header {
            database: DatabaseId(u128_at(bytes, 16)),
            epoch: Epoch { counter: u32_at(bytes, 32), node: NodeId(u32_at(bytes, 36)) },
            first: Seq(u64_at(bytes, 40)),
            previous: Seq(u64_at(bytes, 48)),
            bytes: u64_at(bytes, 56),
            chain: Chain(u128_at(bytes, 64)),
            durable: Seq(u64_at(bytes, 80)),
        };
        if Some(header.first) != first_of(name) {
            return Err(bad(&format!("the header is that of the segment which begins at seq {}", header.first)));
        }
        Ok(header)
    }

    /// What the durable marks of this segment carry: no client knows it, so none can put a mark into a payload.
    pub(super) fn salt(&self) -> u64 {
        let mut input = [0; 40];
        input[..16].copy_from_slice(&self.database.0.to_le_bytes());
        input[16..32].copy_from_slice(&self.chain.0.to_le_bytes());
        input[32..].copy_from_slice(&self.first.0.to_le_bytes());
        xxh3_64(&input)
    }

    /// The seq before the first.
    pub(super) fn before_first(&self) -> Seq {
        self.first.before()
    }
}

fn crc(header: &[u8; HEADER]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..])
}

/// The file name of the segment that begins at a seq.
pub(super) fn name_of(first: Seq) -> String {
    format!("{:020}{SUFFIX}", first.0)
}

/// The first seq of a segment by its file name; `None` for another file.
pub(super) fn first_of(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok().map(Seq))?
}

/// The size of a segment that shall hold `frames` bytes of frames, and at least `wanted` in all.
pub(super) fn bytes_for(wanted: u64, frames: usize) -> u64 {
    wanted.max((HEADER + frames) as u64).next_multiple_of(PAGE)
}

/// Makes a new file of `bytes` zeros from `from` on; not synced.
pub(super) fn create(disk: &dyn Disk, path: &Path, from: u64, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.open(path, Open::CreateNew)?;
    let mut at = from;
    while at < bytes {
        let piece = (bytes - at).min(ZEROS.len() as u64);
        file.write_at(at, &ZEROS[..piece as usize])?;
        at += piece;
    }
    Ok(file)
}

/// The whole segment with its header, which is verified, as is its size.
///
/// # Errors
/// `Damaged`, or the disk's.
pub(super) fn load(disk: &dyn Disk, dir: &Path, name: &str) -> Result<(Header, Vec<u8>)> {
    let header = load_header(disk, dir, name)?;
    let bytes = crate::disk::read_all(disk, &dir.join(name)).map_err(|error| io_error("reading", name, error))?;
    Ok((header, bytes))
}

/// A segment's header alone; verified, as is the size of the file.
///
/// # Errors
/// `Damaged`, or the disk's.
pub(super) fn load_header(disk: &dyn Disk, dir: &Path, name: &str) -> Result<Header> {
    let read = || {
        let file = disk.open(&dir.join(name), Open::Read)?;
        let len = file.len()?;
        let mut bytes = [0; HEADER];
        if len >= HEADER as u64 {
            file.read_at(0, &mut bytes)?;
        }
        Ok((len, bytes))
    };
    let (len, bytes) = read().map_err(|error| io_error("reading", name, error))?;
    let short = |what: String| damaged(name, len, first_of(name).unwrap_or_default(), &what);
    if len < HEADER as u64 {
        return Err(short(format!("the file has only {len} bytes")));
    }
    let header = Header::decode(name, &bytes)?;
    if len < header.bytes {
        return Err(short(format!("the file has {len} bytes of the {} it was made with", header.bytes)));
    }
    Ok(header)
}

/// The names of the segments in a folder, oldest first.
///
/// # Errors
/// The disk's.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>> {
    let names = disk.list(dir).map_err(|error| Error::io(format_args!("listing {}", dir.display()), error))?;
    Ok(names.into_iter().filter(|name| first_of(name).is_some()).collect())
}

/// Damage at a place, with the remedy.
pub(super) fn damaged(name: &str, offset: u64, seq: Seq, what: &str) -> Error {
    Error::damaged(format!(
        "log segment {name} is damaged at byte {offset}, seq {seq}: {what}. Nothing was changed. Restore the folder \
         from a copy of it or a backup; `millpond log print` shows all that can be read before that place"
    ))
}

/// A segment or frame of a format that this server does not know.
pub(super) fn newer(name: &str, version: u32) -> Error {
    Error::damaged(format!(
        "log segment {name} is of format {version}, this server reads up to {VERSION}: start the newer server that \
         wrote it. Nothing was changed"
    ))
    .code("newer_format")
}

/// A disk's error, naming the segment.
pub(super) fn io_error(doing: &str, name: &str, error: io::Error) -> Error {
    Error::io(format_args!("{doing} log segment {name}"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            database: DatabaseId(0x1122_3344),
            epoch: Epoch { counter: 1, node: NodeId(9) },
            first: Seq(42),
            previous: Seq(7),
            bytes: 8192,
            chain: Chain(u128::MAX - 1),
            durable: Seq(44),
        }
    }

    #[test]
    fn a_header_reads_back_and_no_flipped_bit_goes_unseen() {
        let (name, bytes) = (name_of(Seq(42)), header().encode());
        assert_eq!(Header::decode(&name, &bytes).expect("own header"), header());
        for bit in 0..HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&name, &flipped).is_err(), "bit {bit}");
        }
        assert!(Header::decode(&name_of(Seq(43)), &bytes).is_err(), "taken under another name");
    }

    #[test]
    fn a_newer_format_is_refused_naming_both_versions() {
        let mut bytes = header().encode();
        bytes[8] = VERSION as u8 + 1;
        let error = Header::decode(&name_of(Seq(42)), &bytes).expect_err("newer");
        assert_eq!(error.code_str(), "newer_format");
        assert!(error.message().contains("format 2") && error.message().contains("up to 1"), "{error}");
    }

    #[test]
    fn the_stored_form_of_a_header_is_fixed_for_ever() {
        let hex: String = header().encode().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "6d696c6c706c6f6701000000262433384433221100000000000000000000000001000000090000002a0000000000000007000000000000000020000000000000feffffffffffffffffffffffffffffff2c000000000000000000000000000000"
        );
    }

    #[test]
    fn only_segments_are_taken_for_segments() {
        assert_eq!(first_of(&name_of(Seq(u64::MAX))), Some(Seq(u64::MAX)));
        for other in
            ["lock", "1.log", "+0000000000000000001.log", "99999999999999999999.log", "00000000000000000001.tmp"]
        {
            assert_eq!(first_of(other), None, "{other}");
        }
    }
}
