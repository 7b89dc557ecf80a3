//! Topic ids: which physical topic each stands for, and what a foreign one is replaced with.

use super::prefix::Namespace;
use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The topics of the physical cluster by id, as far as the gateway knows them. An id stays after its topic was deleted, since
/// it is never given to another one and sessions may still hold it.
#[derive(Debug)]
pub struct TopicIds {
    names: RwLock<HashMap<[u8; 16], Arc<str>>>,
    veil: Veil,
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
        Ok(Self { names: RwLock::default(), veil: Veil::new(key)? })
    }

    /// Takes note of a topic.
    pub fn learn(&self, id: [u8; 16], name: &str) {
        if id == [0; 16] || self.names.read().unwrap_or_else(PoisonError::into_inner).contains_key(&id) {
            return;
        }
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= Self::MOST {
            names.clear();
        }
        let _ = names.insert(id, name.into());
    }

    /// Whether the id is known to stand for a topic of the namespace.
    pub fn belongs(&self, id: &[u8; 16], namespace: &Namespace) -> bool {
        if *id == [0; 16] {
            return true;
        }
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.get(id).is_some_and(|name| namespace.unmap_topic(name).is_some())
    }

    /// The physical name of the topic that the id stands for.
    pub fn name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Whether it is known which topic the id stands for.
    pub fn knows(&self, id: &[u8; 16]) -> bool {
        self.names.read().unwrap_or_else(PoisonError::into_inner).contains_key(id)
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

#[cfg(test)]
mod tests {
    use super::*;

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
