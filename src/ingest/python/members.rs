//! Collects the members of a record's dict on the general path: each name once, even if the pickle
//! repeats it.

use std::collections::HashMap;

use super::log_record;
use super::pickle::{
    Arena, Chain, Node, NodeId, ObjectValue, PickleView, class_name, key_text, latin1, object_value, text,
};
use super::value::DictValue;
use crate::ingest::{Rejection, empty};
use crate::limits::{
    ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX, PICKLE_DEPTH_MAX, PICKLE_NAME_BYTES_MAX, PICKLE_VALUES_BYTES_MAX,
};

/// A key and its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct PickleMember {
    /// The key, as a text node.
    key: NodeId,
    value: NodeId,
    /// Whether the member was in the dict `extra`, in which loguru sends the values that its users
    /// bind. Such a member is never a standard key.
    pub(super) is_nested: bool,
}

/// Collects the members of the record at `top`. Of several members with the same name the last
/// value counts, as in a dict. Returns the number of members beyond the limits, which are dropped.
pub(super) fn collect(
    arena: &mut Arena,
    frame: &[u8],
    top: NodeId,
    members: &mut Vec<PickleMember>,
) -> Result<u64, Rejection> {
    empty(members);
    let view = PickleView::new(arena, frame);
    let chain = record_members(view, top)?;
    for (key, value) in view.pairs(chain) {
        match loguru_extra(view, key, value) {
            Some(extra) => push(view, extra, true, members),
            None => members.push(PickleMember { key, value, is_nested: false }),
        }
    }
    let dropped = drop_long_keys(view, members)
        + name_other_keys(arena, frame, members)
        + keep_last_of_each(PickleView::new(arena, frame), members);
    show_objects(arena, frame, members);
    Ok(dropped)
}

fn push(view: PickleView<'_>, chain: Chain, is_nested: bool, members: &mut Vec<PickleMember>) {
    members.extend(view.pairs(chain).map(|(key, value)| PickleMember { key, value, is_nested }));
}

/// Returns the members of a record: a dict, an object like a dict, or a whole `LogRecord`, whose
/// state is a dict.
fn record_members(view: PickleView<'_>, top: NodeId) -> Result<Chain, Rejection> {
    let chain = match view.node(top) {
        Node::Dict(chain) => Some(chain),
        Node::Object(number) => match object_value(view, view.object(number), PICKLE_VALUES_BYTES_MAX) {
            ObjectValue::Map { class: None, pairs } => Some(pairs),
            ObjectValue::Map { class: Some(class), pairs } if class == "logging.LogRecord" => Some(pairs),
            ObjectValue::Map { pairs, .. } if is_record(view, pairs) => Some(pairs),
            ObjectValue::Value(value) => match view.node(value) {
                Node::Dict(pairs) => Some(pairs),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    match chain {
        Some(chain) if !chain.is_empty() => Ok(chain),
        Some(_) => Err(Rejection::new("not_a_record", "the pickle is an empty dict, not a log record")),
        None => {
            let what = kind(view, top);
            Err(Rejection::new("not_a_record", format!("the pickle is {what}, not the dict of a log record")))
        }
    }
}

/// Returns true if the members are those of a log record. Recognizes subclasses of `LogRecord`,
/// which have class names of their own.
fn is_record(view: PickleView<'_>, pairs: Chain) -> bool {
    view.pairs(pairs).take(64).any(|(key, _)| view.name(key) == Some("levelno"))
}

fn kind(view: PickleView<'_>, id: NodeId) -> String {
    let word = match view.node(id) {
        Node::None => "None",
        Node::Bool(_) => "a bool",
        Node::Integer(_) | Node::LongDigits(_) | Node::LongBytes(_) => "an int",
        Node::Float(_) => "a float",
        Node::Text(_) | Node::Latin1(_) => "a str",
        Node::Bytes(_) => "bytes",
        Node::Tuple(_) => "a tuple",
        Node::List(_) => "a list",
        Node::Set(_) => "a set",
        Node::Dict(_) => "a dict",
        Node::Global(..) => return format!("the name {}", class_name(view, id)),
        Node::Object(number) => {
            return format!("an object made by {}", class_name(view, view.object(number).class));
        }
    };
    word.to_owned()
}

fn loguru_extra(view: PickleView<'_>, key: NodeId, value: NodeId) -> Option<Chain> {
    match view.node(value) {
        Node::Dict(chain) if view.name(key) == Some("extra") => Some(chain),
        _ => None,
    }
}

/// Drops members with long keys beyond the total size of keys that could be stored, and returns the
/// number of dropped members. A few bytes of a frame can make one long text the key of all members,
/// and each key is read whole.
fn drop_long_keys(view: PickleView<'_>, members: &mut Vec<PickleMember>) -> u64 {
    let (mut room, count) = (ATTRIBUTES_BYTES_MAX, members.len());
    members.retain(|member| match view.node(member.key) {
        Node::Text(span) if span.len() > PICKLE_NAME_BYTES_MAX => {
            let left = room.checked_sub(span.len());
            room = left.unwrap_or(room);
            left.is_some()
        }
        _ => true,
    });
    (count - members.len()) as u64
}

/// Replaces keys that are not texts with the text that Python shows for them. Drops members beyond
/// the limit and returns their number.
fn name_other_keys(arena: &mut Arena, frame: &[u8], members: &mut Vec<PickleMember>) -> u64 {
    let (mut others, mut dropped) = (0, 0);
    members.retain_mut(|member| {
        if matches!(arena.node(member.key), Node::Text(_)) {
            return true;
        }
        others += 1;
        if others > ATTRIBUTES_MAX {
            dropped += 1;
            return false;
        }
        let name = key_text(PickleView::new(arena, frame), member.key);
        member.key = push_text(arena, &name);
        true
    });
    dropped
}

fn push_text(arena: &mut Arena, text: &str) -> NodeId {
    let span = arena.add(text.as_bytes());
    arena.push(Node::Text(span))
}

/// Keeps the last value of each name, at the position of the first member with that name. Drops
/// members with names beyond the limit and returns their number.
fn keep_last_of_each(view: PickleView<'_>, members: &mut Vec<PickleMember>) -> u64 {
    let mut places: HashMap<(bool, &str), usize> = HashMap::with_capacity(members.len().min(ATTRIBUTES_MAX));
    let (mut kept, mut extras, mut dropped) = (0, 0, 0);
    for index in 0..members.len() {
        let member = members[index];
        let name = member.key(view);
        let is_standard = !member.is_nested && log_record::is_standard(name);
        if let Some(&place) = places.get(&(is_standard, name)) {
            members[place].value = member.value;
        } else if is_standard || extras < ATTRIBUTES_MAX {
            places.insert((is_standard, name), kept);
            extras += usize::from(!is_standard);
            members[kept] = member;
            kept += 1;
        } else {
            dropped += 1;
        }
    }
    members.truncate(kept);
    dropped
}

/// Replaces objects that represent a text, such as a date or a value of a `str` subclass, with that
/// text.
fn show_objects(arena: &mut Arena, frame: &[u8], members: &mut [PickleMember]) {
    for member in members {
        for _ in 0..PICKLE_DEPTH_MAX {
            let view = PickleView::new(arena, frame);
            member.value = match view.node(member.value) {
                Node::Latin1(span) => {
                    let bytes = view.bytes(span);
                    let shown = latin1(bytes, bytes.len().saturating_mul(2));
                    let span = arena.add_converted(|out| {
                        out.extend_from_slice(shown.as_bytes());
                        text::Fidelity::Lossy
                    });
                    arena.push(Node::Text(span))
                }
                Node::Object(number) => {
                    match object_value(view, view.object(number), PICKLE_VALUES_BYTES_MAX) {
                        ObjectValue::Value(value) => value,
                        ObjectValue::Text(text) => push_text(arena, &text),
                        _ => break,
                    }
                }
                _ => break,
            };
        }
    }
}

impl PickleMember {
    fn key<'a>(&self, view: PickleView<'a>) -> &'a str {
        match view.node(self.key) {
            Node::Text(span) => view.text(span),
            _ => "",
        }
    }

    /// Returns the key, and the value in the form that the mapping accepts.
    ///
    /// A long text may be the value of all members. So at most `whole_bytes` of text, which is as
    /// much as the frame could hold once, is read whole. Further texts stay nodes, which are
    /// written within a budget.
    pub(super) fn resolve<'a>(
        &self,
        view: PickleView<'a>,
        whole_bytes: &mut usize,
    ) -> (&'a str, DictValue<'a>) {
        let key = self.key(view);
        let value = match view.node(self.value) {
            Node::None => DictValue::None,
            Node::Bool(value) => DictValue::Bool(value),
            Node::Integer(value) => DictValue::Integer(value),
            Node::Float(value) => DictValue::Float(value),
            Node::Text(span) if span.len() <= *whole_bytes => {
                *whole_bytes -= span.len();
                DictValue::Text(view.text(span))
            }
            _ => DictValue::Node(self.value),
        };
        (key, value)
    }
}
