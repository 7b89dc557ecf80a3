//! Tokens with keys made on the spot: what is taken, and each way not to be.

use serde_json::json;

use super::fixtures::{Issuer, claims, oauth_of, publish, rules};
use super::*;

fn verify(oauth: &OAuth, token: &str) -> Result<Verified, Rejection> {
    oauth.verify(token, SystemTime::now())
}

#[test]
fn every_kind_of_key_signs() {
    for issuer in [Issuer::rsa("a"), Issuer::ecdsa("b"), Issuer::ed25519("c")] {
        let oauth = issuer.oauth();
        assert_eq!(verify(&oauth, &issuer.sign(&claims("0oa1", 60))).unwrap().principal, "0oa1");
        let without_id = issuer.sign_with(&json!({ "alg": issuer.algorithm() }), &claims("0oa1", 60));
        assert!(verify(&oauth, &without_id).is_ok(), "the only key is meant");
    }
}

#[test]
fn a_modulus_may_be_written_with_a_zero_before_it() {
    let issuer = Issuer::rsa("a");
    let mut key = issuer.jwk();
    let modulus = BASE64_URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap();
    key["n"] = BASE64_URL_SAFE_NO_PAD.encode([&[0], modulus.as_slice()].concat()).into();
    let oauth = OAuth::new(rules(), Arc::default());
    let set = jwks::KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes());
    oauth.keys().fetched(tokio::time::Instant::now(), set);
    assert!(verify(&oauth, &issuer.sign(&claims("0oa1", 60))).is_ok());
}

#[test]
fn a_token_is_taken_whole_or_not_at_all() {
    let issuer = Issuer::ecdsa("k");
    let (oauth, token) = (issuer.oauth(), issuer.sign(&claims("0oa1", 60)));
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(verify(&oauth, &String::from_utf8(changed).unwrap()).is_err(), "byte {at}");
        assert!(verify(&oauth, &token[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn somebody_elses_signature_is_wrong() {
    let (issuer, forger) = (Issuer::rsa("k"), Issuer::rsa("k"));
    let forged = forger.sign(&claims("0oa1", 60));
    assert_eq!(verify(&issuer.oauth(), &forged), Err(Rejection::Signature));
}

#[test]
fn whoever_chooses_the_algorithm_chooses_none_that_is_not_allowed() {
    let issuer = Issuer::rsa("k");
    let oauth = issuer.oauth();
    for algorithm in ["none", "None", "", "HS256", "HS512", "RS1", "ES256K"] {
        let header = json!({ "alg": algorithm, "kid": "k" });
        let token = issuer.sign_with(&header, &claims("0oa1", 60));
        assert_eq!(verify(&oauth, &token), Err(Rejection::Algorithm(algorithm.into())));
        let unsigned = token.rsplit_once('.').unwrap().0;
        assert_eq!(verify(&oauth, &format!("{unsigned}.")), Err(Rejection::Algorithm(algorithm.into())));
    }
    let other = json!({ "alg": "ES256", "kid": "k" });
    let expected = Rejection::KeyOfOtherAlgorithm { id: "k".into(), algorithm: "ES256" };
    assert_eq!(verify(&oauth, &issuer.sign_with(&other, &claims("0oa1", 60))), Err(expected));
    let only_ec = oauth_of(&[&issuer], config::OAuth { algorithms: vec!["ES256".to_owned()], ..rules() });
    let token = issuer.sign(&claims("0oa1", 60));
    assert_eq!(verify(&only_ec, &token), Err(Rejection::Algorithm("RS256".into())));
}

#[test]
fn headers_that_say_something_else_are_refused() {
    let issuer = Issuer::ecdsa("k");
    let oauth = issuer.oauth();
    let with = |more: Value| {
        let mut header = json!({ "alg": "ES256", "kid": "k" });
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        verify(&oauth, &issuer.sign_with(&header, &claims("0oa1", 60)))
    };
    for fits in
        [json!({}), json!({ "typ": "JWT" }), json!({ "typ": "application/at+jwt" }), json!({ "jku": "https://x" })]
    {
        assert!(with(fits).is_ok());
    }
    assert_eq!(with(json!({ "typ": "logout+jwt" })), Err(Rejection::Kind("logout+jwt".into())));
    assert!(matches!(with(json!({ "crit": ["b64"] })), Err(Rejection::Malformed(_))));
    // A key that comes along with the token proves nothing.
    let forger = Issuer::ecdsa("k");
    let own_key = json!({ "alg": "ES256", "kid": "k", "jwk": forger.jwk() });
    assert_eq!(verify(&oauth, &forger.sign_with(&own_key, &claims("0oa1", 60))), Err(Rejection::Signature));
}

#[test]
fn what_is_no_token_is_told_from_what_is_a_bad_one() {
    let issuer = Issuer::ecdsa("k");
    let oauth = issuer.oauth();
    let token = issuer.sign(&claims("0oa1", 60));
    let long = "x".repeat(40_000);
    for bad in ["", "..", "a.b.c", "e30.e30.", "e30.e30.e30.e30.e30", &format!("{token}="), &long, &format!("{token}.")]
    {
        assert!(matches!(verify(&oauth, bad), Err(Rejection::Malformed(_))), "{bad}");
    }
    let no_object = issuer.sign(&json!([1]));
    assert!(matches!(verify(&oauth, &no_object), Err(Rejection::Malformed(_))));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let header = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","x":{deep}}}"#));
    assert_eq!(verify(&oauth, &format!("{header}.e30.e30")), Err(Rejection::Signature), "and no stack is used up");
}

#[test]
fn keys_that_are_not_there_are_told_from_a_provider_that_is_not() {
    let (issuer, next) = (Issuer::rsa("one"), Issuer::ecdsa("two"));
    let empty = OAuth::new(rules(), Arc::default());
    let token = next.sign(&claims("0oa1", 60));
    assert_eq!(verify(&empty, &token), Err(Rejection::NoKeys("not fetched yet".to_owned())));
    let oauth = issuer.oauth();
    assert_eq!(verify(&oauth, &token), Err(Rejection::UnknownKey { id: "two".into(), provider: None }));
    oauth.keys().fetched(tokio::time::Instant::now(), Err("connection refused".to_owned()));
    let refused = verify(&oauth, &token).unwrap_err();
    assert!(refused.to_string().ends_with("cannot be asked: connection refused"), "{refused}");
    assert!(!refused.message().contains("connection"), "the client learns nothing about the provider");
    assert!(verify(&oauth, &issuer.sign(&claims("0oa1", 60))).is_ok(), "the keys from before go on holding");
    publish(&oauth, &[&next]);
    assert!(verify(&oauth, &token).is_ok(), "the new key");
    assert!(verify(&oauth, &issuer.sign(&claims("0oa1", 60))).is_err(), "the withdrawn key");
}

#[tokio::test(start_paused = true)]
async fn a_login_waits_for_an_unknown_key_and_no_longer_than_it_must() {
    let (issuer, next) = (Issuer::rsa("one"), Issuer::ecdsa("two"));
    let oauth = Arc::new(issuer.oauth());
    let second = std::time::Duration::from_secs(1);
    tokio::time::advance(second).await;
    let begun = tokio::time::Instant::now();
    oauth.prepare(&issuer.sign(&claims("0oa1", 60))).await;
    oauth.prepare("no token").await;
    oauth.prepare(&next.sign_with(&json!({ "alg": "none", "kid": "three" }), &claims("0oa1", 60))).await;
    assert_eq!(begun.elapsed().as_millis(), 0, "a known key, no token, and nothing to check: nobody is asked");

    let token = next.sign(&claims("0oa1", 60));
    let waiting = tokio::spawn({
        let (oauth, token) = (Arc::clone(&oauth), token.clone());
        async move { oauth.prepare(&token).await }
    });
    oauth.keys().wanted().await;
    publish(&oauth, &[&issuer, &next]);
    waiting.await.unwrap();
    assert!(verify(&oauth, &token).is_ok());

    tokio::time::advance(second).await;
    let begun = tokio::time::Instant::now();
    oauth.prepare(&Issuer::ecdsa("never").sign(&claims("0oa1", 60))).await;
    assert_eq!(begun.elapsed().as_secs(), 12, "nobody fetches: it gives up");
}

#[test]
fn the_table_of_algorithms_is_that_of_the_settings() {
    let names = algorithm::ALGORITHMS.iter().map(|algorithm| algorithm.name).collect::<Vec<_>>();
    assert_eq!(names, config::TOKEN_ALGORITHMS);
}
