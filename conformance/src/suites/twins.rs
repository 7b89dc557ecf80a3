//! The same question about what the victim has and about what nobody has: the answers must not differ.

use std::thread;
use std::time::Duration;

use serde_json::Value;
use wire::schema::ApiKey;

use super::arena::Trouble;
use super::attacker::Reply;
use super::forge::{self, Names};
use super::scene::Scene;

/// What was just created is there a moment later: a difference counts when it stays.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);

impl Scene<'_> {
    /// Asks with forged requests of both, complains about a difference, and says what was answered about the victim's.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn twins(&mut self, key: ApiKey, version: i16, theirs: &Names, nobody: &Names) -> Result<Reply, Trouble> {
        let forged = |names| forge::request(key, version, names);
        self.twin_bodies(key, version, &forged(theirs), &forged(nobody), &theirs.beside(nobody))
    }

    /// As [`Self::twins`] with requests of one's own; `names` are the victim's beside nobody's.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn twin_bodies(
        &mut self,
        key: ApiKey,
        version: i16,
        theirs: &Value,
        nobody: &Value,
        names: &[(&str, &str)],
    ) -> Result<Reply, Trouble> {
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            thread::sleep(PAUSE * attempt);
            // Who is first must not matter.
            let (about_theirs, about_nobody);
            if self.dice.below(2) == 0 {
                about_theirs = self.ask(key, version, theirs)?;
                about_nobody = self.ask(key, version, nobody)?;
            } else {
                about_nobody = self.ask(key, version, nobody)?;
                about_theirs = self.ask(key, version, theirs)?;
            }
            let garbled = matches!(about_theirs, Reply::Garbled(_));
            if !garbled && about_theirs.comparable(names) == about_nobody.comparable(&[]) {
                return Ok(about_theirs);
            }
            last = Some((about_theirs, about_nobody));
        }
        let (about_theirs, about_nobody) =
            last.unwrap_or_else(|| (Reply::Closed(String::new()), Reply::Closed(String::new())));
        self.expect(false, || {
            format!("{} {version} tells the victim's from nobody's: {about_theirs:?} but {about_nobody:?}", key.name())
        });
        Ok(about_theirs)
    }

    /// [`Self::twins`] for every API that names anything, at every version; says how many were asked. The members that are
    /// named are nobody's: whoever joins a group chooses a name for itself, and would see it again.
    ///
    /// # Errors
    /// [`Trouble`]
    pub fn twins_everywhere(&mut self, theirs: &Names, nobody: &Names) -> Result<Asked, Trouble> {
        let mut asked = Asked::default();
        let (member, instance) = (nobody.member.clone(), nobody.instance.clone());
        let theirs = &Names { member, instance, ..theirs.clone() };
        for key in ApiKey::ALL {
            let versions = self.versions(*key).filter(|version| forge::names_something(*key, *version));
            let versions: Vec<i16> = versions.collect();
            for version in &versions {
                let reply = self.twins(*key, *version, theirs, nobody)?;
                let refused = self.served(*key) || reply.gave_nothing();
                self.expect(refused, || format!("{} {version} is not advertised and answered {reply:?}", key.name()));
            }
            asked.apis += usize::from(!versions.is_empty());
            asked.requests += versions.len();
        }
        Ok(asked)
    }
}

/// How much was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// APIs.
    pub apis: usize,
    /// API and version.
    pub requests: usize,
}
