#![no_main]

#[path = "../src/schema.rs"]
mod schema;

libfuzzer_sys::fuzz_target!(|data: &[u8]| schema::schema(data));
