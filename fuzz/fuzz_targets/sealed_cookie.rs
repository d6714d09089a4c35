#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sessile::fuzzing::sealed_cookie(data));
