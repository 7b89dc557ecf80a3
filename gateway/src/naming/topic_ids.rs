//! Topic ids: which physical topic each stands for, and what a foreign one is replaced with.

use super::prefix::Namespace;
use super::view::Lent;
use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// The topics of the physical cluster by id, as far as the gateway knows them. An id stays after its topic was deleted, since
/// it is never given to another one and sessions may still hold it.
#[derive(Debug)]
pub struct TopicIds {
    known: RwLock<Known>,
    veil: Veil,
}

#[derive(Debug, Default)]
struct Known {
    names: HashMap<[u8; 16], Arc<str>>,
    /// The id of each topic that was met last under its name: a topic that is made anew has another one.
    ids: HashMap<Arc<str>, [u8; 16]>,
}

/// What an id from a client stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// The broker's id of the topic.
    pub id: [u8; 16],
    /// The virtual name that was meant.
    pub name: Arc<str>,
}

/// Foreign and unknown ids go to the broker encrypted, so that the broker knows none of them and answers alike. Whoever sees
/// an id in both forms learns nothing of any other.
#[derive(Debug)]
struct Veil {
    encrypt: EncryptingKey,
    decrypt: DecryptingKey,
}

impl Veil {
    fn new(key: &[u8; 16]) -> Result<Self, Unspecified> {
        // An id is one block, so that there is nothing to chain.
        Ok(Self {
            encrypt: EncryptingKey::ecb(UnboundCipherKey::new(&AES_128, key)?)?,
            decrypt: DecryptingKey::ecb(UnboundCipherKey::new(&AES_128, key)?)?,
        })
    }
}

/// An id of which no topic is made; it stands where a cipher fails, which a whole block gives no reason for.
const NOBODY: [u8; 16] = [0xff; 16];

impl TopicIds {
    /// More ids than this are learned anew from the brokers.
    const MOST: usize = 1_000_000;

    /// An empty table; `key` is random.
    ///
    /// # Errors
    /// [`Unspecified`] where the cipher can't be set up.
    pub fn new(key: &[u8; 16]) -> Result<Self, Unspecified> {
        Ok(Self { known: RwLock::default(), veil: Veil::new(key)? })
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a topic.
    pub fn learn(&self, id: [u8; 16], name: &str) {
        if id == [0; 16] || self.known().names.contains_key(&id) {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.names.len() >= Self::MOST {
            *known = Known::default();
        }
        let name: Arc<str> = name.into();
        let _ = known.ids.insert(Arc::clone(&name), id);
        let _ = known.names.insert(id, name);
    }

    /// Whether the id is known to stand for a topic of the namespace, under the id that the broker gave it. An alias has an id of
    /// its own.
    pub fn belongs(&self, id: &[u8; 16], namespace: &Namespace) -> bool {
        if *id == [0; 16] {
            return true;
        }
        let known = self.known();
        known.names.get(id).is_some_and(|name| has_own_id(namespace, name))
    }

    /// What a client's id stands for; `None` where it stands for no topic of the namespace.
    pub fn meant(&self, id: &[u8; 16], namespace: &Namespace) -> Option<Meant> {
        let known = self.known();
        if let Some(physical) = known.names.get(id) {
            let own = namespace.names_of(physical).find(|name| !is_alias(namespace, name))?;
            return Some(Meant { id: *id, name: own.into() });
        }
        let mut aliases = namespace.lends_topics()?.topics().filter(|lent| lent.is_alias());
        aliases.find_map(|lent| {
            let real = known.ids.get(&lent.physical)?;
            (alias_id(namespace, lent, real) == *id).then(|| Meant { id: *real, name: Arc::clone(&lent.name) })
        })
    }

    /// The id that clients see for a topic of the namespace; `None` where it has none of which is known.
    pub fn shown(&self, id: &[u8; 16], namespace: &Namespace) -> Option<[u8; 16]> {
        if *id == [0; 16] {
            return Some(*id);
        }
        let known = self.known();
        let name = namespace.unmap_topic(known.names.get(id)?)?;
        Some(match namespace.lent(name).filter(|lent| lent.is_alias()) {
            Some(lent) => alias_id(namespace, lent, id),
            None => *id,
        })
    }

    /// The physical name of the topic that the id stands for.
    pub fn name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        self.known().names.get(id).cloned()
    }

    /// Whether it is known which topic the id stands for.
    pub fn knows(&self, id: &[u8; 16]) -> bool {
        self.known().names.contains_key(id)
    }

    /// What stands at the broker for an id that is not the tenant's.
    pub fn veil(&self, id: [u8; 16]) -> [u8; 16] {
        let mut block = id;
        self.veil.encrypt.encrypt(&mut block).map_or(NOBODY, |_| block)
    }

    /// The id that [`Self::veil`] was given.
    pub fn unveil(&self, id: [u8; 16]) -> [u8; 16] {
        let mut block = id;
        match self.veil.decrypt.decrypt(&mut block, DecryptionContext::None) {
            Ok(_) => block,
            Err(Unspecified) => NOBODY,
        }
    }
}

/// Whether clients of the namespace see a physical topic under the broker's own id.
fn has_own_id(namespace: &Namespace, physical: &str) -> bool {
    if namespace.lends_topics().is_none() {
        return namespace.unmap_topic(physical).is_some();
    }
    namespace.names_of(physical).any(|name| !is_alias(namespace, name))
}

fn is_alias(namespace: &Namespace, name: &str) -> bool {
    namespace.lent(name).is_some_and(|lent| lent.is_alias())
}

/// The id of an alias, so that two names of one topic are two topics to a client. It is the same at every gateway, and another
/// one for a topic that was made anew; who does not know the broker's id, which is never shown with it, can't make it.
fn alias_id(namespace: &Namespace, lent: &Lent, id: &[u8; 16]) -> [u8; 16] {
    let text = ["alias topic", namespace.prefix(), &lent.name, ""].join("\0");
    let hash = digest(&SHA256, &[text.as_bytes(), id].concat());
    let mut out = [0; 16];
    out.copy_from_slice(&hash.as_ref()[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_has_an_id_of_its_own_for_each_name_and_tenant() {
        use crate::naming::view::{LentFor, View};
        let ids = TopicIds::new(&[7; 16]).unwrap();
        let lent = |name: &str, physical: &str| Lent {
            name: name.into(),
            physical: physical.into(),
            purpose: LentFor::Reading,
            filter: None,
        };
        let namespace = |prefix: &str| {
            let lent = [lent("x", "b.orders"), lent("y", "b.orders"), lent("shared", "shared"), lent("z", "b.later")];
            Namespace::new(Some(prefix.into())).with_view(View::new(prefix, false, lent, []))
        };
        let (a, c) = (namespace("a."), namespace("c."));
        ids.learn([1; 16], "b.orders");
        ids.learn([2; 16], "shared");
        ids.learn([3; 16], "a.own");
        let x = ids.shown(&[1; 16], &a).unwrap();
        let picked = a.picking([("b.orders".into(), "y".into())].into());
        let y = ids.shown(&[1; 16], &picked).unwrap();
        assert!(x != y && x != [1; 16] && x != ids.shown(&[1; 16], &c).unwrap());
        assert_eq!(ids.meant(&x, &a), Some(Meant { id: [1; 16], name: "x".into() }));
        assert_eq!(ids.meant(&y, &a), Some(Meant { id: [1; 16], name: "y".into() }));
        assert_eq!(ids.meant(&x, &c), None, "another's");
        assert_eq!(ids.meant(&[1; 16], &a), None, "the broker's own is nobody's");
        assert!(!ids.belongs(&[1; 16], &a));
        assert_eq!(ids.shown(&[2; 16], &a), Some([2; 16]), "an exposed topic has one name and one id");
        assert_eq!(ids.meant(&[3; 16], &a), Some(Meant { id: [3; 16], name: "own".into() }));
        // Made anew, it is another topic.
        ids.learn([9; 16], "b.orders");
        assert_eq!(ids.meant(&x, &a), None);
        assert_ne!(ids.shown(&[9; 16], &a), Some(x));
    }

    #[test]
    fn an_id_belongs_to_whom_its_topic_belongs() {
        let ids = TopicIds::new(&[7; 16]).unwrap();
        ids.learn([1; 16], "a.orders");
        let (a, b) = (Namespace::new(Some("a.".into())), Namespace::new(Some("b.".into())));
        assert!(ids.belongs(&[1; 16], &a) && !ids.belongs(&[1; 16], &b));
        assert!(!ids.belongs(&[2; 16], &a), "unknown and foreign are alike");
        let transparent = Namespace::new(None);
        ids.learn([3; 16], "_anabranch.state");
        assert!(ids.belongs(&[1; 16], &transparent));
        assert!(!ids.belongs(&[2; 16], &transparent), "it could be the gateway's own");
        assert!(!ids.belongs(&[3; 16], &transparent), "the gateway's own");
        assert_eq!(ids.unveil(ids.veil([2; 16])), [2; 16]);
        // Both forms of one id say nothing of another's.
        let xor = |a: [u8; 16], b: [u8; 16]| -> [u8; 16] { std::array::from_fn(|i| a[i] ^ b[i]) };
        assert_ne!(xor(ids.veil([2; 16]), [2; 16]), xor(ids.veil([3; 16]), [3; 16]));
    }
}
