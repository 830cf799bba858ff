//! Opcodes that create tuples, lists, sets and dicts, and that add to them.

use super::{LoadResult, Machine, Run};
use crate::ingest::python::pickle::LoadError;
use crate::ingest::python::pickle::arena::{Chain, Node, NodeId};

/// Containers.
impl Run<'_, '_> {
    /// Moves the values from `height` on from the stack to the end of a chain.
    pub(super) fn take_from(&mut self, height: usize, chain: Chain) -> Chain {
        let Machine { arena, stack, .. } = &mut *self.machine;
        let chain = arena.extended(chain, &stack[height..]);
        stack.truncate(height);
        chain
    }

    pub(super) fn tuple(&mut self, count: usize) -> LoadResult {
        let height = self.height_below(count)?;
        let chain = self.take_from(height, Chain::EMPTY);
        self.push(Node::Tuple(chain));
        Ok(())
    }

    pub(super) fn collect(&mut self, container: impl FnOnce(Chain) -> Node) -> LoadResult {
        let height = self.pop_mark()?;
        let chain = self.take_from(height, Chain::EMPTY);
        self.push(container(chain));
        Ok(())
    }

    pub(super) fn collect_dict(&mut self) -> LoadResult {
        let height = self.pop_mark()?;
        even(self.machine.stack.len() - height)?;
        let chain = self.take_from(height, Chain::EMPTY);
        self.push(Node::Dict(chain));
        Ok(())
    }

    pub(super) fn append_marked(&mut self) -> LoadResult {
        let height = self.pop_mark()?;
        self.append(self.machine.stack.len() - height)
    }

    /// Adds the last `count` values to the list, set or object below them on the stack.
    pub(super) fn append(&mut self, count: usize) -> LoadResult {
        let height = self.height_below(count)?;
        let container = self.container_below(height)?;
        match self.machine.arena.node(container) {
            Node::List(chain) => {
                let chain = self.take_from(height, chain);
                *self.machine.arena.node_mut(container) = Node::List(chain);
            }
            Node::Set(chain) => {
                let chain = self.take_from(height, chain);
                *self.machine.arena.node_mut(container) = Node::Set(chain);
            }
            Node::Object(number) => {
                let chain = self.take_from(height, self.machine.arena.object(number).items);
                self.machine.arena.object_mut(number).items = chain;
            }
            _ => return Err(LoadError::Malformed("it appends to a value that is not a list")),
        }
        Ok(())
    }

    pub(super) fn set_marked(&mut self) -> LoadResult {
        let height = self.pop_mark()?;
        self.set(self.machine.stack.len() - height)
    }

    /// Sets the last `count` values, each a key or its value, in the dict or object below them on
    /// the stack.
    pub(super) fn set(&mut self, count: usize) -> LoadResult {
        even(count)?;
        let height = self.height_below(count)?;
        let container = self.container_below(height)?;
        match self.machine.arena.node(container) {
            Node::Dict(chain) => {
                let chain = self.take_from(height, chain);
                *self.machine.arena.node_mut(container) = Node::Dict(chain);
            }
            Node::Object(number) => {
                let chain = self.take_from(height, self.machine.arena.object(number).pairs);
                self.machine.arena.object_mut(number).pairs = chain;
            }
            _ => return Err(LoadError::Malformed("it sets an item of a value that is not a dict")),
        }
        Ok(())
    }

    pub(super) fn container_below(&self, height: usize) -> LoadResult<NodeId> {
        let below = &self.machine.stack[self.fence()..height];
        below.last().copied().ok_or(LoadError::Malformed("it adds to an empty stack"))
    }
}

fn even(count: usize) -> LoadResult {
    if count.is_multiple_of(2) { Ok(()) } else { Err(LoadError::Malformed("a key has no value")) }
}
