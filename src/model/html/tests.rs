//! Hostile and harmless HTML by tables, and what holds of any text at all.

mod parsed;

use proptest::prelude::*;

use super::tokens::{Token, Tokens};
use super::*;

#[test]
fn a_plain_text_is_left_of_markup() {
    let table = [
        ("", ""),
        ("plain", "plain"),
        ("a < b, b > c & d", "a < b, b > c & d"),
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("<div>one<br>two<br/>three</div>\n", "one\ntwo\nthree\n"),
        ("<ul>\n<li>a</li>\n<li>b</li>\n</ul>", "\na\nb\n"),
        ("a<b>b</b>c", "abc"),
        ("&lt;3 &amp; &quot;x&quot; &#65;&#x42;&nbsp;&copy;&euro;&hellip;", "<3 & \"x\" AB\u{a0}©€…"),
        ("&unknown; &amp &; &#; &#x; &#99999999;", "&unknown; &amp &; &#; &#x; \u{fffd}"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;script>alert(1)&lt;/script>"),
        ("&amp;lt;b&amp;gt;", "&amp;lt;b&amp;gt;"),
        ("<<b>script>alert(1)<<b>/script>", "&lt;script>alert(1)&lt;/script>"),
        ("a<script>b</script>c<style>d</style>e", "ace"),
        ("a<script>b", "a"),
        ("a<!-- <b> -->b<!doctype html>c<?php x ?>d</ >e", "abcde"),
        ("a<!-->b<!--->c<!-- d --!>e", "abce"),
        ("a<b title='>'>b</b>", "ab"),
        ("a<b title=\">\" x=y>b</b>", "ab"),
        ("a<b", "a"),
        ("a <", "a <"),
        ("a </", "a &lt;/"),
        ("a<b title='", "a"),
        ("nul\0l", "null"),
    ];
    for (html, expected) in table {
        assert_eq!(strip(html), expected, "{html}");
    }
}

#[test]
fn what_an_editor_makes_stays() {
    let table = [
        "<p>one <b>two</b> <i>three</i></p>",
        "<h1>a</h1><ul><li>b</li><li>c</li></ul><hr><pre><code>d &lt; e</code></pre>",
        "<table><tbody><tr><td colspan=\"2\">a</td></tr></tbody></table>",
        "<a href=\"https://example.org/a?b=c&amp;d#e\" rel=\"noopener noreferrer\">x</a>",
        "<a href=\"mailto:a@example.org\" target=\"_blank\" rel=\"noopener noreferrer\">x</a>",
        "<a href=\"/page\" rel=\"noopener noreferrer\">x</a><a href=\"#a:b\" rel=\"noopener noreferrer\">y</a>",
        "<img src=\"https://example.org/a.png\" alt=\"a &quot;b&quot;\" width=\"10\" height=\"50%\">",
        "a &copy; b &amp; c &#65;",
        "<p title=\"x\" lang=\"ar\" dir=\"rtl\">a</p>",
    ];
    for html in table {
        assert_eq!(safe(html), html);
    }
}

#[test]
fn what_does_harm_goes() {
    let table = [
        ("<script>alert(1)</script>a", "a"),
        ("<SCRIPT SRC=//x></SCRIPT >a", "a"),
        ("<script>a</scriptx></script>b", "b"),
        ("<style>@import 'x'</style>a", "a"),
        ("<img src=x onerror=alert(1)>", "<img src=\"x\">"),
        ("<img src=\"x\"onerror=\"alert(1)\">", "<img src=\"x\">"),
        ("<img/src=x/onerror=alert(1)>", "<img src=\"x/onerror=alert(1)\">"),
        ("<p style=\"position:fixed\" class=x id=y>a</p>", "<p>a</p>"),
        ("<a href=\"javascript:alert(1)\">x</a>", "<a rel=\"noopener noreferrer\">x</a>"),
        ("<a href=\" \u{1}java\nscript\t:alert(1)\">x</a>", "<a rel=\"noopener noreferrer\">x</a>"),
        ("<a href=\"java&#115;cript&#58;alert(1)\">x</a>", "<a rel=\"noopener noreferrer\">x</a>"),
        ("<a href=\"JaVaScRiPt:alert(1)\">x</a>", "<a rel=\"noopener noreferrer\">x</a>"),
        (
            "<a href=\"javascript&colon;alert(1)\">x</a>",
            "<a href=\"javascript&amp;colon;alert(1)\" rel=\"noopener noreferrer\">x</a>",
        ),
        ("<a href=data:text/html,x>x</a>", "<a rel=\"noopener noreferrer\">x</a>"),
        ("<img src=\"data:image/svg+xml,x\">", "<img>"),
        ("<a target=_self href=vbscript:x>x</a>", "<a rel=\"noopener noreferrer\">x</a>"),
        ("<iframe src=x>a</iframe><object data=x>b</object><embed src=x>", "b"),
        ("<svg onload=alert(1)><script>x</script><p>a</p></svg>", "<p>a</p>"),
        ("<math><mi xlink:href=x>a</mi></math>", "a"),
        ("<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">", "<img src=\"x\">\"&gt;"),
        ("<form action=x><input name=y><button>go</button></form>", "go"),
        ("<base href=x><meta http-equiv=refresh><link rel=stylesheet>", ""),
        ("<template><p>a</p></template>", "<p>a</p>"),
        ("<p title=\"a\" title=\"b\">x</p>", "<p title=\"a\">x</p>"),
        ("<p title='\"><script>'>x</p>", "<p title=\"&quot;&gt;&lt;script&gt;\">x</p>"),
        ("<<script>a</script>b", "&lt;b"),
        ("a<b", "a"),
        ("<p>a<p>b", "<p>a</p><p>b</p>"),
        ("<b><i>a</b>c</i>", "<b><i>a</i></b>c"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"),
        ("</p></b>a", "a"),
        ("a > b & c", "a &gt; b &amp; c"),
        ("<td colspan=x width=1>a</td>", "<td>a</td>"),
    ];
    for (html, expected) in table {
        assert_eq!(safe(html), expected, "{html}");
    }
    let deep = "<b>".repeat(1_000);
    assert_eq!(safe(&deep), format!("{}{}", "<b>".repeat(64), "</b>".repeat(64)));
}

/// Texts that are more likely than others to be markup.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<".to_owned()),
        Just("</".to_owned()),
        Just("<!--".to_owned()),
        Just("-->".to_owned()),
        Just(">".to_owned()),
        Just("=".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just(" ".to_owned()),
        Just("/".to_owned()),
        Just("\n".to_owned()),
        Just("&".to_owned()),
        Just("&lt;".to_owned()),
        Just("&amp;".to_owned()),
        Just("#60;".to_owned()),
        Just("lt;".to_owned()),
        Just("amp;".to_owned()),
        Just("href".to_owned()),
        Just("javascript:".to_owned()),
        Just("onclick".to_owned()),
        "(script|style|p|b|a|br|li|img|svg|title|div)",
        any::<char>().prop_map(|c| c.to_string()),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_harmless_stays_as_it_is_and_holds_nothing_else(html in soup()) {
        let once = safe(&html).into_owned();
        prop_assert_eq!(safe(&once), once.as_str());
        for token in Tokens(&once) {
            if let Token::Open(name, attributes) = token {
                prop_assert!(!["script", "style", "svg", "title"].contains(&&*name), "{}", once);
                for (name, value) in attributes {
                    prop_assert!(!name.starts_with("on"), "{}", once);
                    prop_assert!(!value.to_lowercase().starts_with("javascript:"), "{}", once);
                }
            }
        }
    }

    #[test]
    fn a_plain_text_has_no_tags_and_stays_as_it_is(html in soup()) {
        let once = strip(&html).into_owned();
        prop_assert_eq!(strip(&once), once.as_str());
        prop_assert!(Tokens(&once).all(|token| matches!(token, Token::Text(_))), "{}", once);
    }
}
