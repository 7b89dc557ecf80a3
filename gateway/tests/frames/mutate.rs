//! What a hostile peer makes of a valid message.

use crate::filler::Dice;

/// Numbers that lengths and counts are wrong with.
const LIES: [&[u8]; 9] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff],
    &[0x80, 0],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    // One, in more bytes than it needs.
    &[0x81, 0x80, 0x80, 0x00],
    &[0, 0, 0xff, 0xff],
];

/// Damages bytes in one of many ways.
pub(crate) fn damage(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.roll(bytes.len() + 1);
    let end = (at + 1 + dice.roll(16)).min(bytes.len()).max(at);
    match dice.roll(9) {
        0 => bytes.truncate(at),
        1 => flip(bytes, at, dice),
        2 => put(bytes, at, &[u8::try_from(dice.roll(256)).unwrap()]),
        // A count or a length that is inflated.
        3 | 4 => put(bytes, at, dice.pick(&LIES)),
        5 => drop(bytes.splice(at..at, dice.pick(&LIES).iter().copied())),
        6 => drop(bytes.drain(at..end)),
        // The same once more, or something of another message.
        7 => drop(bytes.splice(end..end, bytes[at..end].to_vec())),
        _ => bytes.extend_from_slice(&other[dice.roll(other.len() + 1)..]),
    }
}

fn flip(bytes: &mut [u8], at: usize, dice: &mut Dice) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << dice.roll(8);
    }
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    bytes[at..].iter_mut().zip(what).for_each(|(byte, new)| *byte = *new);
}
