//! Who is there now, as one node sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assignment::{Candidate, assign, best};
use super::beat::Beat;
use crate::routing::Routes;

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it said last.
    pub beat: Arc<Beat>,
    /// The addresses of the brokers at its listeners, where clients of this node can reach them.
    routes: BTreeMap<String, Routes>,
}

impl Node {
    /// A node, as its clients and those of the nodes on `machine` see it.
    pub fn new(beat: Arc<Beat>, machine: &str) -> Self {
        let reached = beat.listeners.iter().filter(|(name, _)| beat.reaches_from(machine, name));
        let routes = reached.map(|(name, reach)| (name.clone(), reach.routes())).collect();
        Self { beat, routes }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.beat.node
    }

    /// What it has used of what all share ([`super::Members::share`]); null where it said nothing.
    pub fn usage(&self) -> &serde_json::Value {
        &self.beat.usage
    }
}

/// Who is there, and who stands for which broker. Never without the node itself.
#[derive(Debug, Clone)]
pub struct View {
    /// In the order of their ids.
    nodes: Vec<Node>,
    me: usize,
    /// Those that clients are sent to, by their places in `nodes`.
    open: Vec<usize>,
    owners: BTreeMap<i32, usize>,
}

impl View {
    /// The view of `me` with these others. Who leaves sends its clients to the others, if there are any.
    pub fn new(
        me: Node,
        others: impl IntoIterator<Item = Node>,
        leaving: bool,
        brokers: &BTreeMap<i32, Option<String>>,
    ) -> Self {
        let own = me.id().to_owned();
        let mut nodes: Vec<Node> = others.into_iter().filter(|other| other.id() != own).collect();
        nodes.push(me);
        nodes.sort_by(|a, b| a.id().cmp(b.id()));
        let me = nodes.iter().position(|node| node.id() == own).unwrap_or_default();
        let reachable = |at: &usize| *at == me || !nodes[*at].routes.is_empty();
        let mut open: Vec<usize> = (0..nodes.len()).filter(reachable).collect();
        if leaving && open.len() > 1 {
            open.retain(|at| *at != me);
        }
        let mut view = Self { nodes, me, open, owners: BTreeMap::new() };
        let owners = assign(&view.candidates(), brokers);
        view.owners = owners.into_iter().map(|(broker, at)| (broker, view.open[at])).collect();
        view
    }

    fn candidates(&self) -> Vec<Candidate<'_>> {
        let nodes = self.open.iter().map(|at| &self.nodes[*at]);
        nodes.map(|node| Candidate { id: node.id(), rack: node.beat.rack.as_deref() }).collect()
    }

    /// The node whose view it is.
    pub fn me(&self) -> &Node {
        &self.nodes[self.me]
    }

    /// All nodes, with this one, in the order of their ids.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that stands for a broker.
    pub fn owner(&self, broker: i32) -> &Node {
        let known = self.owners.get(&broker).copied();
        let at = known.or_else(|| best(&self.candidates(), broker).map(|at| self.open[at]));
        &self.nodes[at.unwrap_or(self.me)]
    }

    /// Host and port that stand for a broker at a listener of the node that has it; `None` where it is this node, or has no
    /// such address: then this node's own will do.
    pub fn elsewhere(&self, listener: &str, virtual_cluster: &str, broker: i32) -> Option<(String, u16)> {
        let owner = self.owner(broker);
        if owner.id() == self.me().id() {
            return None;
        }
        let (host, port) = owner.routes.get(listener)?.address(virtual_cluster, broker)?;
        Some((host.into_owned(), port))
    }
}
