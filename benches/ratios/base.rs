//! redb alone: the writes of a create (a row and two index entries) made directly into it, 64 creates to a durable
//! transaction. What creates would cost if the base were in their way.

use std::time::{Duration, Instant};

use redb::{Database, Durability, TableDefinition};

use crate::report::Row;
use crate::template::Template;
use crate::{Bench, Outcome, orders};

const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
const CREATES: u64 = 64;
const FILLED: u64 = 100_000;

pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let dir = crate::folder()?;
    let base = Database::builder().set_cache_size(64 << 20).create(dir.path().join("base.redb"))?;
    let record = orders::record();
    for piece in 0..FILLED / 10_000 {
        write(&base, &record, piece * 10_000, 10_000, Durability::None)?;
    }
    write(&base, &record, FILLED, CREATES, Durability::Immediate)?;
    let time = Duration::from_secs(if bench.quick { 2 } else { 6 });
    let (began, mut next) = (Instant::now(), FILLED + CREATES);
    while began.elapsed() < time {
        write(&base, &record, next, CREATES, Durability::Immediate)?;
        next += CREATES;
    }
    let per_second = (next - FILLED - CREATES) as f64 / began.elapsed().as_secs_f64();
    bench.report.add(Row::new("redb alone: creates, 64 to a durable transaction", per_second, "1/s"));
    Ok(())
}

fn write(base: &Database, record: &Template, first: u64, creates: u64, durability: Durability) -> Outcome<()> {
    let mut transaction = base.begin_write()?;
    transaction.set_durability(durability)?;
    {
        let mut table = transaction.open_table(ROWS)?;
        let mut text = Vec::new();
        for n in first..first + creates {
            record.write(n, &mut text);
            let row = [b"\0\0\0\x01\0\0\0\x01r".as_slice(), format!("{n:015}").as_bytes()].concat();
            table.insert(row.as_slice(), text.as_slice())?;
            for (index, values) in [(b"\x01", &text[13..18]), (b"\x02", &text[30..34])] {
                let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                let key = [b"\0\0\0\x01\0\0\0\x01i", index.as_slice(), values, &spread, &row[9..]].concat();
                table.insert(key.as_slice(), [].as_slice())?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
