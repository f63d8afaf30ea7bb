//! Lines as they are split, however the bytes are cut.

use super::{Form, Piece, Splitter, Text};
use crate::disk::sim::Rng;
use crate::limits;

/// The lines of `bytes`, fed in parts that end at `cuts`: number and content, or the code of what is wrong.
fn lines(form: Form, bytes: &[u8], cuts: &[usize]) -> Vec<(u64, String)> {
    let mut splitter = Splitter::new(form);
    let (mut pieces, mut piece) = (Vec::new(), Piece::default());
    let mut from = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        let mut part = &bytes[from..cut];
        from = cut;
        while !part.is_empty() {
            let taken = splitter.feed(part, &mut piece);
            part = &part[taken..];
            if piece.is_full() {
                pieces.push(std::mem::take(&mut piece));
            } else {
                assert!(part.is_empty(), "only a full piece leaves bytes");
            }
        }
    }
    splitter.finish(&mut piece);
    pieces.push(piece);
    pieces.iter().flat_map(Piece::lines).map(|line| (line.number, said(line.text))).collect()
}

fn said(text: Result<Text<'_>, (&'static str, String)>) -> String {
    match text {
        Err((code, _)) => format!("!{code}"),
        Ok(Text::Json(text)) => String::from_utf8_lossy(text).into_owned(),
        Ok(Text::Cells(cells)) => {
            let cell = |(text, quoted): (&[u8], bool)| {
                let quote = if quoted { "'" } else { "" };
                format!("{quote}{}{quote}", String::from_utf8_lossy(text))
            };
            cells.iter().map(cell).collect::<Vec<_>>().join("|")
        }
    }
}

#[track_caller]
fn check(form: Form, text: &str, expected: &[(u64, &str)]) {
    let whole = lines(form, text.as_bytes(), &[]);
    let shown: Vec<(u64, &str)> = whole.iter().map(|(line, text)| (*line, text.as_str())).collect();
    assert_eq!(shown, expected, "{text:?}");
    for cut in 0..=text.len() {
        assert_eq!(lines(form, text.as_bytes(), &[cut]), whole, "{text:?} cut at {cut}");
    }
    let all: Vec<usize> = (0..text.len()).collect();
    assert_eq!(lines(form, text.as_bytes(), &all), whole, "{text:?} byte by byte");
}

#[test]
fn lines_of_json_end_with_a_newline_and_blank_ones_are_none() {
    let lines = |text, expected: &[(u64, &str)]| check(Form::Ndjson, text, expected);
    lines("", &[]);
    lines("\n\r\n \t\n", &[]);
    lines("{}", &[(1, "{}")]);
    lines("{}\n[]\n", &[(1, "{}"), (2, "[]")]);
    lines("{}\r\n\r\n{\"a\":1}\r\n", &[(1, "{}\r"), (3, "{\"a\":1}\r")]);
    lines("\u{feff}{}\n\u{feff}{}", &[(1, "{}"), (2, "\u{feff}{}")]);
    // Two bytes of a mark, and then another character.
    lines("\u{fec0}", &[(1, "\u{fec0}")]);
}

#[test]
fn rows_of_a_table_are_cells_with_and_without_quotes() {
    let rows = |text, expected: &[(u64, &str)]| check(Form::Csv, text, expected);
    rows("", &[]);
    rows("\r\n\n", &[]);
    rows("a", &[(1, "a")]);
    rows("a,b\r\n1,2\r\n", &[(1, "a|b"), (2, "1|2")]);
    rows("a,b\n1,\n,\n\"\",\n", &[(1, "a|b"), (2, "1|"), (3, "|"), (4, "''|")]);
    rows("a,", &[(1, "a|")]);
    rows("\"a\"\"b\",\"c,\r\nd\"\n\nx,y", &[(1, "'a\"b'|'c,\r\nd'"), (4, "x|y")]);
    rows("\u{feff}\"a\",b", &[(1, "'a'|b")]);
    rows("a b, c ,d\"e", &[(1, "a b| c |d\"e")]);
    rows("a,\"b\n1,2\n", &[(1, "!bad_csv")]);
    rows("a,b\n\"\"\"", &[(1, "a|b"), (2, "!bad_csv")]);
    rows("a,b\n\"\"\"\"", &[(1, "a|b"), (2, "'\"'")]);
}

#[test]
fn a_line_that_is_too_long_is_passed_over_and_never_held() {
    for form in [Form::Ndjson, Form::Csv] {
        let mut splitter = Splitter::new(form);
        let mut piece = Piece::default();
        assert_eq!(splitter.feed(b"a\n", &mut piece), 2);
        let part = vec![b'x'; 1 << 20];
        let mut most = 0;
        for _ in 0..3 * limits::LINE_BYTES_MAX / part.len() {
            assert_eq!(splitter.feed(&part, &mut piece), part.len());
            most = most.max(piece.text.capacity());
        }
        assert!(most <= 2 * limits::LINE_BYTES_MAX, "{most} bytes were held");
        assert_eq!(splitter.feed(b"\nb\n", &mut piece), 3);
        let found: Vec<_> = piece.lines().map(|line| (line.number, said(line.text))).collect();
        assert_eq!(found, [(1, "a".into()), (2, "!line_too_long".into()), (3, "b".into())]);
    }
    let just = format!("{}\n", "x".repeat(limits::LINE_BYTES_MAX - 1));
    assert_eq!(lines(Form::Csv, just.as_bytes(), &[])[0].1.len(), limits::LINE_BYTES_MAX - 1);
}

#[test]
fn cells_of_a_row_are_bounded() {
    let row = |cells: usize| format!("{}\nb\n", vec!["a"; cells].join(","));
    let found = |cells| lines(Form::Csv, row(cells).as_bytes(), &[]);
    assert_eq!(found(limits::CSV_COLUMNS_MAX)[0].1.len(), 2 * limits::CSV_COLUMNS_MAX - 1);
    assert_eq!(found(limits::CSV_COLUMNS_MAX + 1), [(1, "!too_many_cells".into()), (2, "b".into())]);
}

#[test]
fn pieces_are_bounded_in_lines_and_bytes() {
    let mut splitter = Splitter::new(Form::Ndjson);
    let mut piece = Piece::default();
    let many = "x\n".repeat(limits::ENTRY_CHANGES_PIECE + 1);
    assert_eq!(splitter.feed(many.as_bytes(), &mut piece), many.len() - 2);
    assert!(piece.is_full() && piece.len() == limits::ENTRY_CHANGES_PIECE);
    let mut piece = Piece::default();
    let long = format!("{}\n", "x".repeat(limits::IMPORT_PIECE_BYTES / 2)).repeat(3);
    let taken = splitter.feed(long.as_bytes(), &mut piece);
    assert!(piece.is_full() && piece.len() == 2 && taken < long.len());
}

#[test]
fn the_first_row_is_taken_out_whole() {
    let mut piece = Piece::default();
    let mut splitter = Splitter::new(Form::Csv);
    splitter.feed(b"id,\"n\"\na,1\n\"b\",\n", &mut piece);
    let first = piece.split_first().expect("a row");
    assert_eq!(first.lines().map(|line| said(line.text)).collect::<Vec<_>>(), ["id|'n'"]);
    let left: Vec<_> = piece.lines().map(|line| (line.number, said(line.text))).collect();
    assert_eq!(left, [(2, "a|1".into()), (3, "'b'|".into())]);
}

#[test]
fn any_cuts_give_the_same_lines() {
    const WORDS: [&str; 14] =
        ["\"", "\"\"", ",", "\n", "\r\n", "\r", "a", "ä", ";", "{}", " ", "\u{feff}", "\"a\"", "x,y"];
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed);
        let text: String = (0..rng.below(30)).map(|_| WORDS[rng.below(WORDS.len() as u64) as usize]).collect();
        let mut cuts: Vec<usize> = (0..rng.below(6)).map(|_| rng.below(text.len() as u64 + 1) as usize).collect();
        cuts.sort_unstable();
        for form in [Form::Ndjson, Form::Csv] {
            let whole = lines(form, text.as_bytes(), &[]);
            assert_eq!(lines(form, text.as_bytes(), &cuts), whole, "seed {seed}: {text:?} cut at {cuts:?}");
        }
    }
}
