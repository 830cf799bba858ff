//! Writes values without parts (texts, numbers, bytes, names) and the keys of dicts.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{Notation, Walk};
use crate::ingest::python::pickle::arena::{Node, NodeId};
use crate::ingest::python::pickle::call::class_name;
use crate::ingest::python::pickle::integer;
use crate::ingest::python::pickle::key::key_text;
use crate::ingest::python::pickle::text::{CUT, latin1};
use crate::ingest::python::repr;
use crate::record::json;

/// Values without parts.
impl Walk<'_, '_> {
    pub(super) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.budget.take_bytes(text.len());
    }

    /// Writes a text as a quoted text.
    pub(super) fn text(&mut self, text: &str) {
        self.budget.take_bytes(text.len());
        match self.notation {
            Notation::Json => json::string(self.out, text),
            Notation::Python => self.out.extend_from_slice(repr::text(text).as_bytes()),
        }
    }

    /// Writes a number, or a word such as the name of a class: without quotes in Python, as a text
    /// in JSON, which has no such values.
    pub(super) fn word(&mut self, word: &str) {
        match self.notation {
            Notation::Json => self.text(word),
            Notation::Python => self.raw(word),
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let shown = &bytes[..bytes.len().min(self.budget.bytes)];
        self.budget.take_bytes(shown.len());
        let text = bytes_text(shown, self.notation) + if shown.len() < bytes.len() { CUT } else { "" };
        match self.notation {
            Notation::Json => json::string(self.out, &text),
            Notation::Python => self.out.extend_from_slice(text.as_bytes()),
        }
    }

    pub(super) fn leaf(&mut self, id: NodeId, node: Node) {
        let is_json = self.notation == Notation::Json;
        match node {
            Node::None => self.raw(if is_json { "null" } else { "None" }),
            Node::Bool(true) => self.raw(if is_json { "true" } else { "True" }),
            Node::Bool(false) => self.raw(if is_json { "false" } else { "False" }),
            Node::Integer(value) => drop(write!(self.out, "{value}")), // Vec writes cannot fail
            Node::Float(value) if is_json => json_float(value, self.out),
            Node::Float(value) => self.raw(&repr::float(value)),
            Node::Text(span) => {
                let shown = self.view.prefix(span, self.budget.bytes);
                match shown.len() == span.len() {
                    true => self.text(shown),
                    false => self.text(&format!("{shown}{CUT}")),
                }
            }
            Node::Latin1(span) => {
                self.budget.lossy = true;
                let text = latin1(self.view.bytes(span), self.budget.bytes);
                self.text(&text);
            }
            Node::Bytes(span) => self.bytes(self.view.bytes(span)),
            Node::LongDigits(span) => self.word(self.view.text(span)),
            Node::LongBytes(span) => self.word(&integer::decimal(self.view.bytes(span))),
            Node::Global(..) => self.word(&class_name(self.view, id)),
            _ => {}
        }
    }

    /// Writes a key of a dict, and the colon. JSON allows only texts as keys, so other keys are
    /// written as Python would show them. Of a key that has parts itself only a limited number are
    /// shown, because a key that required another walk could be endless.
    pub(super) fn key(&mut self, id: NodeId) {
        match (self.notation, self.view.node(id)) {
            (_, Node::Text(_) | Node::Latin1(_)) => self.leaf(id, self.view.node(id)),
            (Notation::Python, _) => self.raw(&key_text(self.view, id)),
            (Notation::Json, _) => self.text(&key_text(self.view, id)),
        }
        self.colon();
    }
}

fn bytes_text(bytes: &[u8], notation: Notation) -> String {
    match notation {
        Notation::Json => format!("base64:{}", BASE64_STANDARD.encode(bytes)),
        Notation::Python => repr::bytes(bytes),
    }
}

/// Appends a float as JSON, which has no infinities.
pub(crate) fn json_float(value: f64, out: &mut Vec<u8>) {
    let result = if value.is_nan() {
        out.write_all(b"\"NaN\"")
    } else if value.is_infinite() {
        out.write_all(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" })
    } else {
        serde_json::to_writer(out, &value).map_err(Into::into)
    };
    debug_assert!(result.is_ok(), "a Vec takes any text");
}
