//! Lists and aggregates from a Redis behind the cache, against the store and against memory; and what a miss there costs.
//! One caller at a time, in this process.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond::config::Settings;
use millpond::model::aggregate::{self, Aggregation};
use millpond::model::look::Wanted;
use millpond::server::Server;
use millpond::service::cache::{Origin, Question};
use millpond::service::lists::ListRequest;
use millpond::service::writes::{Ask, Deed};
use millpond::service::{Asker, Caller, Paging, Service};

use crate::report::{Row, thousands};
use crate::{Bench, Outcome, redis};

const DEFINITION: &str = r#"{"name":"items","fields":[{"name":"k","type":"text"},{"name":"n","type":"number","integer":true},
    {"name":"note","type":"text"}],"indexes":[{"name":"by_k","fields":["k"]}],"listRule":""}"#;
const RECORDS: u64 = 20_000;
const BATCH: u64 = 1_000;
/// Values of the index: each list finds twenty.
const LISTS: u64 = RECORDS / 20;

/// What is asked for, by its number.
#[derive(Clone, Copy)]
enum What {
    List,
    Aggregate,
}

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    if !redis::present() {
        bench.report.note("no redis-server here: the second tier of the cache was not measured");
        return Ok(());
    }
    let redis = redis::start_in_memory()?;
    let folder = crate::folder()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let with = Some(format!("redis://{}", redis.process.address));
    let rounds = if bench.quick { 100 } else { LISTS };
    runtime.block_on(async {
        let server = Site::open(folder.path(), with.clone()).await?;
        server.fill().await?;
        server.close().await?;
        for (what, name, rounds) in
            [(What::List, "a list of 20 by an index", rounds), (What::Aggregate, "groups of it all", 50)]
        {
            // Without the tier; then asked there in vain, and filled; then found, after a restart.
            let server = Site::open(folder.path(), None).await?;
            let store = server.median(what, rounds, Origin::Store).await?;
            let memory = server.median(what, rounds, Origin::Memory).await?;
            server.close().await?;
            let server = Site::open(folder.path(), with.clone()).await?;
            let missed = server.median(what, rounds, Origin::Store).await?;
            server.close().await?;
            let server = Site::open(folder.path(), with.clone()).await?;
            let second = server.median(what, rounds, Origin::Second).await?;
            server.close().await?;
            let title = format!("{name}, {} records, from a Redis", thousands(RECORDS));
            bench.report.add(Row::new(title, second, "µs").against("the store", store));
            bench.report.add(Row::new("  from memory", memory, "µs").against("the Redis", second));
            bench
                .report
                .add(Row::new("  not found there, and written to it", missed, "µs").against("the store", store));
        }
        Ok(())
    })
}

/// A server with who asks it.
struct Site {
    server: Server,
    service: Service,
    asker: Asker,
}

impl Site {
    async fn open(folder: &Path, l2_cache: Option<String>) -> Outcome<Site> {
        let settings = Settings { data: folder.join("data"), dev: true, l2_cache, ..Settings::default() };
        let is_shared = settings.l2_cache.is_some();
        let server = tokio::task::spawn_blocking(|| Server::start(settings)).await??;
        let service = server.service().clone();
        let site = Site { asker: service.asker(Caller::Superuser, "GET", Vec::new().into()), service, server };
        let began = Instant::now();
        while is_shared
            && !String::from_utf8(site.service.cache_figures(Caller::Superuser).await?)?.contains("\"up\":true")
        {
            if began.elapsed() > Duration::from_secs(10) {
                return Err("the Redis does not answer".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(site)
    }

    async fn close(self) -> Outcome<()> {
        // What is on its way there gets there.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let Site { server, service, asker } = self;
        drop((service, asker));
        tokio::task::spawn_blocking(|| server.stop()).await??;
        Ok(())
    }

    async fn fill(&self) -> Outcome<()> {
        self.service.create_collection(Caller::Superuser, DEFINITION.as_bytes(), None).await?;
        for first in (0..RECORDS).step_by(BATCH as usize) {
            let body =
                |n: u64| format!(r#"{{"k":"k{:04}","n":{n},"note":"a note of some length about {n}"}}"#, n % LISTS);
            let bodies: Vec<String> = (first..first + BATCH).map(body).collect();
            let asks: Vec<Ask<'_>> = bodies
                .iter()
                .map(|body| Ask {
                    asker: &self.asker,
                    collection: "items",
                    wanted: Wanted::default(),
                    deed: Deed::Create { body: body.as_bytes() },
                })
                .collect();
            self.service.batch(&asks, None).await?;
        }
        Ok(())
    }

    /// How long one of some questions takes of those that were answered from there, the median in µs.
    async fn median(&self, what: What, rounds: u64, origin: Origin) -> Outcome<f64> {
        let mut times = Vec::new();
        for n in 0..rounds {
            let (began, from) = match what {
                What::List => self.list(n).await?,
                What::Aggregate => self.aggregate(n).await?,
            };
            if from == origin {
                times.push(began.as_secs_f64() * 1e6);
            }
        }
        if (times.len() as u64) < rounds / 2 {
            return Err(format!("{} of {rounds} answers came from {origin:?}", times.len()).into());
        }
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }

    async fn list(&self, n: u64) -> Outcome<(Duration, Origin)> {
        let filter = format!("k = 'k{n:04}'");
        let request = ListRequest {
            filter: Some(&filter),
            sort: None,
            wanted: Wanted::default(),
            paging: Paging { page: 1, per_page: 20, count: true },
            cursor: None,
            search: None,
            explain: false,
            min: None,
        };
        let question = Question::of(&self.asker, &filter);
        let began = Instant::now();
        let answer = self.service.list_records(&self.asker, &question, "items", request).await?;
        Ok((began.elapsed(), answer.origin))
    }

    async fn aggregate(&self, n: u64) -> Outcome<(Duration, Origin)> {
        let text = format!(
            r#"{{"sources":{{"s":{{"collection":"items","filter":"n >= {n}","group":{{"k":"k"}},"values":{{"n":"sum(n)"}}}}}},"limit":20}}"#
        );
        let request: Arc<Aggregation> = Arc::new(aggregate::read(text.as_bytes())?);
        let question = Question::of(&self.asker, &text);
        let began = Instant::now();
        let answer = self.service.aggregate(&self.asker, &question, request, None).await?;
        Ok((began.elapsed(), answer.origin))
    }
}
