//! Queries beyond an index: a scan whose filter only the rows can answer, a page deep inside by cursor, and lists that
//! show what their relations point at.

use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use crate::load::Plan;
use crate::millpond::Millpond;
use crate::pairs::{self, Compared, Side};
use crate::report::{Row, thousands};
use crate::template::Template;
use crate::{Bench, LARGE, Outcome, SMALL, answer, orders};

const ORDERS: &str = "/api/collections/orders/records";
const PARCELS: &str = "/api/collections/parcels/records";
/// Records that point at orders.
const PARCELS_COUNT: u64 = 20_000;
const DEFINITION: &str = r#"{
    "name": "parcels", "type": "base",
    "fields": [
        {"name": "order", "type": "relation", "collection": "orders", "required": true},
        {"name": "weight", "type": "number", "integer": true}
    ],
    "indexes": [{"name": "by_weight", "fields": ["weight"]}],
    "listRule": "", "viewRule": "", "createRule": "", "updateRule": "", "deleteRule": ""
}"#;

pub(crate) fn small(bench: &mut Bench) -> Outcome<()> {
    bench.server(SMALL)?;
    scan(bench)?;
    deep(bench)?;
    related(bench)
}

pub(crate) fn large(bench: &mut Bench) -> Outcome<()> {
    if bench.quick {
        return Ok(());
    }
    bench.server(LARGE)?;
    scan(bench)?;
    deep(bench)
}

/// Every row is read, decoded and asked; no count is known, since each request has a text of its own.
fn scan(bench: &mut Bench) -> Outcome<()> {
    let server = bench.server(0)?;
    let records = server.acknowledged();
    let request = Template::default()
        .text(&format!("GET {ORDERS}?filter=total*2%3E1000%26%26note~%27house%207%27%26%26total%21%3D0.0"))
        .number(8)
        .text("&perPage=20 HTTP/1.1\r\nhost: bench\r\n\r\n");
    let plan = Plan { request: request.shared(), time: Duration::from_secs(2), ..server.plan(1, 200) };
    let one = pairs::alone(3, Side { plan, process: &server.process })?;
    let name = format!("scan of {} records with a residual filter, one client", thousands(records));
    bench.report.add(Row::new(name, one.p50_ms, "ms"));
    bench.report.add(Row::new("  for each record", one.p50_ms * 1e6 / records as f64, "ns"));
    Ok(())
}

/// A page in the middle of all records against the first one, both by the id's own order.
fn deep(bench: &mut Bench) -> Outcome<()> {
    let (pairs, time) = (if bench.quick { 3 } else { 5 }, Duration::from_secs(1));
    let server = bench.server(0)?;
    let records = server.acknowledged();
    let cursor = behind(server, "sort=-placed", records / 2)?;
    let list = |cursor: &str| {
        let text = format!("GET {ORDERS}?sort=-placed&perPage=20&skipTotal=1{cursor} HTTP/1.1\r\nhost: bench\r\n\r\n");
        Template::default().text(&text).shared()
    };
    let side =
        |request: Rc<Template>| Side { plan: Plan { request, time, ..server.plan(16, 200) }, process: &server.process };
    // By an index: the customer's orders, from the first and from the middle of them.
    let of_one = "filter=customer%3D%27c0001%27&sort=-placed";
    let middle = behind(server, of_one, records / orders::CUSTOMERS / 2)?;
    let by_index = |cursor: &str| {
        let text = format!("GET {ORDERS}?{of_one}&perPage=20&skipTotal=1{cursor} HTTP/1.1\r\nhost: bench\r\n\r\n");
        Template::default().text(&text).shared()
    };
    let within = pairs::compare(pairs, side(by_index(&middle)), side(by_index("")))?;
    let sorted =
        if records <= SMALL { Some(pairs::compare(pairs, side(list(&cursor)), side(list("")))?) } else { None };
    let name = format!("list of 20 by cursor inside an index, {} records", thousands(records));
    bench.report.add(Row::new(name, within.ours.per_second, "1/s").paired(
        "first page",
        within.theirs.per_second,
        within.ratio,
    ));
    if let Some(Compared { ours, theirs, ratio }) = sorted {
        let row = Row::new("list of 20 by cursor, sorted without an index", ours.per_second, "1/s");
        bench.report.add(row.paired("first page", theirs.per_second, ratio));
    }
    Ok(())
}

/// The parameter that goes on behind about so many matches.
fn behind(server: &Millpond, query: &str, matches: u64) -> Outcome<String> {
    let mut cursor = String::new();
    let mut seen = 0;
    let per_page = matches.clamp(1, 1_000);
    while seen < matches {
        // Deep in a sort without an index each page costs a scan: one page is as good as many there.
        let path = format!("{ORDERS}?{query}&perPage={per_page}&skipTotal=1&fields=id{cursor}");
        let page: serde_json::Value = serde_json::from_slice(&answer::must(server.process.address, "GET", &path, "")?)?;
        let next = page["nextCursor"].as_str().ok_or("a list ends before its middle")?;
        cursor = format!("&cursor={next}");
        seen += if query.starts_with("filter") { per_page } else { matches };
    }
    Ok(cursor)
}

/// Parcels with parts of their orders in the place of the ids, or with the whole orders, against the ids alone.
fn related(bench: &mut Bench) -> Outcome<()> {
    let (pairs, time) = (if bench.quick { 3 } else { 5 }, Duration::from_secs(1));
    let server = bench.server(0)?;
    let seconds = fill(server)?;
    let list = |more: &str| {
        Template::default()
            .text(&format!("GET {PARCELS}?filter=weight%3E%3D"))
            .random(10_000, PARCELS_COUNT - 100, 5)
            .text(&format!("&sort=weight&perPage=20&skipTotal=1{more} HTTP/1.1\r\nhost: bench\r\n\r\n"))
            .shared()
    };
    let side = |more: &str| Side {
        plan: Plan { request: list(more), time, ..server.plan(64, 200) },
        process: &server.process,
    };
    let embed = pairs::compare(pairs, side("&embed=order(id,customer)"), side(""))?;
    let expand = pairs::compare(pairs, side("&expand=order"), side(""))?;
    bench.report.add(Row::new("creates by batches of 1,000, one client", PARCELS_COUNT as f64 / seconds, "1/s"));
    for (name, Compared { ours, theirs, ratio }) in
        [("list of 20 with embed of a relation", embed), ("list of 20 with expand of a relation", expand)]
    {
        bench.report.add(Row::new(name, ours.per_second, "1/s").paired("ids alone", theirs.per_second, ratio));
        bench.report.add(Row::new("  server CPU each", ours.cpu_us, "µs").against("ids alone", theirs.cpu_us));
    }
    Ok(())
}

/// Makes the parcels, by batches; how many seconds that took.
fn fill(server: &Millpond) -> Outcome<f64> {
    const BATCH: u64 = 1_000;
    let address = server.process.address;
    answer::must(address, "POST", "/api/collections", DEFINITION)?;
    let began = std::time::Instant::now();
    for first in (0..PARCELS_COUNT).step_by(BATCH as usize) {
        let mut body = String::from(r#"{"requests":["#);
        for number in first..first + BATCH {
            let order = number * 7 % server.filled;
            let comma = if number > first { "," } else { "" };
            write!(
                body,
                r#"{comma}{{"method":"POST","url":"{PARCELS}","body":{{"order":"p{order:014}","weight":{number}}}}}"#
            )?;
        }
        body.push_str("]}");
        answer::must(address, "POST", "/api/batch", &body)?;
    }
    Ok(began.elapsed().as_secs_f64())
}
