//! Groups of a million records, in this process: by their rows and by an index alone, against plain loops over the same
//! records, on two cores and on one.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond::config::Settings;
use millpond::id::FieldId;
use millpond::model::aggregate::{self, Aggregation};
use millpond::model::query::Query;
use millpond::model::record::Record;
use millpond::model::value::Value;
use millpond::server::Server;
use millpond::service::cache::Question;
use millpond::service::writes::{Ask, Deed};
use millpond::service::{Asker, Caller, Service, access};
use millpond::state::query;

use crate::report::{Row, thousands};
use crate::{Bench, LARGE, Outcome, SMALL};

const DEFINITION: &str = r#"{"name":"sales","fields":[{"name":"user","type":"text"},{"name":"total","type":"number"},
    {"name":"status","type":"select","values":["new","paid","sent"]},{"name":"note","type":"text"},
    {"name":"n","type":"number","integer":true}],"indexes":[{"name":"by_user","fields":["user","total"]}]}"#;
/// Field ids are given in the order of the definition.
const USER: FieldId = FieldId(1);
const TOTAL: FieldId = FieldId(2);
const STATUS: FieldId = FieldId(3);
const BATCH: u64 = 1_000;
const USERS: u64 = 1_000;

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let records = if bench.quick { SMALL } else { LARGE };
    let folder = crate::folder()?;
    let settings = Settings { data: folder.path().join("data"), dev: true, cache_bytes: 0, ..Settings::default() };
    let server = Server::start(settings)?;
    let service = server.service().clone();
    let asker = service.asker(Caller::Superuser, "POST", Vec::new().into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fill(&service, &asker, records))?;
    let rounds = if bench.quick { 3 } else { 5 };
    let ask = |text: &str| -> Outcome<Duration> {
        let request: Arc<Aggregation> = Arc::new(aggregate::read(text.as_bytes())?);
        best(rounds, || {
            let question = Question::of(&asker, text);
            runtime.block_on(service.aggregate(&asker, &question, request.clone(), None))?;
            Ok(())
        })
    };
    for (name, key, field) in [("by their rows", "status", STATUS), ("by an index alone", "user", USER)] {
        let text = format!(
            r#"{{"sources":{{"s":{{"collection":"sales","group":{{"k":"{key}"}},"values":{{"n":"count()","s":"sum(total)"}}}}}}}}"#
        );
        let ours = ask(&text)?;
        let plain = best(rounds, || looped(&server, field))?;
        let what = format!("groups of {} records {name}", thousands(records));
        bench.report.add(Row::new(what, millis(ours), "ms").against("plain loop over the store", millis(plain)));
        if on_cores("0") {
            let alone = ask(&text);
            on_cores("0-1");
            bench.report.add(Row::new("  two cores for one", millis(alone?) / millis(ours), "x"));
        }
    }
    let kept = kept(&server)?;
    let plain = best(rounds, || {
        std::hint::black_box(grouped(kept.iter(), STATUS));
        Ok(())
    })?;
    bench.report.add(Row::new("  plain loop over records in memory", millis(plain), "ms"));
    drop((asker, service));
    server.stop()?;
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn best(rounds: usize, mut work: impl FnMut() -> Outcome<()>) -> Outcome<Duration> {
    let mut least = Duration::MAX;
    for _ in 0..rounds {
        let began = Instant::now();
        work()?;
        least = least.min(began.elapsed());
    }
    Ok(least)
}

async fn fill(service: &Service, asker: &Asker, records: u64) -> Outcome<()> {
    service.create_collection(Caller::Superuser, DEFINITION.as_bytes(), None).await?;
    for first in (0..records).step_by(BATCH as usize) {
        let body = |n: u64| {
            let (user, cents) = (n * 7_919 % USERS, n * 104_729 % 100_000);
            let status = ["new", "paid", "sent"][(n % 3) as usize];
            format!(
                r#"{{"id":"s{n:012}","user":"u{user:04}","total":{}.{:02},"status":"{status}","note":"a note of some length {n}","n":{n}}}"#,
                cents / 100,
                cents % 100
            )
        };
        let bodies: Vec<String> = (first..first + BATCH).map(body).collect();
        let asks = bodies.iter().map(|body| Ask {
            asker,
            collection: "sales",
            wanted: Default::default(),
            deed: Deed::Create { body: body.as_bytes() },
        });
        let asks: Vec<Ask<'_>> = asks.collect();
        service.batch(&asks, None).await?;
    }
    Ok(())
}

/// Every record of the store.
fn each(server: &Server, each: impl FnMut(&Record) -> millpond::error::Result<()>) -> Outcome<()> {
    let view = server.core().view();
    let collection = view.schema.find("sales").ok_or("no collection")?;
    let query = Query::of_all(collection, access::for_server(), None);
    query::each(&view.stack, &view.schema, &query, Instant::now() + Duration::from_secs(60), each)?;
    Ok(())
}

fn looped(server: &Server, key: FieldId) -> Outcome<()> {
    let mut groups: HashMap<Box<str>, (u64, f64)> = HashMap::new();
    each(server, |record| {
        take(&mut groups, record, key);
        Ok(())
    })?;
    std::hint::black_box(groups);
    Ok(())
}

fn grouped<'r>(records: impl Iterator<Item = &'r Record>, key: FieldId) -> HashMap<Box<str>, (u64, f64)> {
    let mut groups = HashMap::new();
    records.for_each(|record| take(&mut groups, record, key));
    groups
}

fn take(groups: &mut HashMap<Box<str>, (u64, f64)>, record: &Record, key: FieldId) {
    let key = record.fields.get(key).as_text().unwrap_or_default();
    let total = match record.fields.get(TOTAL) {
        Value::Number(total) => *total,
        _ => 0.0,
    };
    if !groups.contains_key(key) {
        groups.insert(key.into(), (0, 0.0));
    }
    if let Some((count, sum)) = groups.get_mut(key) {
        *count += 1;
        *sum += total;
    }
}

fn kept(server: &Server) -> Outcome<Vec<Record>> {
    let mut kept = Vec::new();
    each(server, |record| {
        kept.push(record.clone());
        Ok(())
    })?;
    Ok(kept)
}

/// Holds all threads of this process to some cores, where the system has the tool for it.
fn on_cores(cores: &str) -> bool {
    let process = std::process::id().to_string();
    let held = Command::new("taskset").args(["-a", "-p", "-c", cores, &process]).output();
    held.is_ok_and(|output| output.status.success())
}
