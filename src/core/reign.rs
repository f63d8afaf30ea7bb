//! What a server was told about who is the primary, so that a start remembers it: `role.json` in its folder.
//!
//! Invariant: it is written behind what it tells of, never before: a server that says it was promoted has begun its epoch.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Core, Role, notes};
use crate::disk::Disk;
use crate::error::Result;

const FILE: &str = "role.json";

/// The last change of a server's role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reign {
    /// What it is since.
    pub role: Role,
    /// The counter of the epoch that it was about.
    pub epoch: u32,
    /// Whom it followed before.
    #[serde(default)]
    pub followed: Option<String>,
    /// Where the primary is, if it is another and that is known.
    #[serde(default)]
    pub primary: Option<String>,
    /// Other followers of it, by their URLs; empty for one that has none.
    #[serde(default)]
    pub fleet: Vec<String>,
    /// Its tables are known not to be its primary's.
    #[serde(default)]
    pub broken: bool,
    /// How it came back last, after it had left its primary's history.
    #[serde(default)]
    pub rejoined: Option<Rejoined>,
}

/// How a server comes back into a history that it has left. What only it had is set aside before, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rejoined {
    /// From its own tables: its log was cut where it had left.
    Cut,
    /// From a snapshot of its primary.
    Bootstrap,
}

impl Rejoined {
    /// Its word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Rejoined::Cut => "cut",
            Rejoined::Bootstrap => "bootstrap",
        }
    }
}

impl Reign {
    /// That of a folder, if there is one.
    ///
    /// # Errors
    /// `Damaged` for a file that is not one; the disk's.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Reign>> {
        notes::load(disk, dir, FILE)
    }

    /// Keeps it, durably.
    ///
    /// # Errors
    /// The disk's.
    pub fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        notes::store(disk, dir, FILE, self)
    }

    /// What a server is that is told to follow `follow`, or no one, and whom it follows. One that was fenced follows the new
    /// primary by itself, if it has something to show there.
    pub fn role(known: Option<Reign>, follow: Option<&str>, has_token: bool) -> (Role, Option<String>) {
        match (known, follow) {
            // Promoted, and started again as it was before: its own epoch is what counts.
            (Some(Reign { role: Role::Primary, followed, .. }), Some(follow))
                if followed.as_deref() == Some(follow) =>
            {
                (Role::Primary, None)
            }
            (Some(Reign { role: Role::Follower, followed, primary: Some(primary), .. }), Some(follow))
                if followed.as_deref() == Some(follow) =>
            {
                (Role::Follower, Some(primary))
            }
            // Fenced, and started again as it was before that.
            (Some(Reign { role: Role::Fenced, followed, primary: Some(primary), .. }), Some(follow))
                if followed.as_deref() == Some(follow) =>
            {
                (Role::Follower, Some(primary))
            }
            (_, Some(follow)) => (Role::Follower, Some(follow.to_owned())),
            // It came to follow without having been told to, and goes on so.
            (Some(Reign { role: Role::Fenced, primary: Some(primary), .. }), None) if has_token => {
                (Role::Follower, Some(primary))
            }
            (Some(Reign { role: Role::Follower, followed: None, primary: Some(primary), .. }), None) if has_token => {
                (Role::Follower, Some(primary))
            }
            // A copy that is told to follow no one is no primary by that: it has to be promoted.
            (Some(Reign { role: Role::Follower, primary, .. }), None) => (Role::Fenced, primary),
            (Some(Reign { role: Role::Fenced, primary, .. }), None) => (Role::Fenced, primary),
            (_, None) => (Role::Primary, None),
        }
    }

    /// Keeps what has become of a running server, unless it has become something else since.
    ///
    /// # Errors
    /// The disk's.
    pub fn note(core: &Core, role: Role, epoch: u32, followed: Option<String>, primary: Option<String>) -> Result<()> {
        let _turn = core.reign_turn();
        if core.role() != role {
            return Ok(());
        }
        let (disk, dir) = core.folder();
        let known = Reign::load(&**disk, dir)?.filter(|known| (known.role, role) == (Role::Follower, Role::Follower));
        let (fleet, broken, rejoined) =
            known.map_or((Vec::new(), false, None), |known| (known.fleet, known.broken, known.rejoined));
        Reign { role, epoch, followed, primary, fleet, broken, rejoined }.store(&**disk, dir)
    }

    /// Keeps what a follower has found out; of one that has become the primary meanwhile nothing.
    ///
    /// # Errors
    /// The disk's.
    pub fn amend(core: &Core, change: impl FnOnce(&mut Reign)) -> Result<()> {
        let _turn = core.reign_turn();
        if core.role() == Role::Primary {
            return Ok(());
        }
        let (disk, dir) = core.folder();
        let Some(mut known) = Reign::load(&**disk, dir)? else { return Ok(()) };
        change(&mut known);
        known.store(&**disk, dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_promoted_stays_so_until_it_is_told_to_follow_another() {
        let reign = |role, followed: &str, primary: Option<&str>| {
            let (followed, primary) = (Some(followed.to_owned()), primary.map(str::to_owned));
            Some(Reign { role, epoch: 2, followed, primary, fleet: Vec::new(), broken: false, rejoined: None })
        };
        let follows = |url: &str| (Role::Follower, Some(url.to_owned()));
        for (what, known, follow, expected) in [
            ("new", None, None, (Role::Primary, None)),
            ("new and told", None, Some("a"), follows("a")),
            ("promoted, started as before", reign(Role::Primary, "a", None), Some("a"), (Role::Primary, None)),
            ("promoted, told another", reign(Role::Primary, "a", None), Some("b"), follows("b")),
            ("promoted, told nothing", reign(Role::Primary, "a", None), None, (Role::Primary, None)),
            ("sent elsewhere, started as before", reign(Role::Follower, "a", Some("c")), Some("a"), follows("c")),
            ("sent elsewhere, told another", reign(Role::Follower, "a", Some("c")), Some("b"), follows("b")),
            (
                "followed, told nothing",
                reign(Role::Follower, "a", Some("a")),
                None,
                (Role::Fenced, Some("a".to_owned())),
            ),
            ("fenced, started as before", reign(Role::Fenced, "a", Some("c")), Some("a"), follows("c")),
            ("fenced", reign(Role::Fenced, "", Some("c")), None, (Role::Fenced, Some("c".to_owned()))),
            ("fenced, told", reign(Role::Fenced, "", Some("c")), Some("c"), follows("c")),
        ] {
            assert_eq!(Reign::role(known, follow, false), expected, "{what}");
        }
        assert_eq!(Reign::role(reign(Role::Fenced, "", Some("c")), None, true), follows("c"));
    }
}
