//! Reads Prometheus' text format as far as the gateway writes it. Knows nothing about what the families mean.

/// One line: `family{label="value"} number`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub family: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// All samples of a scrape. A line that cannot be read is left out: one odd family must not hide the others.
pub(crate) fn parse(text: &str) -> Vec<Sample> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (family, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, behind) = rest.split_once("=\"")?;
            let (value, behind) = unquote(behind)?;
            labels.push((label.to_owned(), value));
            rest = behind.strip_prefix(',').unwrap_or(behind);
        }
        rest = &rest[1..];
    }
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample { family: family.to_owned(), labels, value })
}

/// A label's value up to its closing quote, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_and_labelled_lines() {
        let samples = parse("# HELP a A.\n# TYPE a counter\na 3\nb{x=\"1\",y=\"q\\\"\\\\\\n}\"} 2.5 1700000000\n");
        assert_eq!(samples.len(), 2);
        assert_eq!((samples[0].family.as_str(), samples[0].value), ("a", 3.0));
        assert_eq!(samples[1].label("y"), Some("q\"\\\n}"));
        assert_eq!((samples[1].label("x"), samples[1].label("z"), samples[1].value), (Some("1"), None, 2.5));
    }

    #[test]
    fn leaves_out_what_it_cannot_read() {
        assert_eq!(parse("a{x=\"1\nb\nc nothing\n\n{ 1\nd 4").len(), 1);
    }
}
