#![no_main]

#[path = "../src/tlog.rs"]
#[expect(dead_code, reason = "the other targets of the log")]
mod tlog;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tlog::tile_path(data));
