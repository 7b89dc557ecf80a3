use super::*;
use proptest::prelude::*;

const PREFIX: &str = "team-a.";

fn namespace(prefix: &str) -> Namespace {
    Namespace::new(Some(prefix.into()))
}

/// RE2's syntax in that of the `regex` crate, which has no quotes and other rules for flags, and reads more inside of classes.
/// The whole text must match, as at the broker.
fn oracle(pattern: &str) -> Option<regex::Regex> {
    let mut out = String::from("\\A(?:");
    let mut rest = pattern;
    let mut in_class = 0;
    while let Some(first) = rest.chars().next() {
        let mut len = first.len_utf8();
        if in_class == 0 && rest.starts_with("\\Q") {
            let quoted = rest[2..].split("\\E").next().unwrap();
            out.extend(quoted.chars().map(|c| regex::escape(&c.to_string())));
            len = (quoted.len() + 4).min(rest.len());
        } else if first == '\\' {
            len += rest[1..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..len]);
        } else if let Some(marker) = [LINE_START, TEXT_START, "(?U-U:)"].iter().find(|m| rest.starts_with(**m)) {
            out.push_str("(?:)");
            len = marker.len();
        } else if in_class > 0 && rest.starts_with("[:") {
            len = rest.find(":]")? + 2;
            out.push_str(&rest[..len]);
        } else if in_class > 0 {
            if matches!(first, '[' | '&' | '~') {
                out.push('\\');
            }
            in_class = match first {
                ']' if in_class == 2 => 0,
                '^' if in_class == 1 && out.ends_with('[') => 1,
                _ => 2,
            };
            out.push(first);
        } else {
            in_class = usize::from(first == '[');
            out.push(first);
        }
        rest = &rest[len..];
    }
    out.push_str(")\\z");
    regex::RegexBuilder::new(&out).build().ok()
}

/// Patterns that both take, with names that meet them often.
fn pattern() -> impl Strategy<Value = String> {
    let atom = prop::sample::select(vec![
        "a",
        "b",
        ".",
        "[ab]",
        "[^b]",
        "[[:alpha:]]",
        "[a-b]",
        "\\.",
        "\\x61",
        "\\x{62}",
        "\\pL",
        "^",
        "\\A",
        "$",
        "\\z",
        "\\b",
        "\\B",
        "\\Qa.b\\E",
        "\\Qa)b",
        "\\Q",
        "(?i)",
        "(?m)",
        "\\d",
        "[)]",
        "[\\]]",
        "\\(",
        "\\\\",
    ])
    .prop_map(str::to_owned);
    atom.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            2 => prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| format!("(?:{})", parts.join("|"))),
            1 => inner.clone().prop_map(|part| format!("(?i:{part})")),
            1 => inner.clone().prop_map(|part| format!(".*(?:{part}).*")),
            1 => inner.clone().prop_map(|part| format!("(?P<n>{part})")),
            1 => (inner.clone(), prop::sample::select(vec!["*", "+", "?", "*?", "{2}", "{0,2}", "{1,}"]))
                .prop_map(|(part, times)| format!("({part}){times}")),
            1 => (inner.clone(), inner).prop_map(|(left, right)| format!("{left}|{right}")),
        ]
    })
}

fn names() -> impl Strategy<Value = String> {
    "[abA.)\\\\(1]{0,4}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn it_matches_a_physical_name_where_the_pattern_matches_the_virtual_one(
        pattern in pattern(), names in prop::collection::vec(names(), 8), prefix in "[a-z0-9._-]{0,3}[a-z._-]",
    ) {
        let namespace = namespace(&prefix);
        if let Ok(physical) = rewrite(&namespace, &pattern) {
            prop_assert_eq!(restore(&namespace, &physical), Some(pattern.clone()));
            if let Some(before) = oracle(&pattern) {
                let behind = oracle(&physical);
                prop_assert!(behind.is_some(), "{} became {}", pattern, physical);
                let behind = behind.unwrap();
                for name in names {
                    let moved = format!("{prefix}{name}");
                    prop_assert_eq!(before.is_match(&name), behind.is_match(&moved), "{} {} {}", pattern, physical, name);
                }
            }
        }
    }

    #[test]
    fn whatever_is_written_it_stays_inside_the_prefix(
        pattern in "([a-b]|[()|*+?{}\\[\\]^$.\\\\:,QE0-2Pimsz<>-]|\\(\\?:|\\\\Q|\\\\E|\\[\\^?\\]|\\[:){0,12}",
        name in "[ab.]{0,4}",
    ) {
        let namespace = namespace(PREFIX);
        if let Ok(physical) = rewrite(&namespace, &pattern) {
            prop_assert_eq!(restore(&namespace, &physical), Some(pattern.clone()));
            if let Some(oracle) = oracle(&physical) {
                for foreign in [name.clone(), format!("team-b.{name}"), format!("team-ax{name}"), format!("team-a{name}")] {
                    let ours = foreign.starts_with(PREFIX) || pattern.is_empty();
                    prop_assert!(ours || !oracle.is_match(&foreign), "{} became {} and reaches {}", pattern, physical, foreign);
                }
            }
        }
    }
}

#[test]
fn the_prefix_is_escaped_and_the_pattern_is_in_a_group() {
    let rewritten = |pattern| rewrite(&namespace(PREFIX), pattern).unwrap();
    assert_eq!(rewritten("a.*|b"), "team\\-a\\.(?:a.*|b)");
    assert_eq!(rewritten("^a|^b$"), "team\\-a\\.(?:(?s-s:)a|(?s-s:)b$)");
    assert_eq!(rewritten("(^a|\\Ab)?"), "team\\-a\\.(?:((?s-s:)a|(?m-m:)b)?)");
    assert_eq!(rewritten("a^"), "team\\-a\\.(?:a^)", "it never matches, there as here");
    assert_eq!(rewritten("\\Qa)|(?:.*"), "team\\-a\\.(?:\\Qa)|(?:.*\\E(?U-U:))");
    assert_eq!(rewritten("\\Qa\\"), "team\\-a\\.(?:\\Qa\\\\E(?U-U:))");
    assert_eq!(rewritten(""), "", "none");
    assert_eq!(rewrite(&Namespace::new(None), "a)|(b"), Ok("a)|(b".to_owned()), "the broker's business");
}

/// As franz-go sends `^a.*` and `b`.
#[test]
fn what_searches_the_name_finds_its_start() {
    let physical = rewrite(&namespace(PREFIX), ".*(?:(?:^a.*)|(?:b)).*").unwrap();
    let halves = "(?U-U:)(?:(?:(?s-s:)a.*)|(?:b)).*|(?U-U:).*(?:(?:[^\\x00-\\x{10FFFF}]a.*)|(?:b)).*";
    assert_eq!(physical, format!("team\\-a\\.(?:{halves})"));
    let oracle = oracle(&physical).unwrap();
    for (name, found) in [("a1", true), ("b", true), ("xbx", true), ("xa", false), ("x", false), ("", false)] {
        assert_eq!(oracle.is_match(&format!("{PREFIX}{name}")), found, "{name}");
        assert!(!oracle.is_match(&format!("team-b.{name}")), "{name}");
    }
    // Only where the group is all there is between the two, and has no name that would be there twice.
    for pattern in [".*(?:^a)b.*", ".*(?:^a)(?:b).*", ".*(?:(?P<n>^a)).*", ".*(^a).*", ".*(?:x?^a).*"] {
        assert_eq!(rewrite(&namespace(PREFIX), pattern), Err(Fault::Anchor), "{pattern}");
    }
}

#[test]
fn what_climbs_out_or_is_not_known_is_refused() {
    for (pattern, fault) in [
        ("a)|(?:.*", Fault::UnexpectedParen),
        ("a)", Fault::UnexpectedParen),
        ("(a", Fault::MissingParen),
        ("(?i", Fault::Syntax),
        ("(?=a)", Fault::Syntax),
        ("(?<=a)", Fault::GroupName),
        ("(?P<n", Fault::GroupName),
        ("(?P<n>a)(?P<n>b)", Fault::GroupNamedTwice),
        ("(?#)", Fault::Syntax),
        ("[a", Fault::MissingBracket),
        ("[]", Fault::MissingBracket),
        ("[^]", Fault::MissingBracket),
        ("[b-a]", Fault::ClassRange),
        ("[a-[:alpha:]]", Fault::ClassRange),
        ("[[:nothing:]]", Fault::ClassRange),
        ("[[:a]", Fault::ClassRange),
        ("a\\", Fault::TrailingBackslash),
        ("[\\", Fault::TrailingBackslash),
        ("\\1", Fault::Escape),
        ("\\Z", Fault::Escape),
        ("\\C", Fault::Escape),
        ("\\E", Fault::Escape),
        ("[\\Q]\\E]", Fault::Escape),
        ("\\xg0", Fault::Escape),
        ("\\x{110000}", Fault::Escape),
        ("\\p{", Fault::ClassRange),
        ("\\p)", Fault::ClassRange),
        ("*", Fault::RepeatNothing),
        ("(*a)", Fault::RepeatNothing),
        ("a|*", Fault::RepeatNothing),
        ("a(?i)*", Fault::RepeatNothing),
        ("a\\Q\\E*", Fault::RepeatNothing),
        ("a**", Fault::RepeatRepeat),
        ("a{2}{3}", Fault::RepeatRepeat),
        ("a{1001}", Fault::RepeatCount),
        ("a{3,2}", Fault::RepeatCount),
        ("((a{1000}){1000}){1000}", Fault::TooLarge),
        ("(?:a?)^b", Fault::Anchor),
        ("(^a)*", Fault::Anchor),
        ("(?s-s:)a", Fault::Reserved),
    ] {
        assert_eq!(rewrite(&namespace(PREFIX), pattern), Err(fault), "{pattern}");
    }
    let deep = |n| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(rewrite(&namespace(PREFIX), &deep(DEEPEST)).is_ok());
    assert_eq!(rewrite(&namespace(PREFIX), &deep(DEEPEST + 1)), Err(Fault::TooDeep));
    assert!(rewrite(&namespace(PREFIX), &"a".repeat(LONGEST)).is_ok());
    assert_eq!(rewrite(&namespace(PREFIX), &"a".repeat(LONGEST + 1)), Err(Fault::TooLong));
}

#[test]
fn what_looks_like_an_end_is_none_inside_of_classes_quotes_and_escapes() {
    for pattern in
        ["[)]", "[]|)]", "[^])]", "\\)", "\\Q)\\E", "[[:^alpha:])]", "[a\\])]", "[\\d)-]", "a{,2}", "a{", "\\x{29}"]
    {
        let physical = rewrite(&namespace(PREFIX), pattern).unwrap();
        assert_eq!(physical, format!("team\\-a\\.(?:{pattern})"));
    }
}

#[test]
fn the_edge_of_a_word_is_the_same_behind_a_prefix_that_ends_in_none() {
    assert!(rewrite(&namespace("a."), "\\ba").is_ok());
    assert_eq!(rewrite(&namespace("a_"), "\\ba"), Err(Fault::Boundary));
    assert!(rewrite(&namespace("a_"), "a\\b").is_ok());
}

#[test]
fn what_was_not_rewritten_is_not_restored() {
    for foreign in ["a.*", "team\\-b\\.(?:a)", "team\\-a\\.(?:a", "team-a.(?:a)"] {
        assert_eq!(restore(&namespace(PREFIX), foreign), None);
    }
    assert_eq!(restore(&namespace(PREFIX), ""), Some(String::new()));
}
