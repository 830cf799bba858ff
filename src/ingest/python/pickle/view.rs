//! Reads an arena: texts, elements, names.

use super::arena::{Arena, ByteSpan, Chain, Node, NodeId, PickleObject};
use crate::limits::PICKLE_NAME_BYTES_MAX;

/// An arena together with the frame that its spans point into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PickleView<'a> {
    arena: &'a Arena,
    frame: &'a [u8],
}

impl<'a> PickleView<'a> {
    pub(crate) fn new(arena: &'a Arena, frame: &'a [u8]) -> PickleView<'a> {
        PickleView { arena, frame }
    }

    #[inline]
    pub(crate) fn node(self, id: NodeId) -> Node {
        self.arena.node(id)
    }

    pub(crate) fn object(self, number: u32) -> &'a PickleObject {
        self.arena.object(number)
    }

    pub(crate) fn bytes(self, span: ByteSpan) -> &'a [u8] {
        let (start, length) = (span.start as usize, span.length as usize);
        let (buffer, start) = match start.checked_sub(self.arena.frame_length) {
            Some(start) if length > 0 => (&self.arena.converted[..], start),
            _ => (self.frame, start),
        };
        buffer.get(start..start + length).unwrap_or_default()
    }

    /// Returns the whole text. Each call validates it again, so use [`PickleView::prefix`] where
    /// the same text may be requested often.
    pub(crate) fn text(self, span: ByteSpan) -> &'a str {
        self.prefix(span, usize::MAX)
    }

    /// Returns as much of a text as fits into `bytes_max`.
    pub(crate) fn prefix(self, span: ByteSpan, bytes_max: usize) -> &'a str {
        let bytes = self.bytes(span);
        let bytes = &bytes[..bytes.len().min(bytes_max)];
        match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(cut) => std::str::from_utf8(&bytes[..cut.valid_up_to()]).unwrap_or_default(),
        }
    }

    /// Returns as much of the text of a node as a name may have, or `None` if the node is not a
    /// text.
    pub(crate) fn name(self, id: NodeId) -> Option<&'a str> {
        match self.node(id) {
            Node::Text(span) => Some(self.prefix(span, PICKLE_NAME_BYTES_MAX)),
            _ => None,
        }
    }

    pub(crate) fn elements(self, chain: Chain) -> Elements<'a> {
        Elements { arena: self.arena, next: chain.first }
    }

    /// Returns the elements of a dict, or of a similar chain, in pairs.
    pub(crate) fn pairs(self, chain: Chain) -> impl Iterator<Item = (NodeId, NodeId)> + 'a {
        let mut elements = self.elements(chain);
        std::iter::from_fn(move || Some((elements.next()?, elements.next()?)))
    }

    pub(crate) fn without_first(self, chain: Chain) -> Chain {
        match self.arena.cells.get(chain.first as usize) {
            Some(cell) if chain.count > 1 => Chain { first: cell.next, count: chain.count - 1, ..chain },
            _ => Chain::EMPTY,
        }
    }

    /// Returns the elements of a tuple or list, and no elements for any other node.
    pub(crate) fn sequence(self, id: NodeId) -> Chain {
        match self.node(id) {
            Node::Tuple(chain) | Node::List(chain) => chain,
            _ => Chain::EMPTY,
        }
    }
}

/// Iterator over the elements of a [`Chain`].
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a> {
    arena: &'a Arena,
    next: u32,
}

impl Iterator for Elements<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let cell = self.arena.cells.get(self.next as usize)?; // END is beyond every cell
        self.next = cell.next;
        Some(cell.value)
    }
}
