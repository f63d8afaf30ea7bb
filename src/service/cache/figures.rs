//! How the tiers are used, and dropping what they hold: for superusers.

use std::fmt::Write;

use super::second::SecondFigures;
use super::tier::Figures;
use super::{Cache, invalidate};
use crate::error::Result;
use crate::outbound::redis::Size;
use crate::service::{Caller, Service, access};

/// What all tiers count.
#[derive(Clone, Debug)]
pub struct CacheFigures {
    /// Those in memory, by their names.
    pub memory: [(&'static str, Figures); 2],
    /// The second tier, if there is one, without its size.
    pub second: Option<SecondFigures>,
}

impl Cache {
    fn figures_in_memory(&self) -> [(&'static str, Figures); 2] {
        [("answers", self.answers.figures()), ("records", self.finished.figures())]
    }

    pub(in crate::service) fn figures(&self) -> CacheFigures {
        let second = self.second.as_ref().map(|second| second.figures());
        CacheFigures { memory: self.figures_in_memory(), second }
    }
}

impl Service {
    /// The tiers with their figures as JSON; none where the settings leave the cache no room. A second tier that does not
    /// answer is said to hold nothing.
    ///
    /// # Errors
    /// `Unauthenticated` for anybody but a superuser.
    pub async fn cache_figures(&self, caller: Caller) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let mut tiers = Vec::new();
        if let Some(cache) = &self.0.cache {
            for (name, figures) in cache.figures_in_memory() {
                let Figures { entries, bytes, bytes_max, hits, misses } = figures;
                tiers.push(tier(name, (entries as u64, bytes, bytes_max), (hits, misses)));
            }
            if let Some(second) = &cache.second {
                tiers.push(second_tier(second.sized().await));
            }
        }
        let tiers: Vec<String> = tiers.into_iter().map(|tier| format!("{{{tier}}}")).collect();
        Ok(format!("{{\"tiers\":[{}]}}", tiers.join(",")).into_bytes())
    }

    /// Drops kept answers by `{"keys": ["orders/ID"], "patterns": ["orders/*"]}`: how many of this server's memory, as JSON.
    ///
    /// # Errors
    /// `Unauthenticated` for anybody but a superuser; `Invalid` with all faults of the body.
    pub async fn invalidate_cache(&self, caller: Caller, body: &[u8]) -> Result<Vec<u8>> {
        access::superuser(caller)?;
        let named = invalidate::named(&self.core().view().schema, body)?;
        let entries = self.0.cache.as_ref().map_or(0, |cache| cache.drop_named(&named));
        if let Some(second) = self.0.cache.as_ref().and_then(|cache| cache.second.as_ref()) {
            second.tell().await;
        }
        Ok(format!("{{\"entries\":{entries}}}").into_bytes())
    }
}

fn tier(name: &str, (entries, bytes, bytes_max): (u64, u64, u64), (hits, misses): (u64, u64)) -> String {
    format!(
        "\"name\":\"{name}\",\"entries\":{entries},\"bytes\":{bytes},\"bytesMax\":{bytes_max},\"hits\":{hits},\
         \"misses\":{misses}"
    )
}

fn second_tier(figures: SecondFigures) -> String {
    let SecondFigures { size, hits, misses, refused, late, faults, skipped, written, dropped, .. } = figures;
    let Size { entries, bytes, bytes_max } = size.unwrap_or_default();
    let mut text = tier("l2", (entries, bytes, bytes_max), (hits, misses));
    let counts = [
        ("refused", refused),
        ("late", late),
        ("faults", faults),
        ("skipped", skipped),
        ("written", written),
        ("dropped", dropped),
    ];
    for (name, count) in counts {
        // Writing to a String can't fail.
        let _ = write!(text, ",\"{name}\":{count}");
    }
    let _ = write!(text, ",\"up\":{}", size.is_some());
    text
}
