//! PLAIN (RFC 4616), the client's side: user name and password as they are. Over TLS, or not at all.

use crate::config::upstream::Password;

/// A user name and its password.
#[derive(Debug)]
pub(super) struct Plain {
    login: Password,
}

impl Plain {
    pub(super) fn new(login: Password) -> Self {
        Self { login }
    }

    pub(super) fn username(&self) -> &str {
        &self.login.username
    }

    /// Without an authorization id: the broker takes the user name for it.
    pub(super) fn message(&self) -> Vec<u8> {
        format!("\0{}\0{}", self.login.username, self.login.password.reveal()).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::secret::Secret;

    #[test]
    fn the_message_is_as_rfc_4616_says() {
        let plain = Plain::new(Password {
            username: "tim".to_owned(),
            password: Secret::new("tanstaaftanstaaf"),
            delegation_token: false,
        });
        assert_eq!(plain.message(), b"\0tim\0tanstaaftanstaaf");
        assert!(!format!("{plain:?}").contains("tanstaaf"));
    }
}
