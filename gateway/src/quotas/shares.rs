//! How the nodes of a gateway divide a limit. Each works it out for itself, from what all of them have told.

/// What one node told of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// Units a second that its clients took.
    pub used: f64,
    /// Units that its clients were waiting to take, at most at once. More of them wait for more.
    pub backlog: f64,
}

/// A node whose clients do not wait may use so much more than it did, at once.
const ROOM: f64 = 1.2;
/// And at least this part of its even share, so that a client can begin anywhere.
const FOOTHOLD: f64 = 0.03;

/// The part of `limit` that node `me` may give, from 0 to 1. The parts of all nodes make at most 1.
///
/// Nodes whose clients take all they want keep a little more than that; what is left goes to those whose clients wait, in
/// proportion to what they wait for, or evenly to all where nobody does.
pub fn share(limit: f64, me: usize, nodes: &[Demand]) -> f64 {
    let Some(own) = nodes.get(me).filter(|_| limit > 0.0) else { return 1.0 };
    let even = 1.0 / f64::from(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
    let need = |node: &Demand| (node.used / limit * ROOM).max(even * FOOTHOLD).min(1.0);
    let waits = |node: &&Demand| node.backlog > 0.0;
    let calm: f64 = nodes.iter().filter(|node| !waits(node)).map(need).sum();
    let waiting: f64 = nodes.iter().filter(waits).map(|node| node.backlog).sum();
    if waiting <= 0.0 {
        // Nobody waits: all needs fit, or come close to it.
        return if calm >= 1.0 { need(own) / calm } else { need(own) + (1.0 - calm) * even };
    }
    // Who waits is not left with nothing, however much the others took.
    let calm_part = calm.min(1.0 - FOOTHOLD);
    if waits(&own) {
        let floor = even * FOOTHOLD;
        let floors = floor * f64::from(u32::try_from(nodes.iter().filter(waits).count()).unwrap_or(u32::MAX));
        let left = (1.0 - calm_part - floors).max(0.0);
        let part = floor + left * own.backlog / waiting;
        part.min(1.0)
    } else {
        need(own) / calm * calm_part
    }
}
