//! The server's own secret: with it, and with a record's token key, tokens are signed.
//!
//! It lies in a file of the folder and in nothing that is derived from the log: a backup or a copy of the log holds no
//! means to make tokens.

use std::fmt;
use std::path::Path;

use crate::disk::{self, Disk};
use crate::error::{Error, Result};
use crate::service::ids;

const FILE: &str = "secret.key";
const BYTES: usize = 32;

/// 32 random bytes, never shown.
#[derive(Clone)]
pub struct Secret([u8; BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// That of a folder, made where there is none. The folder's files are readable by its owner only.
    ///
    /// # Errors
    /// `Damaged` for a file that is not one; the disk's.
    pub fn of_folder(disk: &dyn Disk, dir: &Path) -> Result<Secret> {
        let path = dir.join(FILE);
        let failed = |error| Error::io("the server's secret", error);
        if disk.exists(&path).map_err(failed)? {
            let bytes = disk::read_all(disk, &path).map_err(failed)?;
            return <[u8; BYTES]>::try_from(&bytes[..]).map(Secret).map_err(|_| {
                let path = path.display();
                Error::damaged(format!(
                    "{path} is not the server's secret: put it back, or remove it to end all tokens"
                ))
            });
        }
        let made = Secret(ids::random()?);
        disk::replace_file(disk, &path, &made.0).map_err(failed)?;
        Ok(made)
    }

    /// As it is told to a follower, which signs and knows the same tokens: hexadecimal.
    pub(in crate::service) fn told(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Keeps the one that a primary told in the place of this one, for the next start.
    ///
    /// # Errors
    /// `Damaged` for what is none; the disk's.
    pub(in crate::service) fn keep_another(&self, disk: &dyn Disk, dir: &Path, told: &str) -> Result<()> {
        let pairs = told.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
        let bytes: Option<Vec<u8>> =
            pairs.map(|pair| u8::from_str_radix(pair, 16).ok().filter(|_| !pair.starts_with('+'))).collect();
        let bytes = bytes.filter(|bytes| bytes.len() == BYTES && told.is_ascii());
        let bytes = bytes.ok_or_else(|| Error::damaged("what the primary told is no secret"))?;
        if bytes == self.0 {
            return Ok(());
        }
        disk::replace_file(disk, &dir.join(FILE), &bytes).map_err(|error| Error::io("the server's secret", error))
    }

    pub(in crate::service) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn a_folder_keeps_its_secret() {
        let disk = SimDisk::new(3);
        let dir = Path::new("/data");
        disk.create_dir_all(dir).expect("a folder");
        let made = Secret::of_folder(&disk, dir).expect("made");
        assert_eq!(Secret::of_folder(&disk, dir).expect("read").bytes(), made.bytes());
        assert_ne!(made.bytes(), [0; BYTES]);
        assert_eq!(format!("{made:?}"), "Secret");
        let other = Secret([7; BYTES]);
        made.keep_another(&disk, dir, &other.told()).expect("kept");
        assert_eq!(Secret::of_folder(&disk, dir).expect("read").bytes(), other.bytes());
        for bad in ["", "07", &"0g".repeat(BYTES), &"+7".repeat(BYTES)] {
            assert!(made.keep_another(&disk, dir, bad).is_err(), "{bad}");
        }
        disk::replace_file(&disk, &dir.join(FILE), b"short").expect("written");
        assert_eq!(Secret::of_folder(&disk, dir).expect_err("damaged").kind(), crate::error::Kind::Damaged);
    }
}
