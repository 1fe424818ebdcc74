//! libFuzzer's way into [`fuzz::packets`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::packets::check(bytes));
