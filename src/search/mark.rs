//! Highlights: the piece of a text in which most of what is searched for stands, as HTML in which that is marked.

use std::ops::Range;

use super::query::Sought;
use crate::id::FieldId;
use crate::limits;
use crate::model::value::Fields;

impl Sought {
    /// The highlight of a field that is searched in; `None` where nothing of the search stands in it.
    pub fn highlight(&self, field: FieldId, fields: &Fields) -> Option<String> {
        let indexed = self.fields.iter().find(|one| one.indexed.field == field)?;
        let text = indexed.indexed.text(fields)?;
        let marks = self.marks(field, &text);
        (!marks.is_empty()).then(|| marked(&text, &marks))
    }
}

/// The piece around the most marks, the first of several such, between words; dots where it is cut.
fn marked(text: &str, marks: &[Range<usize>]) -> String {
    let piece = piece(text, marks);
    let mut out = String::with_capacity(piece.len() + 64);
    if piece.start > 0 {
        out.push('…');
    }
    let mut at = piece.start;
    for mark in marks.iter().filter(|mark| piece.start <= mark.start && mark.end <= piece.end) {
        escape(&text[at..mark.start], &mut out);
        out.push_str("<mark>");
        escape(&text[mark.clone()], &mut out);
        out.push_str("</mark>");
        at = mark.end;
    }
    escape(&text[at..piece.end], &mut out);
    if piece.end < text.len() {
        out.push('…');
    }
    out
}

fn piece(text: &str, marks: &[Range<usize>]) -> Range<usize> {
    const LONGEST: usize = limits::SEARCH_HIGHLIGHT_BYTES;
    if text.len() <= LONGEST {
        return 0..text.len();
    }
    // Marks that lie within one piece, by the first of them.
    let within =
        |first: usize| marks[first..].iter().take_while(|mark| mark.end <= marks[first].start + LONGEST / 2).count();
    let best = (0..marks.len()).rev().max_by_key(|first| within(*first)).unwrap_or(0);
    let from = marks[best].start.saturating_sub(LONGEST / 4);
    let least = marks[best].end;
    let start = match from {
        0 => 0,
        from => {
            let from = text.ceil_char_boundary(from).min(marks[best].start);
            text[from..marks[best].start].find(char::is_whitespace).map_or(from, |space| from + space)
        }
    };
    let start = start + (text[start..].len() - text[start..].trim_start().len()).min(marks[best].start - start);
    let end = text.floor_char_boundary((start + LONGEST).min(text.len())).max(least);
    let end = match end == text.len() {
        true => end,
        false => text[least..end].rfind(char::is_whitespace).map_or(end, |space| least + space),
    };
    start..end
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, words: &[&str]) -> Vec<Range<usize>> {
        let mut marks: Vec<Range<usize>> =
            words.iter().flat_map(|word| text.match_indices(word).map(|(at, word)| at..at + word.len())).collect();
        marks.sort_by_key(|mark| mark.start);
        marks
    }

    #[test]
    fn what_is_searched_for_is_marked_and_all_else_is_text() {
        let text = "a <b> & \"fox\" 'n' fox";
        let expected = "a &lt;b&gt; &amp; &quot;<mark>fox</mark>&quot; &#39;n&#39; <mark>fox</mark>";
        assert_eq!(marked(text, &at(text, &["fox"])), expected);
    }

    #[test]
    fn a_long_text_is_cut_to_the_piece_with_most_marks() {
        let text = format!("fox {}red fox den {}", "lorem ipsum ".repeat(60), "dolor amet ".repeat(60));
        let shown = marked(&text, &at(&text, &["fox", "red", "den"]));
        assert!(shown.contains("<mark>red</mark> <mark>fox</mark> <mark>den</mark>"), "{shown}");
        assert!(shown.starts_with('…') && shown.ends_with('…'), "{shown}");
        assert!(shown.len() < limits::SEARCH_HIGHLIGHT_BYTES + 64, "{shown}");
        let letters = "ä".repeat(2_000);
        let shown = marked(&letters, std::slice::from_ref(&(1_000..1_002)));
        assert!(shown.contains("<mark>ä</mark>"), "{shown}");
        let whole = "x".repeat(3_000);
        assert_eq!(marked(&whole, std::slice::from_ref(&(0..3_000))), format!("<mark>{whole}</mark>"));
    }
}
