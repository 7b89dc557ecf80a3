//! DescribeUserScramCredentials: the service accounts of the virtual cluster, in the words of a broker.

use super::{SessionError, local};
use crate::apis::check::Checked;
use crate::authn::Account;
use crate::authn::credentials::Hash;
use crate::world::World;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const DUPLICATE_RESOURCE: i16 = 92;
const INVALID_REQUEST: i16 = 42;
const RESOURCE_NOT_FOUND: i16 = 91;

/// The mechanisms as the protocol numbers them.
const MECHANISMS: [(i8, Hash); 2] = [(1, Hash::Sha256), (2, Hash::Sha512)];
/// Longer requests than any honest one are not decoded.
const LONGEST: usize = 64 << 10;

/// The answer to a client of `virtual_cluster`. Users of other virtual clusters are as unknown to it as those that nobody
/// declared, and so are accounts without a password.
///
/// # Errors
/// [`SessionError::Frame`] for a body that is none.
pub fn describe(request: &Checked<'_>, world: &World, virtual_cluster: &str) -> Result<Vec<u8>, SessionError> {
    if request.body().len() > LONGEST {
        let text = format!("The request is longer than {LONGEST} bytes; ask for fewer users at once.");
        return local::answer(request, &json!({ "ErrorCode": INVALID_REQUEST, "ErrorMessage": text }));
    }
    let asked = local::asked(request)?;
    let accounts = world.accounts_of(virtual_cluster);
    let known: BTreeMap<&str, Value> = accounts.filter_map(|a| Some((&*a.username, mechanisms(a)?))).collect();
    let users = asked["Users"].as_array().filter(|users| !users.is_empty());
    let results: Vec<Value> = match users {
        None => known.iter().map(|(user, infos)| result(user, 1, Some(infos))).collect(),
        Some(users) => {
            let mut times: BTreeMap<&str, usize> = BTreeMap::new();
            let names: Vec<&str> = users.iter().filter_map(|user| user["Name"].as_str()).collect();
            names.iter().for_each(|name| *times.entry(name).or_default() += 1);
            times.iter().map(|(name, times)| result(name, *times, known.get(name))).collect()
        }
    };
    local::answer(request, &json!({ "ErrorMessage": null, "Results": results }))
}

/// What is said of one user who was asked for.
fn result(user: &str, times: usize, infos: Option<&Value>) -> Value {
    let refused = |code: i16, text: &str| json!({ "User": user, "ErrorCode": code, "ErrorMessage": text });
    match infos {
        _ if times > 1 => refused(
            DUPLICATE_RESOURCE,
            &format!("Cannot describe SCRAM credentials for the same user twice in a single request: {user}"),
        ),
        Some(infos) => json!({ "User": user, "ErrorMessage": null, "CredentialInfos": infos }),
        None => {
            refused(RESOURCE_NOT_FOUND, &format!("Attempt to describe a user credential that does not exist: {user}"))
        }
    }
}

fn mechanisms(account: &Account) -> Option<Value> {
    let credentials = account.credentials.as_ref()?;
    let infos = MECHANISMS.iter().map(
        |(number, hash)| json!({ "Mechanism": number, "Iterations": credentials.verifier(*hash).iterations().get() }),
    );
    Some(infos.collect())
}
