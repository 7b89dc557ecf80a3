//! Text that came from outside, made harmless: it may neither move the cursor nor change the reading direction.

/// Longer names are cut: a hostile one must not push the others off the screen.
const LIMIT: usize = 200;

/// Replaces control, bidirectional and invisible characters by `·`.
pub(crate) fn plain(text: &str) -> String {
    text.chars().take(LIMIT).map(|character| if is_harmful(character) { '·' } else { character }).collect()
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{200b}'..='\u{200f}')
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_direction_marks_lose_their_power() {
        assert_eq!(plain("a\x1b[2Jb\u{202e}c\u{200b}\u{9b}\n"), "a·[2Jb·c···");
        assert_eq!(plain("zahlungen-ä-支払い"), "zahlungen-ä-支払い");
        assert_eq!(plain(&"x".repeat(1_000)).len(), LIMIT);
    }
}
