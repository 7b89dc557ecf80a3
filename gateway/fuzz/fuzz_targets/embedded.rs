#![no_main]
#![allow(dead_code, reason = "each target runs one of the properties")]

#[path = "../../tests/frames/inside.rs"]
mod inside;
#[path = "../../tests/frames/properties.rs"]
mod properties;
#[path = "../../tests/frames/tenant.rs"]
mod tenant;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = properties::embedded(bytes);
});
