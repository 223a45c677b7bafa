#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vivarium::testing::fuzz::run("zookeeper_snapshot", bytes));
