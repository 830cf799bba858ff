//! Converts keys of dicts that are not texts to texts.

use super::super::repr;
use super::arena::{Node, NodeId};
use super::call::class_name;
use super::classes::{ObjectValue, object_value};
use super::integer;
use super::text::latin1;
use super::view::PickleView;
use crate::limits::PICKLE_NAME_BYTES_MAX;

/// Maximum number of parts of a key that are shown.
const PARTS_MAX: usize = 8;

/// Returns the text of a key that is not a text.
pub(crate) fn key_text(view: PickleView<'_>, id: NodeId) -> String {
    let mut text = String::new();
    match view.node(id) {
        Node::Tuple(chain) => {
            let parts: Vec<String> =
                view.elements(chain).take(PARTS_MAX).map(|part| scalar_text(view, part)).collect();
            let more = if chain.len() > parts.len() {
                ", ..."
            } else if chain.len() == 1 {
                ","
            } else {
                ""
            };
            text = format!("({}{more})", parts.join(", "));
        }
        _ => text.push_str(&scalar_text(view, id)),
    }
    text
}

fn scalar_text(view: PickleView<'_>, id: NodeId) -> String {
    let mut text = String::new();
    match view.node(id) {
        Node::None => text.push_str("None"),
        Node::Bool(value) => text.push_str(if value { "True" } else { "False" }),
        Node::Integer(value) => text = value.to_string(),
        Node::Float(value) => repr::float(value, &mut text),
        Node::Text(_) => repr::text(view.name(id).unwrap_or_default(), &mut text),
        Node::Latin1(span) => text = latin1(view.bytes(span), PICKLE_NAME_BYTES_MAX),
        Node::Bytes(span) => text = bytes_text(view.bytes(span)),
        Node::LongDigits(span) => text.push_str(view.prefix(span, PICKLE_NAME_BYTES_MAX)),
        // Conversion to digits takes quadratic time, and the same key may occur many times.
        Node::LongBytes(span) if view.bytes(span).len() <= PICKLE_NAME_BYTES_MAX => {
            text = integer::decimal(view.bytes(span));
        }
        Node::Global(..) => text = class_name(view, id),
        Node::Object(number) => match object_value(view, view.object(number), PICKLE_NAME_BYTES_MAX) {
            ObjectValue::Text(shown) => text = shown,
            ObjectValue::Bytes(bytes) => text = bytes_text(&bytes),
            _ => text.push_str("<object>"),
        },
        _ => text.push_str("..."),
    }
    text
}

fn bytes_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    repr::bytes(&bytes[..bytes.len().min(PICKLE_NAME_BYTES_MAX)], &mut text);
    text
}
