#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rochdale_fuzz::mst_edits(data));
