//! What a parser by the standard finds in our output. `ammonia` reads it (by html5ever) once with our own lists and once
//! with lists that let everything through: where both answers are one, nothing stands in it that isn't on our lists.

use std::collections::HashSet;
use std::sync::LazyLock;

use ammonia::Builder;
use proptest::prelude::*;

use super::super::safe::{ATTRIBUTES, ELEMENTS, SCHEMES};
use super::super::{excerpt, safe, strip};
use super::soup;

/// Elements that are on no list of ours; `tags` has others by name.
const BANNED: [&str; 62] = [
    "acronym",
    "animate",
    "annotation-xml",
    "applet",
    "area",
    "aside",
    "audio",
    "base",
    "big",
    "body",
    "button",
    "center",
    "desc",
    "dialog",
    "embed",
    "fieldset",
    "font",
    "foreignObject",
    "form",
    "frame",
    "frameset",
    "head",
    "html",
    "iframe",
    "image",
    "input",
    "isindex",
    "label",
    "link",
    "listing",
    "main",
    "malignmark",
    "map",
    "marquee",
    "math",
    "meta",
    "mglyph",
    "mi",
    "mtext",
    "nav",
    "nobr",
    "noembed",
    "noframes",
    "noscript",
    "object",
    "option",
    "param",
    "plaintext",
    "script",
    "select",
    "set",
    "source",
    "style",
    "svg",
    "template",
    "textarea",
    "tfoot",
    "thead",
    "title",
    "use",
    "video",
    "xmp",
];

/// Letters that attributes begin with.
const LETTERS: [&str; 26] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w",
    "x", "y", "z",
];

/// Lets through what is on our lists.
static OURS: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::empty();
    builder
        .tags(ELEMENTS.iter().map(|(name, _)| *name).collect())
        .tag_attributes(ELEMENTS.iter().map(|(name, own)| (*name, own.iter().copied().collect())).collect())
        .add_tag_attributes("a", ["rel"])
        .generic_attributes(ATTRIBUTES.into())
        .url_schemes(SCHEMES.into())
        .clean_content_tags(HashSet::new())
        .link_rel(None);
    builder
});

/// Lets through whatever a parser finds.
static ALL: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::empty();
    builder
        .tags(ELEMENTS.iter().map(|(name, _)| *name).chain(BANNED).collect())
        .generic_attribute_prefixes(LETTERS.into())
        .url_schemes(SCHEMES.into_iter().chain(["javascript", "vbscript", "data", "file", "blob", "feed"]).collect())
        .clean_content_tags(HashSet::new())
        .link_rel(None)
        .strip_comments(false);
    builder
});

/// What a parser finds beyond our lists, as the text with and without it; `None` if nothing.
fn found(html: &str) -> Option<(String, String)> {
    let [all, ours] = [&*ALL, &*OURS].map(|builder| builder.clean(html).to_string());
    (all != ours).then_some((all, ours))
}

/// Texts that ran somewhere, or were read otherwise by a sanitizer than by a browser.
const HOSTILE: [&str; 76] = [
    "<script>alert(1)</script>",
    "<ScRiPt\n>alert(1)</sCrIpT\t>",
    "<script/x>alert(1)</script>",
    "<<script>alert(1);//<</script>",
    "<script src=//x.test/x.js?<b>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<scr\0ipt>alert(1)</scr\0ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src=x:x onerror\n=\nalert(1) >",
    "<img/src=`x`onerror=alert(1)>",
    "<img src=x\x0conerror=alert(1)>",
    "<img \"\"\"><script>alert(1)</script>\">",
    "<img src=\"x` `<script>alert(1)</script>\"` `>",
    "<img src='x' o\0nerror=alert(1)>",
    "<img =\" onerror=alert(1)//\" src=x>",
    "<img a==\"x onerror=alert(1)\" src=x>",
    "<img src=\"x\" alt=\"``onerror=alert(1)\">",
    "<b onmouseover=alert(1)>x</b>",
    "<p title='</p><img src=x onerror=alert(1)>'>x",
    "<p title=\"</p><script>alert(1)</script>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>x</details>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href=JaVaScRiPt:alert(1)>x</a>",
    "<a href=\"jav\tascript:alert(1)\">x</a>",
    "<a href=\"jav&#x09;ascript:alert(1)\">x</a>",
    "<a href=\"jav&#x0A;ascript:alert(1)\">x</a>",
    "<a href=\"jav&NewLine;ascript:alert(1)\">x</a>",
    "<a href=\"javascript&colon;alert(1)\">x</a>",
    "<a href=\" &#14; javascript:alert(1)\">x</a>",
    "<a href=\"\x01\x02javascript:alert(1)\">x</a>",
    "<a href=\"java\0script:alert(1)\">x</a>",
    "<a href=\"&#106&#97&#118&#97&#115&#99&#114&#105&#112&#116&#58&#97\">x</a>",
    "<a href=\"&#0000106;&#x6a;avascript:alert(1)\">x</a>",
    "<a href=\"&#0000000000000000000000000000000106avascript:alert(1)\">x</a>",
    "<a href=\"javascript&#58alert(1)\">x</a>",
    "<a href=\"&Tab;javascript&#x3A;alert(1)\">x</a>",
    "<a href=\"\u{a0}javascript:alert(1)\">x</a>",
    "<a href=\"\u{2028}javascript:alert(1)\">x</a>",
    "<a href=\"\u{feff}javascript:alert(1)\">x</a>",
    "<a href=\"vbscript:x\">x</a>",
    "<a href=\"data:text/html;base64,PHNjcmlwdD4=\">x</a>",
    "<a href=\"feed:javascript:alert(1)\">x</a>",
    "<img src=\"data:image/svg+xml,<svg onload=alert(1)>\">",
    "<img srcset=\"javascript:alert(1) 1x\">",
    "<blockquote cite=\"javascript:alert(1)\">x</blockquote>",
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
    "<iframe src=javascript:alert(1)>",
    "<object data=javascript:alert(1)></object><embed src=javascript:alert(1)>",
    "<form action=javascript:alert(1)><button formaction=javascript:alert(1)>x</button></form>",
    "<base href=//x.test/><link rel=stylesheet href=//x.test/><meta http-equiv=refresh content=0>",
    "<svg onload=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert&#40;1&#41;</script></svg>",
    "<svg><a xlink:href=javascript:alert(1)><text>x</text></a></svg>",
    "<svg><animate attributeName=href values=javascript:alert(1) /></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
    "<svg><title><img src=x onerror=alert(1)></title></svg>",
    "<svg><![CDATA[><img src=x onerror=alert(1)>]]></svg>",
    "<svg><foreignObject><p><img src=x onerror=alert(1)></foreignObject></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<math><annotation-xml encoding=text/html><style><img src=x onerror=alert(1)></style></annotation-xml></math>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\"></noscript>",
    "<title><p title=\"</title><img src=x onerror=alert(1)>\"></title>",
    "<textarea><p title=\"</textarea><img src=x onerror=alert(1)>\"></textarea>",
    "<xmp><p title=\"</xmp><svg/onload=alert(1)>\">",
    "<noembed><p title=\"</noembed><img src=x onerror=alert(1)>\">",
    "<style><!--</style><img src=x onerror=alert(1)>--></style>",
    "<select><template><style><!--</style><a rel=\"--></style></template></select><img id=x src onerror=alert(1)>\">",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!--- --!><img src=x onerror=alert(1)>-->",
    "<!doctype x \"><img src=x onerror=alert(1)>\"><?xml ><img src=x onerror=alert(1)>?>",
    "<plaintext><img src=x onerror=alert(1)>",
];

#[test]
fn a_parser_finds_nothing_in_hostile_texts_made_harmless() {
    for html in HOSTILE {
        let clean = safe(html).into_owned();
        assert_eq!(found(&clean), None, "{html:?} became {clean:?}");
        assert_eq!(safe(&clean), clean, "{html:?}");
        let text = strip(html).into_owned();
        assert!(!ALL.clean(&text).to_string().contains('<'), "{html:?} became {text:?}");
        assert_eq!(strip(&text), text, "{html:?}");
    }
    let seen = HOSTILE.iter().filter(|html| found(html).is_some()).count();
    assert!(seen > HOSTILE.len() / 2, "the comparison sees what is there: {seen}");
}

#[test]
fn hostile_texts_in_one_another_are_made_harmless_too() {
    for outer in HOSTILE {
        for inner in HOSTILE {
            let half = outer.char_indices().nth(outer.chars().count() / 2).map_or(0, |(at, _)| at);
            let html = format!("{}{inner}{}", &outer[..half], &outer[half..]);
            let clean = safe(&html).into_owned();
            assert_eq!(found(&clean), None, "{html:?} became {clean:?}");
            assert_eq!(safe(&clean), clean, "{html:?}");
        }
    }
}

/// Well-formed rich text, as an editor makes it.
fn rich() -> impl Strategy<Value = String> {
    let words = "[a-z ,.äß€]{1,12}";
    let line = proptest::collection::vec(
        prop_oneof![
            words.prop_map(|text| text),
            words.prop_map(|text| format!("<b>{text}</b>")),
            words.prop_map(|text| format!("<em title=\"{text}\">{text}<sub>2</sub></em>")),
            words.prop_map(|text| format!("a &lt; b &amp; {text}<br>")),
            words.prop_map(|text| {
                format!("<a href=\"https://example.org/a?b=c&amp;d\" rel=\"noopener noreferrer\">{text}</a>")
            }),
            Just("<img src=\"/a.png\" alt=\"a\" width=\"10\">".to_owned()),
        ],
        1..4,
    )
    .prop_map(|pieces| pieces.concat());
    let block = prop_oneof![
        line.clone().prop_map(|line| format!("<p>{line}</p>")),
        line.clone().prop_map(|line| format!("<h2 lang=\"de\">{line}</h2><hr>")),
        line.clone().prop_map(|line| format!("<pre><code>{line}</code></pre>")),
    ];
    block.prop_recursive(4, 24, 4, move |inner| {
        let many = proptest::collection::vec(inner, 1..4);
        prop_oneof![
            many.clone().prop_map(|blocks| format!("<div>{}</div>", blocks.concat())),
            many.clone().prop_map(|blocks| format!("<ul><li>{}</li></ul>", blocks.join("</li><li>"))),
            many.clone().prop_map(|blocks| format!("<blockquote>{}</blockquote>", blocks.concat())),
            many.prop_map(|cells| format!(
                "<table><tbody><tr><td colspan=\"2\">{}</td></tr></tbody></table>",
                cells.join("</td><td>")
            )),
        ]
    })
}

/// Pieces of hostile texts in any order.
fn splinters() -> impl Strategy<Value = String> {
    let cut = (0..HOSTILE.len(), 0..80_usize, 0..80_usize)
        .prop_map(|(which, from, length)| HOSTILE[which].chars().skip(from).take(length).collect::<String>());
    proptest::collection::vec(cut, 1..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_parser_finds_nothing_in_any_text_made_harmless(html in prop_oneof![soup(), splinters()]) {
        let clean = safe(&html).into_owned();
        prop_assert_eq!(found(&clean), None, "became {}", clean);
        prop_assert_eq!(safe(&clean), clean.as_str());
    }

    #[test]
    fn a_parser_finds_no_tags_in_what_is_left_of_any_text(html in prop_oneof![soup(), splinters()]) {
        let text = strip(&html).into_owned();
        prop_assert!(!ALL.clean(&text).to_string().contains('<'), "{:?}", text);
        prop_assert_eq!(strip(&text), text.as_str());
    }

    #[test]
    fn rich_text_is_read_as_a_parser_reads_it(html in rich()) {
        prop_assert_eq!(safe(&html), html.as_str());
        prop_assert_eq!(OURS.clean(&html).to_string(), html);
    }

    #[test]
    fn any_text_has_a_harmless_form(html in any::<String>(), max in 0..100_usize) {
        let clean = safe(&html).into_owned();
        prop_assert_eq!(found(&clean), None);
        prop_assert_eq!(safe(&clean), clean.as_str());
        prop_assert!(excerpt(&html, max, false).chars().count() <= max);
    }
}
