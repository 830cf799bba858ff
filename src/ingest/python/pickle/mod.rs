//! Reads pickles as data. Nothing that a pickle requests to be called is called, because this
//! module has nothing to call.
//!
//! A pickle is a program for a small stack machine. [`Machine`] runs it, protocols 0 to 5, on
//! descriptions alone:
//!
//! - an opcode that holds a value creates a [`Node`] in the [`Arena`] and pushes its number;
//! - `GLOBAL` and related opcodes push the *name* of a class or function;
//! - `REDUCE`, `NEWOBJ`, `INST`, `OBJ` push an [object](arena::PickleObject) that describes the
//!   call: the class or function and its arguments;
//! - `BUILD`, `APPEND`, `SETITEM` add to that description.
//!
//! [`object_value`] then returns the text or value that an object of a well-known class represents
//! (a date, a `Path`, a subclass of `int`), and [`write()`] writes values as JSON or as Python's
//! `repr`.
//!
//! Loading takes time and memory in proportion to the frame, whatever the frame contains: each
//! opcode creates at most a few nodes, nothing is allocated from a declared length, and shared or
//! contained values are never expanded. When values are written, a few bytes may represent an
//! unlimited number of values, so writing has a [`Budget`] and a depth limit. No step recurses. The
//! format is that of CPython's `Lib/pickletools.py`.

mod arena;
mod call;
mod classes;
mod datetime;
mod integer;
mod key;
mod machine;
mod memo;
pub(crate) mod opcode;
mod reader;
pub(crate) mod text;
mod view;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use arena::{Arena, Chain, Node, NodeId};
pub(crate) use call::class_name;
pub(crate) use classes::{ObjectValue, object_value};
pub(crate) use key::key_text;
pub(crate) use machine::Machine;
pub(crate) use reader::PickleReader;
pub(crate) use text::{CUT, latin1};
pub(crate) use view::PickleView;
pub(crate) use write::leaf::json_float;
pub(crate) use write::{Budget, Notation, python, write};

/// The reason why bytes cannot be read as a pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("it ends before its STOP")]
    Truncated,
    #[error("{0}")]
    Malformed(&'static str),
    #[error("unknown opcode 0x{0:02x}")]
    UnknownOpcode(u8),
    #[error("it has more than {} opcodes", crate::limits::PICKLE_OPCODES_MAX)]
    TooComplex,
}
