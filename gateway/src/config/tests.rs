//! The files of `fixtures/configs`: each valid one loads, each invalid one is refused with the text beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::settings::settings;
use super::*;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/configs").join(folder);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect::<Vec<_>>();
    files.sort();
    assert!(!files.is_empty(), "no files in {}", folder.display());
    files
}

/// The variables beside a file: `NAME=value`, one a line.
fn variables(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file.with_extension("env")).unwrap_or_default();
    text.lines().map(|line| line.split_once('=').unwrap()).map(|(name, value)| (name.into(), value.into())).collect()
}

#[test]
fn valid_files_load() {
    for file in files("valid") {
        let loaded = Config::load(Some(&file), variables(&file)).unwrap_or_else(|error| panic!("{error}"));
        let unknown = loaded.warnings.iter().find(|warning| warning.contains("has no effect"));
        assert_eq!(unknown, None, "{}", file.display());
    }
}

#[test]
fn invalid_files_are_refused_with_the_expected_text() {
    for file in files("invalid") {
        let error = Config::load(Some(&file), variables(&file)).err().map(|error| format!("{error}\n"));
        let expected = fs::read_to_string(file.with_extension("txt")).unwrap_or_default();
        assert_eq!(error.unwrap_or_default(), expected, "{}", file.display());
    }
}

#[test]
fn the_documented_file_shows_every_setting_and_variable() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/configs/valid/gateway.yaml");
    let text = fs::read_to_string(file).unwrap();
    for setting in settings() {
        let key = setting.path.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{key}:")), "{} is missing", setting.path);
        assert!(text.contains(setting.variable.unwrap_or_default()), "{} is missing", setting.path);
    }
    let paths = settings().map(|setting| setting.path).collect::<BTreeSet<_>>();
    assert_eq!(paths.len(), settings().count(), "no path stands twice");
}

#[test]
fn the_documented_file_says_the_defaults() {
    let shown = files("valid").into_iter().find(|file| file.ends_with("gateway.yaml")).unwrap();
    let shown = Config::load(Some(&shown), []).unwrap().config;
    let bare = Config::parse("upstream: {bootstrapServers: '127.0.0.1:9092'}", []).unwrap().config;
    assert_eq!(shown.upstream, bare.upstream);
    let mut clients = bare.clients;
    clients.listeners[0].protocol = SecurityProtocol::SaslPlaintext;
    assert_eq!(shown.clients, clients);
    assert_eq!(shown.admin.tls.as_ref().map(|tls| tls.client_auth), Some(ClientAuth::None));
    assert_eq!(shown.admin, Admin { users: shown.admin.users.clone(), tls: shown.admin.tls.clone(), ..bare.admin });
    assert_eq!(shown.state, bare.state);
    assert_eq!(bare.oauth, None);
    assert_eq!(bare.logins.mechanisms, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]);
    let provider = "{upstream: {bootstrapServers: 'k:1'}, oauth: {jwksUrl: 'https://login.example.com/keys', \
                    expectedIssuer: 'https://login.example.com/', expectedAudiences: kafka}}";
    let provider = Config::parse(provider, []).unwrap().config;
    assert_eq!((shown.oauth, shown.logins), (provider.oauth, provider.logins));
}

#[test]
fn a_variable_wins_and_an_unknown_one_is_named() {
    let variables = [("GATEWAY_PORT_START", "7000"), ("GATEWAY_PORT_STRT", "1"), ("KAFKA_SSL_KEY", "x"), ("HOME", "/")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = Config::parse("{upstream: {bootstrapServers: 'k:1'}, clients: {portStart: 1}}", variables).unwrap();
    assert_eq!(*loaded.config.clients.listeners[0].ports().start(), 7000);
    let named = loaded.warnings.iter().filter(|warning| warning.contains("has no effect")).collect::<Vec<_>>();
    assert_eq!(
        named,
        [
            "GATEWAY_PORT_STRT means nothing to this version and has no effect; did you mean GATEWAY_PORT_START?",
            "KAFKA_SSL_KEY means nothing to this version and has no effect; did you mean KAFKA_SSL_KEYSTORE_KEY?",
        ]
    );
}

#[test]
fn a_provider_is_described_by_variables_alone() {
    let variables = [
        ("KAFKA_BOOTSTRAP_SERVERS", "k:1"),
        ("GATEWAY_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
        ("GATEWAY_OAUTH_JWKS_URL", "https://login.microsoftonline.com/common/discovery/keys"),
        ("GATEWAY_OAUTH_EXPECTED_ISSUER", "https://sts.windows.net/xxxxxxxx-df00-48cd-805b-1ebe914e8b11/"),
        ("GATEWAY_OAUTH_EXPECTED_AUDIENCES", "[00000002-0000-0000-c000-000000000000]"),
        ("GATEWAY_OAUTH_REQUIRED_CLAIMS", "{roles: kafka, ver: 2, mfa: true}"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::parse("", variables).unwrap().config;
    assert_eq!(config.logins.mechanisms, MECHANISMS);
    let oauth = config.oauth.unwrap();
    assert_eq!(oauth.expected_audiences, ["00000002-0000-0000-c000-000000000000"]);
    let claims = oauth.required_claims.iter().map(|claim| (claim.name.as_str(), claim.value.as_str()));
    assert_eq!(claims.collect::<Vec<_>>(), [("roles", "kafka"), ("ver", "2"), ("mfa", "true")]);
}

#[test]
fn what_opens_the_door_to_others_is_said_aloud() {
    let text = "{upstream: {bootstrapServers: 'k:1'}, clients: {securityProtocol: SASL_PLAINTEXT, \
                unmappedIdentities: passthrough}, admin: {users: [{username: a, password: b}]}, \
                audit: {sinks: [stdout]}, \
                oauth: {jwksUrl: 'http://login/keys', expectedIssuer: 'http://login', expectedAudiences: []}}";
    let opened = |text: &str| {
        let warnings = Config::parse(text, []).unwrap().warnings;
        warnings.into_iter().filter(|warning| !warning.starts_with("audit.")).collect::<Vec<_>>()
    };
    let warnings = opened(text);
    let starts = [
        "oauth.expectedAudiences is empty: tokens that the provider made for anybody else",
        "oauth.jwksUrl is not https: whoever is on the way to http://login/keys can make tokens",
        "clients.unmappedIdentities is passthrough: everybody whom",
    ];
    assert_eq!(warnings.len(), starts.len(), "{warnings:?}");
    for (warning, start) in warnings.iter().zip(starts) {
        assert!(warning.starts_with(start), "{warning}");
    }
    let local = text.replace("http://login/keys", "http://127.0.0.1:8080/keys");
    assert_eq!(opened(&local).len(), 2, "nobody is on the way to this machine");
}

#[test]
fn kafka_properties_of_the_environment_win_and_what_changes_nothing_is_named() {
    let jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"gw\" password=\"b\" x=1;";
    let variables = [
        ("KAFKA_SASL_JAAS_CONFIG", jaas),
        ("KAFKA_SASL_LOGIN_CALLBACK_HANDLER_CLASS", "org.example.Handler"),
        ("KAFKA_SSL_TRUSTSTORE_LOCATION", "/x"),
        ("KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITM", ""),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let text = "upstream: {bootstrapServers: 'k:1', securityProtocol: SASL_PLAINTEXT, properties: {sasl.mechanism: plain, \
                sasl.jaas.config: none, client.id: me}}";
    let loaded = Config::parse(text, variables).unwrap();
    let Some(upstream::Sasl::Plain(login)) = loaded.config.upstream.security.sasl else { panic!() };
    assert_eq!((login.username.as_str(), login.password.reveal()), ("gw", "b"));
    let said = loaded.warnings.join("\n");
    for expected in [
        "KAFKA_SASL_JAAS_CONFIG: 1 of its options mean nothing to this version",
        "KAFKA_SASL_LOGIN_CALLBACK_HANDLER_CLASS changes nothing: the gateway loads no Java classes",
        "KAFKA_SSL_TRUSTSTORE_LOCATION is not used: nothing of the kind is needed for SASL_PLAINTEXT upstream",
        "no effect; did you mean KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM?",
        "upstream.properties.client.id means nothing to this version and has no effect",
    ] {
        assert!(said.contains(expected), "{expected} not in:\n{said}");
    }
}

#[test]
fn a_switched_off_comparison_of_host_names_is_said_aloud() {
    let text = "{upstream: {bootstrapServers: 'k:1', securityProtocol: SSL, properties: \
                {ssl.endpoint.identification.algorithm: ''}}, clients: {securityProtocol: PLAINTEXT}}";
    let loaded = Config::parse(text, []).unwrap();
    assert!(!loaded.config.upstream.security.tls.unwrap().verify_host_name);
    assert!(loaded.warnings.iter().any(|warning| warning.contains("can pose as a broker")), "{:?}", loaded.warnings);
}

#[test]
fn insecure_choices_are_said_aloud() {
    let loaded = Config::parse("upstream: {bootstrapServers: 'k:1'}", []).unwrap();
    assert_eq!(loaded.config.clients.listeners[0].protocol, SecurityProtocol::Plaintext);
    assert!(loaded.warnings[0].starts_with("clients.securityProtocol is not set: PLAINTEXT"), "{:?}", loaded.warnings);
    assert_eq!(loaded.warnings[1], "admin.users is not set: the admin API refuses everybody");
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/gateway.yaml")), []).unwrap_err().to_string();
    assert!(error.starts_with("cannot read the settings file /nowhere/gateway.yaml: "), "{error}");
}

/// What the first listener offers to clients, and what is said about it.
fn offered(upstream: &str, clients: &str) -> Result<(SecurityProtocol, bool, String), String> {
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required username=gw password=x;";
    let text = format!(
        "{{upstream: {{bootstrapServers: 'k:1', securityProtocol: {upstream}, properties: {{sasl.mechanism: PLAIN, \
         sasl.jaas.config: '{login}'}}}}, clients: {{{clients}}}, tls: {{keyStore: {{path: gateway.pem}}}}}}"
    );
    let loaded = Config::parse(&text, []).map_err(|error| error.to_string())?;
    let listener = &loaded.config.clients.listeners[0];
    Ok((listener.protocol, listener.delegated, loaded.warnings.join("\n")))
}

#[test]
fn without_a_protocol_clients_connect_as_the_gateway_does() {
    for (upstream, protocol, delegated, said) in [
        ("PLAINTEXT", SecurityProtocol::Plaintext, false, "is not set: PLAINTEXT, as the upstream; whoever reaches"),
        ("SSL", SecurityProtocol::Ssl, false, "is not set: SSL, as the upstream is SSL; whoever reaches"),
        (
            "SASL_PLAINTEXT",
            SecurityProtocol::SaslPlaintext,
            true,
            "is not set: DELEGATED_SASL_PLAINTEXT, as the upstream",
        ),
        ("SASL_SSL", SecurityProtocol::SaslSsl, true, "is not set: DELEGATED_SASL_SSL, as the upstream is SASL_SSL"),
    ] {
        let (found, by_kafka, warnings) = offered(upstream, "").unwrap();
        assert_eq!((found, by_kafka), (protocol, delegated), "{upstream}");
        assert!(warnings.contains(said), "{said} not in:\n{warnings}");
    }
}

#[test]
fn kafka_decides_where_the_protocol_or_the_mode_says_so() {
    let chosen = |clients: &str| offered("SASL_SSL", clients).map(|(protocol, delegated, _)| (protocol, delegated));
    let (plaintext, ssl) = (SecurityProtocol::SaslPlaintext, SecurityProtocol::SaslSsl);
    assert_eq!(chosen("securityProtocol: DELEGATED_SASL_PLAINTEXT"), Ok((plaintext, true)));
    assert_eq!(chosen("securityProtocol: DELEGATED_SASL_SSL"), Ok((ssl, true)));
    assert_eq!(chosen("securityProtocol: SASL_SSL, securityMode: KAFKA_MANAGED"), Ok((ssl, true)));
    assert_eq!(chosen("securityProtocol: SASL_SSL"), Ok((ssl, false)));
    let (_, delegated, said) = offered("SASL_SSL", "securityProtocol: PLAINTEXT, securityMode: KAFKA_MANAGED").unwrap();
    assert!(!delegated && said.contains("clients.securityMode has no effect"), "{said}");
}

#[test]
fn two_clusters_are_described_by_a_file_as_by_variables() {
    let load = |name: &str| {
        let file = files("valid").into_iter().find(|file| file.ends_with(name)).unwrap();
        Config::load(Some(&file), variables(&file)).unwrap().config
    };
    let (file, variables) = (load("failover-file.yaml"), load("failover-variables.yaml"));
    assert_eq!((&file.upstream, &file.failover), (&variables.upstream, &variables.failover));
    assert_eq!((&*file.upstream.name, &*file.failover[0].name, file.failover.len()), ("main", "failover", 1));
    assert_eq!(file.failover[0].bootstrap_servers[0].to_string(), "secondary.example.com:9092");
    let Some(upstream::Sasl::Plain(login)) = &file.failover[0].security.sasl else { panic!() };
    assert_eq!(login.username, "secondary-api-key");
    let settings = load("failover.yaml");
    assert_eq!((settings.upstream.security.protocol(), settings.failover.len()), (SecurityProtocol::Plaintext, 1));
    assert_eq!(settings.failover[0].security.protocol(), SecurityProtocol::SaslSsl);
}

#[test]
fn users_of_the_admin_api_have_a_role() {
    let loaded = |users: &str| {
        let text = format!("{{upstream: {{bootstrapServers: 'k:1'}}, admin: {{users: [{users}]}}}}");
        Config::parse(&text, [])
            .map(|loaded| loaded.config.admin.users[0].role.clone())
            .map_err(|error| error.to_string())
    };
    let token = "0123456789abcdef0123456789abcdef";
    assert_eq!(loaded("{username: a, password: b}"), Ok(AdminRole::Admin));
    assert_eq!(loaded("{username: a, password: b, admin: false}"), Ok(AdminRole::Operator));
    assert_eq!(loaded(&format!("{{username: a, token: {token}, role: operator}}")), Ok(AdminRole::Operator));
    assert_eq!(
        loaded("{username: a, password: b, role: tenant, vCluster: shop}"),
        Ok(AdminRole::Tenant("shop".into()))
    );
    for (user, complaint) in [
        ("{username: a, password: b, role: tenant}", "vCluster is missing"),
        ("{username: a, password: b, role: root}", "role must be admin, operator or tenant"),
        ("{username: a, password: b, vCluster: shop}", "vCluster has no meaning for the role 'admin'"),
        ("{username: a, password: b, role: admin, admin: true}", "admin and role say the same"),
        ("{username: a, token: hunter2}", "token must have at least 32 letters"),
        ("{username: a}", "password is missing"),
    ] {
        let error = loaded(user).unwrap_err();
        assert!(error.contains(&format!("admin.users: entry 1: {complaint}")) && !error.contains("hunter2"), "{error}");
    }
}
