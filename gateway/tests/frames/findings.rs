//! Bytes that once broke a property, each with the property and why.

use crate::properties::{self, Outcome};

type Property = fn(&[u8]) -> Outcome;

/// What was found by running the fuzz targets, or by thinking of it.
const FINDINGS: [(&str, Property, &[u8]); 4] = [
    (
        "a count of billions behind fifteen bytes",
        properties::request,
        &[0, 15, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0],
    ),
    (
        "a varint that does not end",
        properties::request,
        &[0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ),
    (
        "a header's tagged field of four gigabytes",
        properties::header,
        &[0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ),
    ("bytes that look as if the gateway had veiled them", properties::embedded, b"\0\xff\xffopaque"),
];

#[test]
fn what_was_found_stays_found() {
    for (what, property, bytes) in FINDINGS {
        println!("{what}");
        let _ = property(bytes);
    }
}
