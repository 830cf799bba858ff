//! Merges the message of a record with its arguments if the sender has not merged them.

use std::borrow::Cow;

use super::percent::{self, PercentArguments, PercentValue};
use super::pickle::{Budget, CUT, Node, NodeId, PickleView, python};
use super::repr;
use super::value::DictValue;
use crate::limits::PERCENT_ARGUMENTS_MAX;

/// The members of a record that determine its message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Message<'a> {
    /// `msg`: the text, or a template for the arguments.
    pub(super) text: Option<DictValue<'a>>,
    /// `args`: empty, unless the sender's handler leaves the merging to this program.
    pub(super) arguments: DictValue<'a>,
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
    pub(super) arguments: Option<DictValue<'a>>,
}

impl<'a> Message<'a> {
    /// Merges the message with its arguments, as `LogRecord.getMessage` does.
    pub(super) fn merge(&self, view: PickleView<'a>, budget: &mut Budget) -> Merged<'a> {
        let template = match self.text {
            None => Cow::Borrowed(self.formatted),
            Some(DictValue::None) if !self.formatted.is_empty() => Cow::Borrowed(self.formatted),
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

fn is_empty(view: PickleView<'_>, arguments: DictValue<'_>) -> bool {
    match arguments {
        DictValue::None => true,
        DictValue::Node(id) => {
            matches!(view.node(id), Node::Tuple(chain) | Node::Dict(chain) | Node::List(chain) if chain.is_empty())
        }
        _ => false,
    }
}

fn merge<'a>(
    view: PickleView<'a>,
    template: &str,
    arguments: DictValue<'a>,
    budget: &mut Budget,
) -> Option<String> {
    let DictValue::Node(id) = arguments else {
        let value = PercentValue::Other(text_of(view, arguments, budget).into_owned());
        return percent::format(template, &PercentArguments::Positional(&[value]));
    };
    match view.node(id) {
        Node::Tuple(chain) if chain.len() <= PERCENT_ARGUMENTS_MAX => {
            let values: Vec<_> = view.elements(chain).map(|value| argument(view, value, budget)).collect();
            percent::format(template, &PercentArguments::Positional(&values))
        }
        Node::Dict(chain) if chain.len() <= 2 * PERCENT_ARGUMENTS_MAX => {
            let whole = PercentValue::Other(python(view, id, budget));
            let pairs = view.pairs(chain);
            let values: Vec<_> = pairs
                .filter_map(|(name, value)| Some((view.name(name)?, argument(view, value, budget))))
                .collect();
            percent::format(template, &PercentArguments::Named(&values, &whole))
        }
        Node::Tuple(_) | Node::Dict(_) => None,
        _ => percent::format(template, &PercentArguments::Positional(&[argument(view, id, budget)])),
    }
}

/// Converts an argument to a value for the `%` operator.
fn argument<'a>(view: PickleView<'a>, id: NodeId, budget: &mut Budget) -> PercentValue<'a> {
    match view.node(id) {
        Node::Bool(value) => PercentValue::Bool(value),
        Node::Integer(value) => PercentValue::Integer(value),
        Node::Float(value) => PercentValue::Float(value),
        Node::Text(span) => {
            let (text, is_cut) = (view.prefix(span, budget.bytes()), span.len() > budget.bytes());
            budget.take_bytes(text.len());
            if is_cut { PercentValue::Other(format!("{text}{CUT}")) } else { PercentValue::Text(text) }
        }
        Node::LongDigits(_) | Node::LongBytes(_) => PercentValue::Long(python(view, id, budget)),
        _ => PercentValue::Other(python(view, id, budget)),
    }
}

/// Returns the text that Python's `str` returns for a value.
fn text_of<'a>(view: PickleView<'a>, value: DictValue<'a>, budget: &mut Budget) -> Cow<'a, str> {
    match value {
        DictValue::None => Cow::Borrowed("None"),
        DictValue::Bool(value) => Cow::Borrowed(if value { "True" } else { "False" }),
        DictValue::Integer(value) => Cow::Owned(value.to_string()),
        DictValue::Float(value) => Cow::Owned(repr::float(value)),
        DictValue::Text(text) => Cow::Borrowed(text),
        DictValue::Node(id) => Cow::Owned(python(view, id, budget)),
    }
}
