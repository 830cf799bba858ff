//! Opcodes that name classes and functions, and that describe the objects created from them.

use super::values::python2_text;
use super::{LoadResult, Run};
use crate::ingest::python::pickle::LoadError;
use crate::ingest::python::pickle::arena::{Arena, Chain, Maker, Node, NodeId, PickleObject};

/// Names, and objects that are described and never created.
impl Run<'_, '_> {
    pub(super) fn global(&mut self, module: NodeId, name: NodeId) -> NodeId {
        self.machine.arena.push(Node::Global(module, name))
    }

    pub(super) fn text_line(&mut self) -> LoadResult<NodeId> {
        let start = self.reader.position();
        let line = self.reader.line()?;
        let span = Arena::span(start..start + line.len());
        Ok(self.machine.arena.push(python2_text(line, span)))
    }

    pub(super) fn global_line_pair(&mut self) -> LoadResult<NodeId> {
        let (module, name) = (self.text_line()?, self.text_line()?);
        Ok(self.global(module, name))
    }

    pub(super) fn global_lines(&mut self) -> LoadResult {
        let global = self.global_line_pair()?;
        self.machine.stack.push(global);
        Ok(())
    }

    pub(super) fn stack_global(&mut self) -> LoadResult {
        let (name, module) = (self.pop()?, self.pop()?);
        let global = self.global(module, name);
        self.machine.stack.push(global);
        Ok(())
    }

    pub(super) fn push_object(
        &mut self,
        maker: Maker,
        class: NodeId,
        arguments: NodeId,
        keywords: Option<NodeId>,
    ) {
        let (state, items, pairs) = (None, Chain::EMPTY, Chain::EMPTY);
        let object = PickleObject { maker, class, arguments, keywords, state, items, pairs };
        let id = self.machine.arena.push_object(object);
        self.machine.stack.push(id);
    }

    pub(super) fn object(&mut self, maker: Maker) -> LoadResult {
        let (arguments, class) = (self.pop()?, self.pop()?);
        self.push_object(maker, class, arguments, None);
        Ok(())
    }

    pub(super) fn object_with_keywords(&mut self) -> LoadResult {
        let (keywords, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
        self.push_object(Maker::New, class, arguments, Some(keywords));
        Ok(())
    }

    /// Pushes the object of `INST`. Its Python 2 class is named in two lines, and the marked values
    /// are its arguments.
    pub(super) fn instance_lines(&mut self) -> LoadResult {
        let class = self.global_line_pair()?;
        let height = self.pop_mark()?;
        self.instance_of(class, height)
    }

    /// Pushes the object of `OBJ`. Its class is the first of the marked values, and the others are
    /// its arguments.
    pub(super) fn instance(&mut self) -> LoadResult {
        let height = self.pop_mark()?;
        if height == self.machine.stack.len() {
            return Err(LoadError::Malformed("an object has no class"));
        }
        let class = self.machine.stack.remove(height);
        self.instance_of(class, height)
    }

    pub(super) fn instance_of(&mut self, class: NodeId, height: usize) -> LoadResult {
        let chain = self.take_from(height, Chain::EMPTY);
        let arguments = self.machine.arena.push(Node::Tuple(chain));
        self.push_object(Maker::Call, class, arguments, None);
        Ok(())
    }

    pub(super) fn build(&mut self) -> LoadResult {
        let state = self.pop()?;
        let Node::Object(number) = self.machine.arena.node(self.top()?) else {
            return Err(LoadError::Malformed("it sets the state of a value that is not an object"));
        };
        self.machine.arena.object_mut(number).state = Some(state);
        Ok(())
    }

    pub(super) fn persistent_line(&mut self) -> LoadResult {
        let identity = self.text_line()?;
        self.placeholder("<persid>", &[identity]);
        Ok(())
    }

    pub(super) fn persistent(&mut self) -> LoadResult {
        let identity = self.pop()?;
        self.placeholder("<persid>", &[identity]);
        Ok(())
    }

    /// Pushes a placeholder for a value outside of the pickle, which is identified by a number of
    /// `length` bytes in a registry that only the sender has.
    pub(super) fn outside(&mut self, class: &str, length: usize) -> LoadResult {
        let bytes = self.reader.take(length)?;
        let code = bytes.iter().rev().fold(0, |code, byte| code << 8 | i64::from(*byte));
        let code = self.machine.arena.push(Node::Integer(code));
        self.placeholder(class, if length == 0 { &[] } else { std::slice::from_ref(&code) });
        Ok(())
    }

    pub(super) fn placeholder(&mut self, class: &str, arguments: &[NodeId]) {
        let arena = &mut self.machine.arena;
        let (module, name) = (arena.add(b""), arena.add(class.as_bytes()));
        let (module, name) = (arena.push(Node::Text(module)), arena.push(Node::Text(name)));
        let class = arena.push(Node::Global(module, name));
        let chain = arena.extended(Chain::EMPTY, arguments);
        let arguments = arena.push(Node::Tuple(chain));
        self.push_object(Maker::Call, class, arguments, None);
    }
}
