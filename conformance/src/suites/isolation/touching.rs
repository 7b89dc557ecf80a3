//! Touching: what the attacker may not change.
