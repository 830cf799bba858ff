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
            format!("({}{more})", parts.join(", "))
        }
        _ => scalar_text(view, id),
    }
}

fn scalar_text(view: PickleView<'_>, id: NodeId) -> String {
    match view.node(id) {
        Node::None => "None".into(),
        Node::Bool(value) => if value { "True" } else { "False" }.into(),
        Node::Integer(value) => value.to_string(),
        Node::Float(value) => repr::float(value),
        Node::Text(_) => repr::text(view.name(id).unwrap_or_default()),
        Node::Latin1(span) => latin1(view.bytes(span), PICKLE_NAME_BYTES_MAX),
        Node::Bytes(span) => bytes_text(view.bytes(span)),
        Node::LongDigits(span) => view.prefix(span, PICKLE_NAME_BYTES_MAX).into(),
        // Conversion to digits takes quadratic time, and the same key may occur many times.
        Node::LongBytes(span) if view.bytes(span).len() <= PICKLE_NAME_BYTES_MAX => {
            integer::decimal(view.bytes(span))
        }
        Node::Global(..) => class_name(view, id),
        Node::Object(number) => match object_value(view, view.object(number), PICKLE_NAME_BYTES_MAX) {
            ObjectValue::Text(shown) => shown,
            ObjectValue::Bytes(bytes) => bytes_text(&bytes),
            _ => "<object>".into(),
        },
        _ => "...".into(),
    }
}

fn bytes_text(bytes: &[u8]) -> String {
    repr::bytes(&bytes[..bytes.len().min(PICKLE_NAME_BYTES_MAX)])
}
