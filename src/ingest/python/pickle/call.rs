//! Reads a described call: the name of its class or function, its arguments, and simple values
//! among them.

use super::arena::{Chain, Node, NodeId, PickleObject};
use super::view::PickleView;
use crate::limits::PICKLE_DEPTH_MAX;

/// The module and the name of a class or function, as Python 3 names them.
pub(super) type Class<'a> = (&'a str, &'a str);

pub(super) fn class_of(view: PickleView<'_>, id: NodeId) -> Option<Class<'_>> {
    let Node::Global(module, name) = view.node(id) else { return None };
    let module = match view.name(module)? {
        "__builtin__" | "exceptions" => "builtins",
        "copy_reg" => "copyreg",
        "pathlib._local" => "pathlib",
        other => other,
    };
    let name = match (module, view.name(name)?) {
        ("builtins", "unicode") => "str",
        ("builtins", "long") => "int",
        ("builtins", "xrange") => "range",
        (_, other) => other,
    };
    Some((module, name))
}

/// Returns the dotted name of a class or function, without the module if it is built in.
pub(crate) fn class_name(view: PickleView<'_>, mut id: NodeId) -> String {
    let mut members = Vec::new();
    for _ in 0..PICKLE_DEPTH_MAX {
        if let Some((module, name)) = class_of(view, id) {
            let head = if matches!(module, "" | "builtins") { None } else { Some(module) };
            let parts: Vec<&str> = head.into_iter().chain([name]).chain(members.into_iter().rev()).collect();
            return parts.join(".");
        }
        let Some((owner, member)) = member_of(view, id) else { break };
        members.push(member);
        id = owner;
    }
    "<unnamed>".to_owned()
}

/// Returns the owner and the name of an object that is described as `getattr(owner, name)`.
pub(super) fn member_of(view: PickleView<'_>, id: NodeId) -> Option<(NodeId, &str)> {
    let Node::Object(number) = view.node(id) else { return None };
    let object = view.object(number);
    let [Some(owner), Some(member), ..] = CallArguments::new(view, object).first else { return None };
    (class_of(view, object.class)? == ("builtins", "getattr")).then_some((owner, view.name(member)?))
}

/// The arguments of an object as a chain, and the first four of them.
#[derive(Clone, Copy)]
pub(super) struct CallArguments {
    pub(super) chain: Chain,
    pub(super) first: [Option<NodeId>; 4],
}

impl CallArguments {
    pub(super) fn new(view: PickleView<'_>, object: &PickleObject) -> CallArguments {
        let chain = view.sequence(object.arguments);
        let mut elements = view.elements(chain);
        CallArguments { chain, first: std::array::from_fn(|_| elements.next()) }
    }
}

/// Returns the bytes that `bytes(..)`, `bytearray(..)` or `_codecs.encode(.., 'latin1')` would
/// return.
pub(super) fn bytes(view: PickleView<'_>, first: Option<NodeId>, bytes_max: usize) -> Option<Vec<u8>> {
    let Some(mut id) = first else { return Some(Vec::new()) };
    for _ in 0..2 {
        match view.node(id) {
            Node::Bytes(span) | Node::Latin1(span) => {
                let bytes = view.bytes(span);
                return Some(bytes[..bytes.len().min(bytes_max)].to_vec());
            }
            Node::Text(span) => {
                let text = view.prefix(span, bytes_max);
                return text.chars().map(|character| u8::try_from(character).ok()).collect();
            }
            // bytearray(_codecs.encode(..))
            Node::Object(number)
                if class_of(view, view.object(number).class) == Some(("_codecs", "encode")) =>
            {
                id = CallArguments::new(view, view.object(number)).first[0]?;
            }
            _ => return None,
        }
    }
    None
}

pub(super) fn integer(view: PickleView<'_>, id: NodeId) -> Option<i64> {
    match view.node(id) {
        Node::Integer(value) => Some(value),
        _ => None,
    }
}
