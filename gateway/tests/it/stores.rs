//! Key stores and trust stores as openssl and keytool write them. Without these programs the tests say SKIPPED by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use contract::secret::Secret;
use gateway::config::tls::{Material, Store, StoreKind};
use gateway::transport::tls::stores::{self, Identity, StoreProblem};

const PASSWORD: &str = "correct horse";
const KEY_PASSWORD: &str = "battery staple";

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gateway-stores-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs a program here with its arguments, split at spaces, where `PASSWORD` and `KEYPASSWORD` stand for them.
    fn run(&self, line: &str) {
        let mut words = line.split_whitespace().map(|word| match word {
            "PASSWORD" => PASSWORD.to_owned(),
            "KEYPASSWORD" => KEY_PASSWORD.to_owned(),
            "pass:PASSWORD" => format!("pass:{PASSWORD}"),
            "pass:KEYPASSWORD" => format!("pass:{KEY_PASSWORD}"),
            word => word.to_owned(),
        });
        let output = Command::new(words.next().unwrap()).args(words).current_dir(&self.0).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn missing(test: &str, programs: &[&str]) -> bool {
    let there = |program: &&&str| Command::new(program).arg("-help").output().is_ok();
    let missing = programs.iter().find(|program| !there(program));
    if let Some(program) = missing {
        println!("SKIPPED {test}: {program} is not installed");
    }
    missing.is_some()
}

fn store(path: &Path, password: Option<&str>) -> Store {
    Store { password: password.map(Secret::new), ..Store::file(path) }
}

#[track_caller]
fn opened(store: &Store) -> Identity {
    let identity = stores::identity(store).unwrap_or_else(|error| panic!("{error}"));
    identity.certified().unwrap();
    identity
}

#[track_caller]
fn refused(store: &Store) -> StoreProblem {
    let error = stores::identity(store).unwrap_err();
    let shown = format!("{error} {error:?} {store:?}");
    assert!(!shown.contains(PASSWORD) && !shown.contains(KEY_PASSWORD), "a secret shows: {shown}");
    error.problem
}

/// A certificate signed by a CA, in files `ca.pem`, `leaf.pem`, `leaf.key` (PKCS#8).
fn leaf(folder: &Folder, algorithm: &str) {
    folder
        .run(&format!("openssl req -x509 -newkey {algorithm} -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=ca"));
    let sign = "-CA ca.pem -CAkey ca.key -days 30 -subj /CN=leaf";
    folder.run(&format!("openssl req -x509 -newkey {algorithm} -nodes -keyout leaf.key -out leaf.pem {sign}"));
}

#[test]
fn pem_of_every_form_is_read() {
    if missing("pem_of_every_form_is_read", &["openssl"]) {
        return;
    }
    for algorithm in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ed25519"] {
        let folder = Folder::new(&format!("pem-{}", &algorithm[..2]));
        leaf(&folder, algorithm);
        let with_key = |key: PathBuf, password: Option<&str>| Store {
            key: Some(Material::File(key)),
            key_password: password.map(Secret::new),
            ..Store::file(folder.path("leaf.pem"))
        };
        let plain = opened(&with_key(folder.path("leaf.key"), None));
        assert_eq!(plain.chain.len(), 1);

        // One file with everything, in a confusing order: the issuer goes behind the own certificate.
        let text = |name: &str| fs::read_to_string(folder.path(name)).unwrap();
        fs::write(folder.path("all.pem"), text("leaf.pem") + &text("leaf.key") + "words\n" + &text("ca.pem")).unwrap();
        let all = opened(&Store::file(folder.path("all.pem")));
        assert_eq!((all.chain.len(), &all.chain[0]), (2, &plain.chain[0]));

        // In one line, as in a properties file.
        let one_line = Store::of(Material::Text(Secret::new(text("all.pem").replace('\n', " "))));
        assert_eq!(opened(&one_line).chain, all.chain);

        folder.run("openssl pkcs8 -topk8 -in leaf.key -out sealed.key -passout pass:KEYPASSWORD");
        opened(&with_key(folder.path("sealed.key"), Some(KEY_PASSWORD)));
        folder.run("openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES -in leaf.key -out sealed3.key -passout pass:KEYPASSWORD");
        opened(&with_key(folder.path("sealed3.key"), Some(KEY_PASSWORD)));
        folder.run("openssl pkcs8 -topk8 -v2 des3 -in leaf.key -out sealed4.key -passout pass:KEYPASSWORD");
        opened(&with_key(folder.path("sealed4.key"), Some(KEY_PASSWORD)));
        folder.run("openssl pkcs8 -topk8 -v2 aes128 -v2prf hmacWithSHA512 -in leaf.key -out sealed5.key -passout pass:KEYPASSWORD");
        opened(&with_key(folder.path("sealed5.key"), Some(KEY_PASSWORD)));
        assert_eq!(refused(&with_key(folder.path("sealed.key"), Some("no"))), StoreProblem::WrongKeyPassword(None));
        assert_eq!(refused(&with_key(folder.path("sealed.key"), None)), StoreProblem::KeyPasswordMissing);
        assert_eq!(refused(&with_key(folder.path("ca.key"), None)), StoreProblem::KeyDoesNotFit);
        assert_eq!(refused(&with_key(folder.path("ca.pem"), None)), StoreProblem::NoKey);

        if algorithm != "ed25519" {
            folder.run("openssl pkey -traditional -in leaf.key -out old.key");
            assert!(!text("old.key").contains("BEGIN PRIVATE KEY"), "PKCS#1 or SEC1");
            opened(&with_key(folder.path("old.key"), None));
            folder.run("openssl pkey -traditional -aes128 -in leaf.key -out olds.key -passout pass:KEYPASSWORD");
            let refused = refused(&with_key(folder.path("olds.key"), Some(KEY_PASSWORD))).to_string();
            assert!(refused.contains("openssl pkcs8 -topk8"), "{refused}");
        }
        folder.run("openssl req -new -key leaf.key -out leaf.csr -subj /CN=leaf");
        folder.run("openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out version1.pem");
        let version1 =
            Store { content: Material::File(folder.path("version1.pem")), ..with_key(folder.path("leaf.key"), None) };
        assert!(refused(&version1).to_string().contains("X.509 version 1"));
        assert_eq!(stores::certificates(&Store::file(folder.path("all.pem"))).unwrap().len(), 2);
        assert_eq!(stores::trust(&Store::file(folder.path("ca.pem"))).unwrap().len(), 1);
    }
}

#[test]
fn pkcs12_of_openssl_is_read() {
    if missing("pkcs12_of_openssl_is_read", &["openssl"]) {
        return;
    }
    let folder = Folder::new("openssl12");
    leaf(&folder, "rsa:2048");
    let export =
        "openssl pkcs12 -export -in leaf.pem -inkey leaf.key -certfile ca.pem -name gateway -passout pass:PASSWORD";
    for (name, more) in [
        ("modern", ""),
        ("legacy", "-legacy"),
        ("rc2-128", "-legacy -certpbe PBE-SHA1-RC2-128 -keypbe PBE-SHA1-2DES"),
        ("sha512", "-macalg sha512 -certpbe AES-192-CBC"),
        ("open-certificates", "-certpbe NONE"),
        ("no-mac", "-nomac"),
        ("nothing-closed", "-nomac -certpbe NONE -keypbe NONE"),
    ] {
        let path = folder.path(&format!("{name}.p12"));
        folder.run(&format!("{export} {more} -out {name}.p12"));
        let identity = opened(&store(&path, Some(PASSWORD)));
        assert_eq!(identity.chain.len(), 2, "{name}");
        assert_eq!(stores::trust(&store(&path, Some(PASSWORD))).unwrap().len(), 2, "{name}");
        match name {
            "nothing-closed" => drop(opened(&store(&path, None))),
            "no-mac" => {
                let wrong = StoreProblem::WrongKeyPassword(Some("gateway".to_owned()));
                assert_eq!(refused(&store(&path, Some("no"))), wrong);
                assert_eq!(refused(&store(&path, None)), StoreProblem::KeyPasswordMissing);
            }
            _ => {
                assert_eq!(refused(&store(&path, Some("no"))), StoreProblem::WrongPassword);
                assert_eq!(refused(&store(&path, None)), StoreProblem::PasswordMissing);
            }
        }
    }
    let mut modern = store(&folder.path("modern.p12"), Some(PASSWORD));
    modern.alias = Some("GATEWAY".to_owned());
    opened(&modern);
    modern.alias = Some("other".to_owned());
    assert_eq!(refused(&modern).to_string(), "holds no private key with alias 'other'; there is 'gateway'");
    folder.run("openssl pkcs12 -export -nokeys -in ca.pem -out trust.p12 -passout pass:PASSWORD");
    assert_eq!(stores::trust(&store(&folder.path("trust.p12"), Some(PASSWORD))).unwrap().len(), 1);
    assert_eq!(refused(&store(&folder.path("trust.p12"), Some(PASSWORD))), StoreProblem::NoKey);
}

#[test]
fn stores_of_keytool_are_read() {
    if missing("stores_of_keytool_are_read", &["keytool", "openssl"]) {
        return;
    }
    let folder = Folder::new("keytool");
    let make = "keytool -genkeypair -keyalg RSA -keysize 2048 -dname CN=java -validity 30 -storepass PASSWORD";
    folder.run(&format!("{make} -storetype JKS -keypass KEYPASSWORD -alias gateway -keystore one.jks"));
    folder.run(&format!("{make} -storetype PKCS12 -alias gateway -keystore one.p12"));
    folder.run(&format!("{make} -storetype PKCS12 -alias gateway -keystore old.p12 -J-Dkeystore.pkcs12.legacy"));
    folder.run("keytool -exportcert -rfc -alias gateway -keystore one.jks -storepass PASSWORD -file java.pem");

    let jks = |key: Option<&str>| Store {
        key_password: key.map(Secret::new),
        ..store(&folder.path("one.jks"), Some(PASSWORD))
    };
    assert_eq!(opened(&jks(Some(KEY_PASSWORD))).chain.len(), 1);
    assert_eq!(refused(&jks(None)), StoreProblem::WrongKeyPassword(Some("gateway".to_owned())));
    assert_eq!(refused(&store(&folder.path("one.jks"), Some("no"))), StoreProblem::WrongPassword);
    for name in ["one.p12", "old.p12"] {
        opened(&store(&folder.path(name), Some(PASSWORD)));
        assert_eq!(refused(&store(&folder.path(name), Some("no"))), StoreProblem::WrongPassword);
    }

    // What is set need not be what it is among Java's two, but PEM is told apart.
    let declared = |name: &str, kind| Store { kind: Some(kind), ..store(&folder.path(name), Some(PASSWORD)) };
    opened(&declared("one.p12", StoreKind::Jks));
    assert_eq!(refused(&declared("one.p12", StoreKind::Pem)).to_string(), "is PKCS12, but its type is set to PEM");
    assert_eq!(refused(&declared("java.pem", StoreKind::Jks)).to_string(), "is PEM, but its type is set to JKS");

    folder.run(&format!("{make} -storetype JKS -keypass PASSWORD -alias second -keystore one.jks"));
    assert_eq!(
        refused(&store(&folder.path("one.jks"), Some(PASSWORD))),
        StoreProblem::SeveralKeys(vec!["gateway".to_owned(), "second".to_owned()])
    );
    let second = Store { alias: Some("Second".to_owned()), ..store(&folder.path("one.jks"), Some(PASSWORD)) };
    opened(&second);
    folder.run(&format!("{make} -storetype PKCS12 -alias second -keystore one.p12"));
    let mut both = store(&folder.path("one.p12"), Some(PASSWORD));
    assert!(matches!(refused(&both), StoreProblem::SeveralKeys(known) if known.len() == 2));
    both.alias = Some("second".to_owned());
    opened(&both);

    for kind in ["JKS", "PKCS12"] {
        let import =
            format!("keytool -importcert -noprompt -alias ca -file java.pem -storetype {kind} -storepass PASSWORD");
        folder.run(&format!("{import} -keystore trust.{kind}"));
        let path = folder.path(&format!("trust.{kind}"));
        assert_eq!(stores::trust(&store(&path, Some(PASSWORD))).unwrap().len(), 1, "{kind}");
        assert_eq!(stores::trust(&store(&path, Some("no"))).unwrap_err().problem, StoreProblem::WrongPassword);
        assert_eq!(refused(&store(&path, Some(PASSWORD))), StoreProblem::NoKey);
    }
    // As Java does it: a JKS opens without a password for its certificates, unverified.
    assert_eq!(stores::trust(&store(&folder.path("trust.JKS"), None)).unwrap().len(), 1);

    folder.run(
        "keytool -genkeypair -keyalg RSA -dname CN=x -storepass PASSWORD -storetype JCEKS -alias a -keystore x.jceks",
    );
    assert!(refused(&store(&folder.path("x.jceks"), Some(PASSWORD))).to_string().contains("JCEKS"));
}

#[test]
fn damaged_stores_are_refused_and_nothing_panics() {
    if missing("damaged_stores_are_refused_and_nothing_panics", &["keytool", "openssl"]) {
        return;
    }
    let folder = Folder::new("damaged");
    leaf(&folder, "ec -pkeyopt ec_paramgen_curve:P-256");
    folder.run(
        "openssl pkcs12 -export -in leaf.pem -inkey leaf.key -certfile ca.pem -nomac -iter 1 -out a.p12 -passout pass:PASSWORD",
    );
    folder.run("keytool -importkeystore -srckeystore a.p12 -srcstorepass PASSWORD -destkeystore a.jks -deststoretype JKS -deststorepass PASSWORD");
    let text = |name: &str| fs::read(folder.path(name)).unwrap();
    fs::write(folder.path("a.pem"), [text("leaf.pem"), text("leaf.key")].concat()).unwrap();
    for name in ["a.p12", "a.jks", "a.pem"] {
        let whole = text(name);
        // Without the JKS' password its digest does not hide what the reader does with the bytes.
        let password = (name != "a.jks").then_some(PASSWORD);
        let path = folder.path("broken");
        let (mut refusals, mut tries) = (0, 0);
        for at in 0..whole.len() {
            for change in [0xff, 0x01, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                fs::write(&path, &bytes).unwrap();
                tries += 1;
                refusals += u32::from(stores::identity(&store(&path, password)).is_err());
                let _ = stores::certificates(&store(&path, password));
            }
            fs::write(&path, &whole[..at]).unwrap();
            assert!(stores::identity(&store(&path, password)).is_err() || name == "a.pem", "{name} of {at} bytes");
        }
        assert!(refusals > tries / 2, "{name}: {refusals} of {tries}");
    }
    for (bytes, said) in [
        (&b""[..], "is neither PEM nor PKCS12 nor JKS"),
        (b"hello", "is neither PEM nor PKCS12 nor JKS"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA", "a section of the PEM has no end"),
        (b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "is not base64"),
        (&[0x30, 0x80, 2, 1, 3], "it is not a PKCS12 in DER"),
        (&[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff], "the JKS ends too early"),
    ] {
        fs::write(folder.path("broken"), bytes).unwrap();
        let error = stores::identity(&store(&folder.path("broken"), None)).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("broken"), "{error}");
    }
    let nowhere = stores::identity(&Store::file("/nowhere/at.all")).unwrap_err().to_string();
    assert!(nowhere.starts_with("/nowhere/at.all: cannot be read: No such file"), "{nowhere}");
}
