//! Merging a sandbox's variables into an .env file that people also write.

/// The file with our variables updated where they stand and the others appended; every other line stays as it was,
/// byte for byte.
pub fn merge(existing: &str, rendered: &str) -> String {
    let mut pending = rendered.lines().map(|line| (key(line), line, false)).collect::<Vec<_>>();
    let mut merged = String::with_capacity(existing.len() + rendered.len());
    for line in existing.split_inclusive('\n') {
        let ours = pending.iter_mut().find(|(name, _, _)| name.is_some() && *name == key(line));
        match ours {
            Some((_, _, true)) => {}
            Some((_, fresh, written)) => {
                merged.push_str(fresh);
                merged.push('\n');
                *written = true;
            }
            None => merged.push_str(line),
        }
    }
    if !merged.is_empty() && !merged.ends_with('\n') {
        merged.push('\n');
    }
    for (_, line, _) in pending.iter().filter(|(_, _, written)| !written) {
        merged.push_str(line);
        merged.push('\n');
    }
    merged
}

/// The variable that a line sets.
fn key(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (name, _) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let name = name.trim();
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_lines_stay_as_they_are() {
        let existing = "# mine\nA = 1\r\nKAFKA_X=old\nB='x=y'\nKAFKA_X=older";
        assert_eq!(merge(existing, "KAFKA_X=new\nKAFKA_Y=1\n"), "# mine\nA = 1\r\nKAFKA_X=new\nB='x=y'\nKAFKA_Y=1\n");
    }

    #[test]
    fn merging_twice_changes_nothing() {
        let once = merge("A=1", "X=1\nY=2\n");
        assert_eq!(once, "A=1\nX=1\nY=2\n");
        assert_eq!(merge(&once, "X=1\nY=2\n"), once);
        assert_eq!(merge("", "X=1\n"), "X=1\n");
    }
}
