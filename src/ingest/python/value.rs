//! The values of the dict of a log record.

use super::pickle::NodeId;

/// A value of a record's dict.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum DictValue<'a> {
    #[default]
    None,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
    /// Any other value: a node of the general machine.
    Node(NodeId),
}
