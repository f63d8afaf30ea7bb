//! The flights of `data/flights`: its files' own forms become bodies of creates.

use serde_json::{Map, Value, json};

use super::{Filling, Records, parse};
use crate::error::{Error, Result};
use crate::id::RecordId;
use crate::model::job::JOBS;

const COLLECTIONS: &str = include_str!("../../../data/flights/collections.json");
const AIRPORTS: &str = include_str!("../../../data/flights/airports.csv");
const REPORT: &str = include_str!("../../../data/flights/report.json");
const FLIGHTS: &str = include_str!("../../../data/flights/flights-20k.json");

/// A report of delays by airports, and the job that makes it every day.
pub(super) fn report() -> Result<Filling> {
    #[derive(serde::Deserialize)]
    struct Report {
        collection: Value,
        job: Map<String, Value>,
    }
    let Report { collection, job } = parse(REPORT)?;
    let id = RecordId::new(job["name"].as_str().unwrap_or_default())?;
    Ok(Filling { collections: vec![collection], records: vec![(JOBS.to_owned(), vec![(id, job)])] })
}

/// Airports before the flights that point at them.
pub(super) fn filling() -> Result<Filling> {
    let records = vec![("airports".into(), airports()?), ("flights".into(), flights()?)];
    Ok(Filling { collections: parse(COLLECTIONS)?, records })
}

fn airports() -> Result<Records> {
    let mut lines = AIRPORTS.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    lines
        .map(|line| {
            // The file quotes nothing; its README says where it is from.
            let mut fields: Map<String, Value> =
                names.iter().zip(line.split(',')).map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
            let id = fields.remove("iata").and_then(|id| RecordId::new(id.as_str()?).ok());
            for name in ["latitude", "longitude"] {
                let number = fields[name].as_str().and_then(|text| text.trim().parse::<f64>().ok());
                fields.insert(name.to_owned(), json!(number));
            }
            for name in ["city", "state"] {
                if fields[name] == "NA" {
                    fields.insert(name.to_owned(), Value::Null);
                }
            }
            Ok((id.ok_or_else(|| Error::internal("an airport without a code"))?, fields))
        })
        .collect()
}

fn flights() -> Result<Records> {
    let flights: Vec<Map<String, Value>> = parse(FLIGHTS)?;
    flights
        .into_iter()
        .enumerate()
        .map(|(at, mut fields)| {
            // 2001/01/01 00:47, the file's own way.
            let date = fields["date"].as_str().unwrap_or_default().replace('/', "-");
            fields.insert("date".to_owned(), json!(date));
            Ok((RecordId::new(&format!("f{:05}", at + 1))?, fields))
        })
        .collect()
}
