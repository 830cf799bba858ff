//! Interprets objects of well-known classes. Only names are compared and data is read; nothing is
//! created or called.

use super::arena::{Chain, Maker, Node, NodeId, PickleObject};
use super::call::{CallArguments, Class, bytes, class_name, class_of, integer, member_of};
use super::datetime::date_and_time;
use super::view::PickleView;

/// The value that an object represents.
#[derive(Debug)]
pub(crate) enum ObjectValue {
    /// A text, such as a date.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Another value, such as the number of an `int` subclass.
    Value(NodeId),
    /// A list.
    Sequence(Chain),
    /// Keys and values. Those of a plain object come with the name of its class.
    Map { class: Option<String>, pairs: Chain },
    /// Keys and values, each pair in a tuple or list.
    PairList(Chain),
    /// A class or function and the arguments of its call: positional arguments, then named
    /// arguments and a state in `more`.
    Call { class: String, arguments: Chain, more: [Option<NodeId>; 2] },
}

/// Maximum number of parts of a path that are read.
pub(super) const PARTS_MAX: usize = 256;

/// Returns the value that an object represents. Texts and bytes taken from the pickle are cut to
/// `bytes_max`.
pub(crate) fn object_value(view: PickleView<'_>, object: &PickleObject, bytes_max: usize) -> ObjectValue {
    if !object.pairs.is_empty() {
        return ObjectValue::Map { class: None, pairs: object.pairs };
    }
    if !object.items.is_empty() {
        return ObjectValue::Sequence(object.items);
    }
    let known = class_of(view, object.class).and_then(|class| {
        let arguments = CallArguments::new(view, object);
        well_known(view, class, object, arguments, bytes_max)
    });
    known.or_else(|| with_keywords(view, object)).unwrap_or_else(|| unknown(view, object.class, object))
}

fn well_known(
    view: PickleView<'_>,
    class: Class<'_>,
    object: &PickleObject,
    arguments: CallArguments,
    bytes_max: usize,
) -> Option<ObjectValue> {
    let [first, second, third, _] = arguments.first;
    match class {
        ("_codecs", "encode") | ("builtins", "bytes" | "bytearray") => {
            bytes(view, first, bytes_max).map(ObjectValue::Bytes)
        }
        ("builtins", "set" | "frozenset" | "list" | "tuple" | "dict")
        | ("collections", "Counter" | "deque") => {
            Some(first.map_or(ObjectValue::Sequence(Chain::EMPTY), ObjectValue::Value))
        }
        ("collections", "OrderedDict" | "defaultdict") => Some(ordered_dict(view, first)),
        ("builtins", "getattr") => {
            let name = format!("{}.{}", class_name(view, first?), view.name(second?)?);
            Some(ObjectValue::Text(name))
        }
        ("copyreg", "_reconstructor") => Some(reconstructed(view, first?, second?, third?, object)),
        ("datetime", name) => date_and_time(view, name, arguments.first).map(ObjectValue::Text),
        ("fractions", "Fraction") if second.is_some() => {
            Some(ObjectValue::Text(format!("{}/{}", integer(view, first?)?, integer(view, second?)?)))
        }
        ("decimal", "Decimal") | ("fractions", "Fraction") => {
            view.name(first?).map(|digits| ObjectValue::Text(digits.to_owned()))
        }
        ("uuid", "UUID") => uuid(view, object.state?).map(ObjectValue::Text),
        ("pathlib", name) => Some(ObjectValue::Text(path(view, name, arguments.chain, bytes_max))),
        ("logging", "getLogger" | "RootLogger") => {
            let name = first.map_or(Some("root"), |name| view.name(name))?;
            Some(ObjectValue::Text(name.to_owned()))
        }
        _ => None,
    }
}

/// Interprets an object of a class that the sender defines.
fn unknown(view: PickleView<'_>, class: NodeId, object: &PickleObject) -> ObjectValue {
    let arguments = CallArguments::new(view, object);
    let state = object.state.and_then(|state| members(view, state));
    match (object.maker, arguments.chain.len(), arguments.first[0]) {
        (_, 0, _) if state.is_some() => {
            ObjectValue::Map { class: Some(class_name(view, class)), pairs: state.unwrap_or(Chain::EMPTY) }
        }
        // Subclasses of `int`, `str` and similar classes; named tuples have more than one argument.
        (Maker::New, 1, Some(value)) if object.keywords.is_none() => ObjectValue::Value(value),
        (Maker::New, 2.., _) if object.keywords.is_none() => ObjectValue::Sequence(arguments.chain),
        _ => ObjectValue::Call {
            class: class_name(view, class),
            arguments: arguments.chain,
            more: [object.keywords, object.state],
        },
    }
}

/// Interprets `partial(class.__new__, class, .., name=..)()`, which protocols 2 and 3 write if a
/// class requires named arguments. A partial has the state `(function, arguments, keywords,
/// attributes)`.
fn with_keywords(view: PickleView<'_>, object: &PickleObject) -> Option<ObjectValue> {
    let Node::Object(number) = view.node(object.class) else { return None };
    let partial = view.object(number);
    if class_of(view, partial.class)? != ("functools", "partial") {
        return None;
    }
    let mut state = view.elements(view.sequence(partial.state?));
    let (function, arguments, keywords) = (state.next()?, view.sequence(state.next()?), state.next()?);
    let (_, method) = member_of(view, function)?;
    let class = view.elements(arguments).next()?;
    (method == "__new__").then(|| ObjectValue::Call {
        class: class_name(view, class),
        arguments: view.without_first(arguments),
        more: [Some(keywords), object.state],
    })
}

/// Returns the attributes in a state: a dict, or `(None, dict)` if the class has slots.
fn members(view: PickleView<'_>, state: NodeId) -> Option<Chain> {
    match view.node(state) {
        Node::Dict(pairs) => Some(pairs),
        Node::Tuple(chain) if chain.len() == 2 => {
            let mut elements = view.elements(chain);
            match (view.node(elements.next()?), view.node(elements.next()?)) {
                (Node::None, Node::Dict(pairs)) => Some(pairs),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Interprets `_reconstructor(class, base, value of the base)`, which protocols 0 and 1 write. The
/// base of plain classes is `object`.
fn reconstructed(
    view: PickleView<'_>,
    class: NodeId,
    base: NodeId,
    value: NodeId,
    object: &PickleObject,
) -> ObjectValue {
    if class_of(view, base) != Some(("builtins", "object")) {
        return ObjectValue::Value(value);
    }
    if let (Some(("uuid", "UUID")), Some(state)) = (class_of(view, class), object.state)
        && let Some(text) = uuid(view, state)
    {
        return ObjectValue::Text(text);
    }
    match object.state.and_then(|state| members(view, state)) {
        Some(pairs) => ObjectValue::Map { class: Some(class_name(view, class)), pairs },
        None => ObjectValue::Call {
            class: class_name(view, class),
            arguments: Chain::EMPTY,
            more: [object.keywords, object.state],
        },
    }
}

/// Interprets an `OrderedDict`, to which Python 2 passes its pairs as a list.
fn ordered_dict(view: PickleView<'_>, first: Option<NodeId>) -> ObjectValue {
    match first.map(|first| view.node(first)) {
        Some(Node::List(pairs) | Node::Tuple(pairs)) => ObjectValue::PairList(pairs),
        Some(Node::Dict(pairs)) => ObjectValue::Map { class: None, pairs },
        _ => ObjectValue::Map { class: None, pairs: Chain::EMPTY },
    }
}

fn uuid(view: PickleView<'_>, state: NodeId) -> Option<String> {
    let Node::Dict(pairs) = view.node(state) else { return None };
    let mut pairs = view.pairs(pairs).take(4); // `int` and `is_safe`
    let (_, number) = pairs.find(|(key, _)| view.name(*key) == Some("int"))?;
    let number = match view.node(number) {
        Node::Integer(value) => u128::try_from(value).ok()?,
        Node::LongDigits(span) => view.prefix(span, 40).parse().ok()?,
        Node::LongBytes(span) => unsigned(view.bytes(span))?,
        _ => return None,
    };
    let hex = format!("{number:032x}");
    Some(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

fn unsigned(bytes: &[u8]) -> Option<u128> {
    let (low, high) = bytes.split_at(bytes.len().min(16));
    let mut value = [0; 16];
    value[..low.len()].copy_from_slice(low);
    matches!(high, [] | [0]).then(|| u128::from_le_bytes(value))
}

/// Returns the text of a path. Its arguments are its parts; from Python 3.12 on, the whole path may
/// be one argument.
fn path(view: PickleView<'_>, class: &str, parts: Chain, bytes_max: usize) -> String {
    let separator = if class.contains("Windows") { '\\' } else { '/' };
    let mut path = String::new();
    for part in view.elements(parts).take(PARTS_MAX).filter_map(|part| view.name(part)) {
        if !path.is_empty() && !path.ends_with(separator) {
            path.push(separator);
        }
        path.push_str(part);
        if path.len() > bytes_max {
            break;
        }
    }
    if path.is_empty() { ".".to_owned() } else { path }
}
