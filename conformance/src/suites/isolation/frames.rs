//! Frames: what a connection can say that no client would.
