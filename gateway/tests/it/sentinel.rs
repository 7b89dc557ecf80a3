//! For every served API at every version, without a case: whatever field names an entity is renamed on the way in, and
//! nothing of another tenant comes out.

use crate::filler::{FOREIGN, Filler};
use crate::runner::{self, BROKER};
use gateway::apis::{self, Verdict};
use gateway::naming::request::Asked;
use gateway::naming::response;
use wire::schema::{ApiKey, Message};
use wire::segments::Segments;

/// The message in which every name is `name`, and every topic id `id`.
pub(crate) fn plain(message: &'static Message, version: i16, name: &str, id: [u8; 16]) -> Vec<u8> {
    Filler { message, version, names: &[name], ids: &[id], dice: None }.body()
}

pub(crate) fn count(body: &[u8], what: &[u8]) -> usize {
    body.windows(what.len()).filter(|window| *window == what).count()
}

pub(crate) fn mapped() -> impl Iterator<Item = (ApiKey, i16)> {
    apis::served()
        .filter(|(key, _)| apis::row(*key).verdict == Verdict::Map)
        .flat_map(|(key, range)| (range.min..=range.max).map(move |version| (key, version)))
}

#[test]
fn every_name_in_every_request_gets_the_prefix_and_no_foreign_id_goes_through() {
    let mut names = 0;
    for (key, version) in mapped() {
        let body = plain(key.request(), version, "sentinel", FOREIGN);
        let sent =
            runner::forwarded("team-a.", key, version, &body).unwrap_or_else(|why| panic!("{key:?} {version}: {why}"));
        assert_eq!(count(&sent, b"team-a.sentinel"), count(&body, b"sentinel"), "{key:?} {version}");
        assert_eq!(count(&sent, &FOREIGN), 0, "{key:?} {version}: a foreign topic id");
        names += count(&body, b"sentinel");
    }
    assert!(names > 200, "only {names} names");
}

#[test]
fn every_name_in_every_answer_loses_the_prefix_and_nothing_foreign_comes_out() {
    let map = |key: ApiKey, version: i16, body: &[u8]| {
        // A name of the tenant's own tells that the id beside it is, which the next answer must not inherit.
        let tenant = runner::tenant_of("team-a.");
        let (mut memory, mut segments) = (response::Memory::default(), Segments::default());
        response::map(key, version, body, &Asked::default(), &tenant, BROKER, &mut memory, &mut segments)
            .unwrap_or_else(|why| panic!("{key:?} {version}: {why}"));
        segments.to_vec(body)
    };
    for (key, version) in mapped() {
        let ours = plain(key.response(), version, "team-a.sentinel", FOREIGN);
        let got = map(key, version, &ours);
        assert_eq!(count(&got, b"sentinel"), count(&ours, b"sentinel"), "{key:?} {version}");
        assert_eq!(count(&got, b"team-a."), 0, "{key:?} {version}: the prefix");

        let theirs = plain(key.response(), version, "team-b.sentinel", FOREIGN);
        let got = map(key, version, &theirs);
        assert_eq!(count(&got, b"sentinel"), 0, "{key:?} {version}: a foreign name");
        assert_eq!(count(&got, &FOREIGN), 0, "{key:?} {version}: a foreign topic id");
    }
}

#[test]
fn a_message_that_is_cut_off_is_refused_everywhere() {
    for (key, version) in mapped() {
        let body = plain(key.request(), version, "sentinel", FOREIGN);
        for end in 0..body.len() {
            assert!(
                runner::forwarded("team-a.", key, version, &body[..end]).is_err(),
                "{key:?} {version} cut at {end}"
            );
        }
    }
}
