//! The values of one pickle: nodes in one vector, identified by number. Values that are shared or
//! contain themselves are therefore as harmless as any other, and all values are dropped by setting
//! a length to zero.
//!
//! Texts are not copied. A [`ByteSpan`] points into the frame or, if a text had to be converted,
//! into the arena's own buffer. Positions in that buffer continue where those of the frame end.

use std::ops::Range;

use super::text;
use crate::ingest::empty;

/// The number of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// A range of bytes of the frame or of the arena's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSpan {
    pub(super) start: u32,
    pub(super) length: u32,
}

impl ByteSpan {
    /// Returns the length in bytes.
    pub(crate) fn len(self) -> usize {
        self.length as usize
    }
}

/// Elements in order, as a linked list of cells, because a pickle may append to any container at
/// any time. The elements of a dict are key, value, key, value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) count: u32,
}

const END: u32 = u32::MAX;

impl Chain {
    pub(crate) const EMPTY: Chain = Chain { first: END, last: END, count: 0 };

    pub(crate) fn len(self) -> usize {
        self.count as usize
    }

    pub(crate) fn is_empty(self) -> bool {
        self.count == 0
    }
}

/// One element of a [`Chain`].
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainCell {
    pub(super) value: NodeId,
    pub(super) next: u32,
}

/// A value as the pickle describes it. Calls that the pickle requests are described, not executed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Integer(i64),
    /// An integer outside of `i64`, as decimal text.
    LongDigits(ByteSpan),
    /// An integer outside of `i64`, as little-endian two's complement.
    LongBytes(ByteSpan),
    Float(f64),
    /// A text, which is valid UTF-8.
    Text(ByteSpan),
    /// A byte string of Python 2 that is not UTF-8. It is read as Latin-1 where a text is expected.
    Latin1(ByteSpan),
    Bytes(ByteSpan),
    Tuple(Chain),
    List(Chain),
    Set(Chain),
    Dict(Chain),
    /// The name of a class or function: two text nodes, the module and the name in the module.
    Global(NodeId, NodeId),
    /// The number of a [`PickleObject`].
    Object(u32),
}

/// The kind of opcode that created an object. It is needed because the name of a class alone does
/// not determine the meaning of the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    /// A call: `REDUCE`, `INST`, `OBJ`, and the placeholders for values outside of the pickle.
    Call,
    /// `NEWOBJ`, `NEWOBJ_EX`: the arguments are those of `__new__`.
    New,
}

/// An object that Python would create by a call. Here the call is only described.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PickleObject {
    pub(crate) maker: Maker,
    /// The class or function that would be called.
    pub(crate) class: NodeId,
    /// The positional arguments: a tuple in a well-formed pickle.
    pub(crate) arguments: NodeId,
    pub(crate) keywords: Option<NodeId>,
    /// The state that `BUILD` would set.
    pub(crate) state: Option<NodeId>,
    /// The elements that `APPEND`, `APPENDS` and `ADDITEMS` would add.
    pub(crate) items: Chain,
    /// The keys and values that `SETITEM` and `SETITEMS` would set.
    pub(crate) pairs: Chain,
}

/// The nodes of one pickle, in memory that the next pickle reuses.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    nodes: Vec<Node>,
    pub(super) cells: Vec<ChainCell>,
    objects: Vec<PickleObject>,
    pub(super) converted: Vec<u8>,
    /// The length of the frame, at which the positions in `converted` begin.
    pub(super) frame_length: usize,
    /// Whether a part of a text was replaced because it was not valid Unicode.
    lossy: bool,
}

impl Arena {
    /// Removes all values, for a frame of this length.
    pub(crate) fn start(&mut self, frame_length: usize) {
        empty(&mut self.nodes);
        empty(&mut self.cells);
        empty(&mut self.objects);
        empty(&mut self.converted);
        self.frame_length = frame_length;
        self.lossy = false;
    }

    /// Returns the number of bytes kept for the next frame.
    #[cfg(test)]
    pub(crate) fn capacity_bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.cells.capacity() * size_of::<ChainCell>()
            + self.objects.capacity() * size_of::<PickleObject>()
            + self.converted.capacity()
    }

    pub(crate) fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId((self.nodes.len() - 1) as u32) // bounded by the number of opcodes
    }

    pub(crate) fn push_object(&mut self, object: PickleObject) -> NodeId {
        self.objects.push(object);
        self.push(Node::Object((self.objects.len() - 1) as u32))
    }

    #[inline]
    pub(crate) fn node(&self, id: NodeId) -> Node {
        self.nodes[id.0 as usize]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    pub(crate) fn object(&self, number: u32) -> &PickleObject {
        &self.objects[number as usize]
    }

    pub(crate) fn object_mut(&mut self, number: u32) -> &mut PickleObject {
        &mut self.objects[number as usize]
    }

    pub(crate) fn is_lossy(&self) -> bool {
        self.lossy
    }

    /// Returns the chain with values added to its end.
    pub(crate) fn extended(&mut self, mut chain: Chain, values: &[NodeId]) -> Chain {
        for &value in values {
            let cell = self.cells.len() as u32; // bounded by the number of opcodes
            self.cells.push(ChainCell { value, next: END });
            match chain.last {
                END => chain.first = cell,
                last => self.cells[last as usize].next = cell,
            }
            chain.last = cell;
            chain.count += 1;
        }
        chain
    }

    /// Returns the span of a range of the frame.
    pub(crate) fn span(range: Range<usize>) -> ByteSpan {
        ByteSpan { start: range.start as u32, length: range.len() as u32 } // frames are far below 4 GiB
    }

    /// Adds bytes, often a text, that are not in the frame in this form.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> ByteSpan {
        self.add_converted(|out| {
            out.extend_from_slice(bytes);
            text::Fidelity::Exact
        })
    }

    /// Adds a text that `convert` appends as UTF-8.
    pub(crate) fn add_converted(&mut self, convert: impl FnOnce(&mut Vec<u8>) -> text::Fidelity) -> ByteSpan {
        let start = self.converted.len();
        self.lossy |= convert(&mut self.converted) == text::Fidelity::Lossy;
        let start_in_all = self.frame_length + start;
        Arena::span(start_in_all..self.frame_length + self.converted.len())
    }
}
