//! GSSAPI (RFC 4752): Kerberos by the system's library, which finds keytab and tickets by itself.

use super::{LoginError, Step};
use crate::config::upstream::Kerberos;
use libgssapi::context::{ClientCtx, CtxFlags, SecurityContext as _};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, OidSet};
use std::ffi::OsString;

/// What the library reads a client's keytab's place from.
const KEYTAB: &str = "KRB5_CLIENT_KTNAME";
/// Neither integrity nor encryption by Kerberos: that is TLS' business, and Kafka offers nothing else.
const NO_LAYER: u8 = 1;

/// Variables that the library wants to find when the process starts and that are not set: one with threads can't set them.
pub fn missing_variables(settings: &Kerberos) -> Vec<(&'static str, OsString)> {
    let Some(keytab) = &settings.keytab else { return Vec::new() };
    let keytab = keytab.clone().into_os_string();
    if std::env::var_os(KEYTAB).is_some_and(|set| set == keytab) {
        return Vec::new();
    }
    // The tickets of whoever started the gateway stay as they are.
    vec![(KEYTAB, keytab), ("KRB5CCNAME", "MEMORY:gateway".into())]
}

/// A Kerberos principal, and whom it talks to.
#[derive(Debug)]
pub(super) struct Gssapi {
    settings: Kerberos,
}

impl Gssapi {
    pub(super) fn new(settings: Kerberos) -> Result<Self, LoginError> {
        match missing_variables(&settings).first() {
            None => Ok(Self { settings }),
            Some((name, value)) => {
                let value = value.display();
                Err(LoginError::Credentials(format!("the keytab is found by the environment: set {name}={value}")))
            }
        }
    }

    pub(super) fn principal(&self) -> &str {
        self.settings.principal.as_deref().unwrap_or("the default principal")
    }

    /// Gets a ticket for the broker, where there is none yet.
    pub(super) async fn start(&self, host: &str) -> Result<Exchange, LoginError> {
        let (settings, host) = (self.settings.clone(), host.to_owned());
        let started = tokio::task::spawn_blocking(move || Exchange::start(&settings, &host)).await;
        started.unwrap_or_else(|error| Err(LoginError::Credentials(error.to_string())))
    }
}

/// One login.
pub(super) struct Exchange {
    context: ClientCtx,
    message: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Tokens go to and fro until both know each other.
    Tokens,
    /// The broker says which layers it has.
    Layers,
    /// It takes the choice.
    End,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange({:?})", self.stage)
    }
}

impl Exchange {
    fn start(settings: &Kerberos, host: &str) -> Result<Self, LoginError> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: Error| LoginError::Credentials(format!("{what}: {error}"))
        };
        let service = format!("{}@{host}", settings.service);
        let target = Name::new(service.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE)).map_err(failed(&service))?;
        let principal =
            settings.principal.as_deref().map(|name| Name::new(name.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL)));
        let principal = principal.transpose().map_err(failed("the principal"))?;
        let mut mechanisms = OidSet::new();
        mechanisms.add(GSS_MECH_KRB5).map_err(failed("Kerberos"))?;
        let own = Cred::acquire(principal.as_ref(), None, CredUsage::Initiate, Some(&mechanisms));
        let own =
            own.map_err(failed("no ticket of the gateway's own (check keyTab and principal with kinit -k -t)"))?;
        let flags = CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
        let mut context = ClientCtx::new(Some(own), target, flags, Some(GSS_MECH_KRB5));
        let first = context.step(None, None).map_err(failed(&format!("no ticket for {service}")))?;
        let message = first.map(|token| token.to_vec()).unwrap_or_default();
        Ok(Self { context, message, stage: Stage::Tokens })
    }

    pub(super) fn first(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.message)
    }

    pub(super) fn step(&mut self, message: &[u8]) -> Result<Step, LoginError> {
        match self.stage {
            Stage::Tokens => {
                // Both sides are proven when the library says so: a broker without the service's key does not get here.
                let answer = self.context.step(Some(message), None).map_err(|_| LoginError::Unproven)?;
                if self.context.open().unwrap_or(false) {
                    self.stage = Stage::Layers;
                }
                Ok(Step::Say(answer.map(|token| token.to_vec()).unwrap_or_default()))
            }
            Stage::Layers => {
                let layers = self.context.unwrap(message).map_err(|_| LoginError::Unproven)?;
                let [offered, ..] = layers[..] else { return Err(LoginError::Malformed("it offers no layer")) };
                if offered & NO_LAYER == 0 {
                    return Err(LoginError::Malformed("it insists on a layer of Kerberos' own"));
                }
                self.stage = Stage::End;
                // The layer, how much is taken at a time under it, and no other name to act by.
                let choice = self.context.wrap(false, &[NO_LAYER, 0, 0, 0]);
                Ok(Step::Say(choice.map_err(|_| LoginError::Malformed("no answer can be made to it"))?.to_vec()))
            }
            Stage::End if message.is_empty() => Ok(Step::Done),
            Stage::End => Err(LoginError::Malformed("the exchange has ended")),
        }
    }
}
