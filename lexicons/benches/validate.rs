//! What holding a record against its lexicon costs, beside reading it from JSON, which no write can do
//! without.
//!
//! `cargo bench -p rochdale-lexicons`. Prints microseconds and the ratio.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement, not the product"
)]

use std::hint::black_box;
use std::time::Instant;

use rochdale_lexicons::Library;
use rochdale_protocol::data::json;

const ROUNDS: u32 = 20_000;

/// Microseconds of one call.
fn time(mut call: impl FnMut()) -> f64 {
    let began = Instant::now();
    for _ in 0..ROUNDS {
        call();
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
}

fn main() {
    let began = Instant::now();
    let library = Library::default();
    println!(
        "library: {:.0} us to open",
        began.elapsed().as_secs_f64() * 1e6
    );
    let id = "app.bsky.feed.post".parse().unwrap();
    let began = Instant::now();
    let post = library.record_type(&id).unwrap();
    let first = began.elapsed().as_secs_f64() * 1e6;
    println!(
        "app.bsky.feed.post: {first:.0} us at first use, {} definitions",
        post.definitions()
    );

    let plain = r#"{"$type":"app.bsky.feed.post","text":"Flour, butter, sugar, oatmeal and candles.",
        "createdAt":"2026-01-01T00:00:00.000Z","langs":["en"]}"#;
    let facets = r#"{"index":{"byteStart":0,"byteEnd":5},"features":[{"$type":"app.bsky.richtext.facet#link",
        "uri":"https://store.example/prices"}]}"#;
    let facets = [facets; 4].join(",");
    let long = "Grüße an alle 👩‍👩‍👦‍👦 ".repeat(13);
    let link = "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq";
    let to = format!(
        r#"{{"uri":"at://did:plc:44ybard66vv44zksje25o7dz/app.bsky.feed.post/3kznmn7xqxl22","cid":"{link}"}}"#
    );
    let rich = format!(
        r#"{{"$type":"app.bsky.feed.post","text":"{long}","createdAt":"2026-01-01T00:00:00.000Z","langs":["de"],
            "facets":[{facets}],"reply":{{"root":{to},"parent":{to}}},
            "embed":{{"$type":"app.bsky.embed.record","record":{to}}}}}"#
    );
    for (name, text) in [("a plain post", plain), ("a rich reply", &rich)] {
        let record = json::parse(text.as_bytes()).unwrap();
        let parse = time(|| {
            black_box(json::parse(black_box(text.as_bytes())).unwrap());
        });
        let check = time(|| post.validate(black_box(&record)).unwrap());
        let lookup = time(|| {
            black_box(library.record_type(black_box(&id)));
        });
        println!(
            "{name} ({} bytes): look-up {lookup:.2} + check {check:.2} us beside reading {parse:.2} us: {:.2}",
            text.len(),
            (lookup + check) / parse
        );
    }
}
