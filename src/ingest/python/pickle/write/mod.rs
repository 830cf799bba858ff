//! Writes values as JSON, or as Python's `repr` would show them.
//!
//! Writing is the only step whose cost is not bounded by the size of the frame: values may be
//! shared 2^100 times, nested 200,000 deep, or contain themselves. So values are walked with an
//! explicit stack, no deeper than [`PICKLE_DEPTH_MAX`], on which a value that contains itself is
//! detected, and each value and byte is taken from a [`Budget`]. Where writing stops, a mark is
//! written, and the output is still complete and valid.

pub(crate) mod leaf;

use super::arena::{Chain, Node, NodeId};
use super::classes::{ObjectValue, PARTS_MAX, object_value};
use super::text::CUT;
use super::view::{Elements, PickleView};
use crate::limits::{PICKLE_DEPTH_MAX, PICKLE_VALUES_BYTES_MAX, PICKLE_VALUES_MAX};
use crate::record::json;

const TOO_DEEP: &str = "[too deep]";
const CYCLE: &str = "[contains itself]";

/// The key under which a written object names its class.
const CLASS: &str = "__class__";

/// The number of values and bytes that may still be written for one record.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    values: usize,
    bytes: usize,
    /// Whether a text was read whose encoding is only a guess: Latin-1.
    pub(crate) lossy: bool,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { values: PICKLE_VALUES_MAX, bytes: PICKLE_VALUES_BYTES_MAX, lossy: false }
    }
}

impl Budget {
    fn take_value(&mut self) -> bool {
        let left = !self.is_spent();
        self.take_values(1);
        left
    }

    fn take_values(&mut self, count: usize) {
        self.values = self.values.saturating_sub(count);
    }

    pub(crate) fn take_bytes(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_spent(&self) -> bool {
        self.values == 0 || self.bytes == 0
    }
}

/// The language in which values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    Json,
    Python,
}

/// Appends a value of any size in one of the forms, within a budget. In JSON the output is always
/// one valid value.
pub(crate) fn write(
    view: PickleView<'_>,
    id: NodeId,
    notation: Notation,
    budget: &mut Budget,
    out: &mut Vec<u8>,
) {
    Walk { view, notation, budget, out, open: Vec::new() }.run(id);
}

/// Returns a value as `repr` text, within a budget.
pub(crate) fn python(view: PickleView<'_>, id: NodeId, budget: &mut Budget) -> String {
    let mut out = Vec::new();
    write(view, id, Notation::Python, budget, &mut out);
    String::from_utf8(out).unwrap_or_default() // only complete texts are written
}

struct Walk<'w, 'a> {
    view: PickleView<'a>,
    notation: Notation,
    budget: &'w mut Budget,
    out: &'w mut Vec<u8>,
    /// The containers around the value that is being written.
    open: Vec<OpenContainer<'a>>,
}

/// A container that is partly written.
struct OpenContainer<'a> {
    id: NodeId,
    kind: ContainerKind,
    rest: Elements<'a>,
    is_first: bool,
}

/// A part of a container, between two commas.
struct Part {
    key: Option<NodeId>,
    value: NodeId,
}

impl OpenContainer<'_> {
    fn next(&mut self, view: PickleView<'_>) -> Option<Part> {
        let next = self.rest.next()?;
        match self.kind {
            ContainerKind::Map => Some(Part { key: Some(next), value: self.rest.next()? }),
            ContainerKind::PairList => {
                let mut pair = view.elements(view.sequence(next));
                let (key, value) = (pair.next(), pair.next());
                Some(Part { key: key.or(Some(next)), value: value.unwrap_or(next) })
            }
            _ => Some(Part { key: None, value: next }),
        }
    }
}

#[derive(Clone, Copy)]
enum ContainerKind {
    List,
    Tuple { single: bool },
    Set,
    Map,
    PairList,
    Call { more: [Option<NodeId>; 2] },
}

impl ContainerKind {
    fn brackets(self, notation: Notation) -> (&'static str, &'static str) {
        match (self, notation) {
            (ContainerKind::Set, Notation::Python) | (ContainerKind::Map | ContainerKind::PairList, _) => {
                ("{", "}")
            }
            (ContainerKind::Tuple { single: true }, Notation::Python) => ("(", ",)"),
            (ContainerKind::Tuple { .. } | ContainerKind::Call { .. }, Notation::Python) => ("(", ")"),
            _ => ("[", "]"),
        }
    }
}

impl<'a> Walk<'_, 'a> {
    fn run(&mut self, id: NodeId) {
        self.value(id);
        while let Some(open) = self.open.last_mut() {
            match open.next(self.view) {
                None => self.close(),
                Some(_) if self.budget.is_spent() => self.cut_short(),
                Some(Part { key, value }) => {
                    self.separator();
                    if let Some(key) = key {
                        self.key(key);
                    }
                    self.value(value);
                }
            }
        }
    }

    /// Starts a value: writes the value if it has no parts, otherwise opens it.
    fn value(&mut self, mut id: NodeId) {
        for _ in 0..PICKLE_DEPTH_MAX {
            if !self.budget.take_value() {
                return self.text(CUT);
            }
            let Node::Object(number) = self.view.node(id) else {
                return self.plain(id);
            };
            let object = self.view.object(number);
            // All of these arguments may be read.
            self.budget.take_values(self.view.sequence(object.arguments).len().min(PARTS_MAX));
            match object_value(self.view, object, self.budget.bytes) {
                ObjectValue::Value(value) => id = value,
                other => return self.object(id, other),
            }
        }
        self.text(TOO_DEEP);
    }

    fn object(&mut self, id: NodeId, value: ObjectValue) {
        match value {
            ObjectValue::Text(text) if self.notation == Notation::Python => self.raw(&text),
            ObjectValue::Text(text) => self.text(&text),
            ObjectValue::Bytes(bytes) => self.bytes(&bytes),
            ObjectValue::Value(_) => {}
            ObjectValue::Sequence(chain) => self.open(id, ContainerKind::List, chain),
            ObjectValue::Map { class, pairs } => self.map(id, class, pairs),
            ObjectValue::PairList(chain) => self.open(id, ContainerKind::PairList, chain),
            ObjectValue::Call { class, arguments, more } => self.call(id, &class, arguments, more),
        }
    }

    /// Opens a map. The attributes of an object are preceded by the name of its class.
    fn map(&mut self, id: NodeId, class: Option<String>, pairs: Chain) {
        if self.refuses(id) {
            return;
        }
        self.enter(id, ContainerKind::Map, pairs);
        if let Some(class) = class {
            self.separator();
            self.text(CLASS);
            self.colon();
            self.text(&class);
        }
    }

    /// Opens a call. JSON has no form for a call, so there it is written as a text.
    fn call(&mut self, id: NodeId, class: &str, arguments: Chain, more: [Option<NodeId>; 2]) {
        if self.notation == Notation::Json {
            let text = python(self.view, id, self.budget);
            json::string(self.out, &text);
            return;
        }
        if !self.refuses(id) {
            self.raw(class);
            self.enter(id, ContainerKind::Call { more }, arguments);
        }
    }

    fn plain(&mut self, id: NodeId) {
        match self.view.node(id) {
            Node::List(chain) => self.open(id, ContainerKind::List, chain),
            Node::Set(chain) if chain.is_empty() && self.notation == Notation::Python => self.raw("set()"),
            Node::Set(chain) => self.open(id, ContainerKind::Set, chain),
            Node::Tuple(chain) => self.open(id, ContainerKind::Tuple { single: chain.len() == 1 }, chain),
            Node::Dict(chain) => self.open(id, ContainerKind::Map, chain),
            leaf => self.leaf(id, leaf),
        }
    }

    fn open(&mut self, id: NodeId, kind: ContainerKind, chain: Chain) {
        if !self.refuses(id) {
            self.enter(id, kind, chain);
        }
    }

    /// Returns true if a container cannot be opened here, and writes a mark in its place.
    fn refuses(&mut self, id: NodeId) -> bool {
        let mark = if self.open.iter().any(|open| open.id == id) {
            CYCLE
        } else if self.open.len() >= PICKLE_DEPTH_MAX {
            TOO_DEEP
        } else {
            return false;
        };
        self.text(mark);
        true
    }

    fn enter(&mut self, id: NodeId, kind: ContainerKind, chain: Chain) {
        self.raw(kind.brackets(self.notation).0);
        self.open.push(OpenContainer { id, kind, rest: self.view.elements(chain), is_first: true });
    }

    fn close(&mut self) {
        let Some(open) = self.open.last_mut() else { return };
        if let ContainerKind::Call { more } = &mut open.kind
            && let Some(named) = more.iter_mut().find_map(Option::take)
        {
            self.separator();
            self.raw("**");
            return self.value(named);
        }
        let (_, bracket) = open.kind.brackets(self.notation);
        self.open.pop();
        self.raw(bracket);
    }

    /// Ends the innermost container with a mark because the budget is used up.
    fn cut_short(&mut self) {
        self.separator();
        let Some(open) = self.open.last_mut() else { return };
        open.rest = self.view.elements(Chain::EMPTY);
        let is_map = matches!(open.kind, ContainerKind::Map | ContainerKind::PairList);
        self.text(CUT);
        if is_map {
            self.colon();
            self.text("");
        }
    }

    fn colon(&mut self) {
        self.raw(if self.notation == Notation::Json { ":" } else { ": " });
    }

    fn separator(&mut self) {
        let Some(open) = self.open.last_mut() else { return };
        if !std::mem::take(&mut open.is_first) {
            self.raw(if self.notation == Notation::Json { "," } else { ", " });
        }
    }
}
