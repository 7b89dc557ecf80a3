//! The nodes of one gateway cluster: who is there, and who stands for which broker.
//!
//! Each node says every second that it is there, in a topic of its own (`_anabranch.nodes`): what is declared is read from the
//! beginning and should be short. What all of them read makes a [`view::View`], and each computes from it which node clients
//! are sent to for a broker ([`assignment`]), so that nobody has to decide for the others. Any node serves any broker: a view
//! that is a second old costs balance and nothing else.

mod assignment;
pub mod beat;
mod heard;
pub mod members;
#[cfg(test)]
mod tests;
pub mod view;

pub use members::Members;
pub use view::{Node, View};
