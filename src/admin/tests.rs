//! That the table holds what the folder holds, and that answers are what the policy and caches need.

use std::fs;
use std::path::Path;

use axum::body::Body;
use axum::http::{Request, header};
use tower::ServiceExt as _;

use super::*;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/page")
}

fn walk(dir: &Path, into: &mut Vec<String>) {
    for item in fs::read_dir(dir).expect("a folder") {
        let path = item.expect("an item").path();
        if path.is_dir() {
            walk(&path, into);
        } else {
            into.push(path.strip_prefix(folder()).expect("below").to_string_lossy().into_owned());
        }
    }
}

async fn ask(path: &str, if_none_match: Option<&str>) -> Response {
    let mut request = Request::get(path);
    if let Some(tag) = if_none_match {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    router().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer")
}

#[test]
fn every_file_of_the_page_is_served() {
    let mut found = Vec::new();
    walk(&folder(), &mut found);
    found.sort();
    let mut served: Vec<&str> = FILES.iter().map(|file| file.name).collect();
    served.sort_unstable();
    assert_eq!(served, found);
}

#[test]
fn nothing_needs_what_the_policy_forbids() {
    for file in FILES {
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "://"] {
            // The namespace of SVG, and what an address of a webhook begins with, are words and not addresses.
            let known =
                ["http://www.w3.org/2000/svg", "http:// or https://", "https://…", "https://www.standardwebhooks"];
            let text = known.iter().fold(file.content.to_owned(), |text, one| text.replace(one, ""));
            assert!(!text.contains(word), "{} has {word}", file.name);
        }
    }
    for page in FILES.iter().filter(|file| file.name.ends_with(".html")) {
        let text = page.content;
        assert!(!text.contains("<style") && !text.contains("style=") && !text.contains("onload"), "{}", page.name);
        let with_source = ["<script src=\"", "<script type=\"module\" src=\""].map(|one| text.matches(one).count());
        assert_eq!(text.matches("<script").count(), with_source.iter().sum::<usize>(), "{}", page.name);
    }
}

#[test]
fn all_modules_are_fetched_at_once() {
    let index = FILES.iter().find(|file| file.name == "index.html").expect("an index").content;
    let later = |name: &&str| name.ends_with(".js") && !name.starts_with("js/docs/");
    for name in FILES.iter().map(|file| file.name).filter(later) {
        let named = [format!("src=\"{name}\""), format!("<link rel=\"modulepreload\" href=\"{name}\">")];
        assert_eq!(named.iter().map(|one| index.matches(one.as_str()).count()).sum::<usize>(), 1, "{name}");
    }
}

#[tokio::test]
async fn each_file_has_its_kind_its_policy_and_a_tag_that_saves_the_second_answer() {
    for (file, path) in FILES.iter().zip(paths()) {
        let response = ask(&path, None).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let headers = response.headers();
        assert_eq!(headers[CONTENT_TYPE], file.kind(), "{path}");
        assert_eq!(headers[CONTENT_SECURITY_POLICY], POLICY);
        let tag = headers[ETAG].to_str().expect("ASCII").to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {}+gzip\"", tag.trim_end_matches('"'))] {
            assert_eq!(ask(&path, Some(&known)).await.status(), StatusCode::NOT_MODIFIED, "{path} {known}");
        }
        assert_eq!(ask(&path, Some("\"other\"")).await.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(ask("/_", None).await.headers()[LOCATION], PLACE);
    assert_eq!(ask("/_/js/../index.html", None).await.status(), StatusCode::NOT_FOUND);
}
