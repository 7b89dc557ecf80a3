//! Names: what the attacker can call things to reach others.
