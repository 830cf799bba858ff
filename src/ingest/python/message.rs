//! Merges the message of a record with its arguments if the sender has not merged them.

use std::borrow::Cow;

use super::log_record::Value;
use super::pickle::{Budget, CUT, Node, NodeId, View, python};
use super::{percent, repr};
use crate::limits::PERCENT_ARGUMENTS_MAX;

/// The members of a record that determine its message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Message<'a> {
    /// `msg`: the text, or a template for the arguments.
    pub(super) text: Option<Value<'a>>,
    /// `args`: empty, unless the sender's handler leaves the merging to this program.
    pub(super) arguments: Value<'a>,
    /// `message`: the text that another handler of the sender has merged from `msg` and `args`; or
    /// empty.
    pub(super) formatted: &'a str,
}

/// The readable message, and the values it was merged from.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    pub(super) text: Cow<'a, str>,
    /// The template, if there are arguments and the text contains them.
    pub(super) template: Option<Cow<'a, str>>,
    /// The arguments, if there are any. The text does not contain them if they do not fit the
    /// template.
    pub(super) arguments: Option<Value<'a>>,
}

impl<'a> Message<'a> {
    /// Merges the message with its arguments, as `LogRecord.getMessage` does.
    pub(super) fn merge(&self, view: View<'a>, budget: &mut Budget) -> Merged<'a> {
        let template = match self.text {
            None => Cow::Borrowed(self.formatted),
            Some(Value::None) if !self.formatted.is_empty() => Cow::Borrowed(self.formatted),
            Some(text) => text_of(view, text, budget),
        };
        if is_empty(view, self.arguments) {
            return Merged { text: template, template: None, arguments: None };
        }
        let text = match self.formatted {
            "" => merge(view, &template, self.arguments, budget).map(Cow::Owned),
            formatted => Some(Cow::Borrowed(formatted)),
        };
        let arguments = Some(self.arguments);
        match text {
            Some(text) => Merged { text, template: Some(template), arguments },
            None => Merged { text: template, template: None, arguments },
        }
    }
}

fn is_empty(view: View<'_>, arguments: Value<'_>) -> bool {
    match arguments {
        Value::None => true,
        Value::Node(id) => {
            matches!(view.node(id), Node::Tuple(chain) | Node::Dict(chain) | Node::List(chain) if chain.is_empty())
        }
        _ => false,
    }
}

fn merge<'a>(view: View<'a>, template: &str, arguments: Value<'a>, budget: &mut Budget) -> Option<String> {
    let Value::Node(id) = arguments else {
        let value = percent::Value::Other(text_of(view, arguments, budget).into_owned());
        return percent::format(template, &percent::Arguments::Positional(&[value]));
    };
    match view.node(id) {
        Node::Tuple(chain) if chain.len() <= PERCENT_ARGUMENTS_MAX => {
            let values: Vec<_> = view.elements(chain).map(|value| argument(view, value, budget)).collect();
            percent::format(template, &percent::Arguments::Positional(&values))
        }
        Node::Dict(chain) if chain.len() <= 2 * PERCENT_ARGUMENTS_MAX => {
            let whole = percent::Value::Other(python(view, id, budget));
            let pairs = view.pairs(chain);
            let values: Vec<_> = pairs
                .filter_map(|(name, value)| Some((view.name(name)?, argument(view, value, budget))))
                .collect();
            percent::format(template, &percent::Arguments::Named(&values, &whole))
        }
        Node::Tuple(_) | Node::Dict(_) => None,
        _ => percent::format(template, &percent::Arguments::Positional(&[argument(view, id, budget)])),
    }
}

/// Converts an argument to a value for the `%` operator.
fn argument<'a>(view: View<'a>, id: NodeId, budget: &mut Budget) -> percent::Value<'a> {
    match view.node(id) {
        Node::Bool(value) => percent::Value::Bool(value),
        Node::Integer(value) => percent::Value::Integer(value),
        Node::Float(value) => percent::Value::Float(value),
        Node::Text(span) => {
            let (text, is_cut) = (view.prefix(span, budget.bytes()), span.len() > budget.bytes());
            budget.take_bytes(text.len());
            if is_cut { percent::Value::Other(format!("{text}{CUT}")) } else { percent::Value::Text(text) }
        }
        Node::LongDigits(_) | Node::LongBytes(_) => percent::Value::Long(python(view, id, budget)),
        _ => percent::Value::Other(python(view, id, budget)),
    }
}

/// Returns the text that Python's `str` returns for a value.
fn text_of<'a>(view: View<'a>, value: Value<'a>, budget: &mut Budget) -> Cow<'a, str> {
    match value {
        Value::None => Cow::Borrowed("None"),
        Value::Bool(value) => Cow::Borrowed(if value { "True" } else { "False" }),
        Value::Integer(value) => Cow::Owned(value.to_string()),
        Value::Float(value) => {
            let mut text = String::new();
            repr::float(value, &mut text);
            Cow::Owned(text)
        }
        Value::Text(text) => Cow::Borrowed(text),
        Value::Node(id) => Cow::Owned(python(view, id, budget)),
    }
}
