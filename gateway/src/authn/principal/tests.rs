use super::*;

fn applied(rules: &str, subject: &str) -> Option<String> {
    PrincipalRules::parse(rules).unwrap_or_else(|error| panic!("{error}")).apply(subject)
}

#[test]
fn the_examples_of_kafkas_documentation() {
    let rules = "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/, RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L,\
                 RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L, DEFAULT";
    let names = |subject| applied(rules, subject).unwrap();
    assert_eq!(names("CN=serviceuser,OU=ServiceUsers,O=Unknown,L=Unknown,ST=Unknown,C=Unknown"), "serviceuser");
    assert_eq!(names("CN=adminUser,OU=Admin,O=Unknown,L=Unknown,ST=Unknown,C=Unknown"), "adminuser@admin");
    assert_eq!(names("OU=JavaSoft,CN=Duke.X,C=US"), "duke.x");
    assert_eq!(names("OU=JavaSoft,O=Sun"), "OU=JavaSoft,O=Sun");
}

#[test]
fn without_a_rule_that_fits_there_is_nobody() {
    assert_eq!(applied("RULE:^CN=(.*?),OU=x$/$1/", "CN=a,OU=y"), None);
    assert_eq!(applied("RULE:CN=a/b/", "CN=ab"), None, "a rule fits the whole subject");
}

#[test]
fn surprises_of_java_are_kept() {
    assert_eq!(applied("RULE:.*/user/", "CN=a").as_deref(), Some("useruser"), "an empty match at the end counts");
    assert_eq!(applied("RULE:(CN)=(a)/$2$12\\$$9/", "CN=a").as_deref(), Some("aCN2$$9"));
    assert_eq!(applied("RULE:CN=(?<who>[^,]*),.*/${who}/U", "CN=a.b,C=x").as_deref(), Some("A.B"));
    assert_eq!(applied("RULE:CN=(\\w+)\\/(\\d)/$1/", "CN=ab/1").as_deref(), Some("ab"));
    assert_eq!(applied("RULE:CN=(\\w+)/$1/,DEFAULT", "CN=ä").as_deref(), Some("CN=ä"), "Java's \\w knows ASCII only");
}

#[test]
fn what_is_not_supported_is_said() {
    for (rules, said) in [
        ("RULE:CN=(?=a)/x/", "'(?=', which is not supported"),
        ("RULE:(?i)cn=(.*)/$1/", "'(?i', which is not supported"),
        ("RULE:(a)\\1/x/", "a reference back"),
        ("RULE:a*+/x/", "behind a repetition, which only Java knows"),
        ("RULE:\\p{Lu}/x/", "'\\p', which is not supported"),
        ("RULE:[a/x/", "a class that is not closed"),
        ("RULE:(a/x/", "holds a pattern that cannot be used"),
        ("RULE:(a)/$/", "no group behind it"),
        ("RULE:a/$1/", "but its pattern has 0 groups"),
        ("RULE:(a)/${b}/", "which is no group"),
        ("RULE:(a)/x\\\\\\/", "is neither DEFAULT nor RULE"),
        ("RULE:a/b/X", "is neither DEFAULT nor RULE:pattern/replacement/ with L or U behind it; 'X' is too much"),
        ("DEFAULTS", "'S' is too much"),
        ("CN", "'CN' is too much"),
        (" , ", "says nothing"),
    ] {
        let error = PrincipalRules::parse(rules).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("the principal mapping rule '") && error.contains(said), "{rules}: {error}");
    }
}

#[test]
fn a_certificate_that_has_ended_names_nobody() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "Alice");
    parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let certificate = parameters.self_signed(&key).unwrap();
    let rules = PrincipalRules::parse("RULE:CN=(.*)/$1/L").unwrap();
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let end = 1_893_456_000;
    let principal = rules.principal(certificate.der(), at(end)).unwrap();
    assert_eq!((principal.name.as_str(), principal.expires_at), ("alice", at(end + 1)));
    assert_eq!(rules.principal(certificate.der(), at(end + 1)), Err(NoPrincipal::Expired));
    assert_eq!(rules.principal(b"x", at(0)), Err(NoPrincipal::Unreadable));
    let none = PrincipalRules::parse("RULE:CN=bob/b/").unwrap();
    assert_eq!(none.principal(certificate.der(), at(0)), Err(NoPrincipal::NoRule));

    parameters.distinguished_name = rcgen::DistinguishedName::new();
    let nameless = parameters.self_signed(&key).unwrap();
    let default = PrincipalRules::parse("DEFAULT").unwrap();
    assert_eq!(default.principal(nameless.der(), at(0)), Err(NoPrincipal::NoSubject));
}
