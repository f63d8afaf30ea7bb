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
        disk::replace_file(&disk, &dir.join(FILE), b"short").expect("written");
        assert_eq!(Secret::of_folder(&disk, dir).expect_err("damaged").kind(), crate::error::Kind::Damaged);
    }
}
