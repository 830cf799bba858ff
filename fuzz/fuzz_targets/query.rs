#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logboom_fuzz::query::check(data));
