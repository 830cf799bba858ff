//! Builds the tree. Open parentheses are kept on an explicit stack, so the depth is a limit and
//! cannot overflow the call stack.

use std::mem;
use std::ops;

use super::ast::Expression;
use super::error::{QueryError, QueryProblem};
use super::field::Field;
use super::lexer::{Lexer, Operator, QueryText, QueryToken};
use super::term;
use crate::limits::{QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TERMS_MAX};

/// Parses a whole query; `now` is in ns since the Unix epoch.
pub(super) fn parse(query: &str, now: i64) -> Result<Expression, QueryError> {
    if query.len() > QUERY_BYTES_MAX {
        let start = query.floor_char_boundary(QUERY_BYTES_MAX);
        return Err(QueryError::new(start..query.len(), QueryProblem::TooLong(query.len())));
    }
    let mut parser =
        Parser { lexer: Lexer::new(query), now, terms: 0, group: Group::default(), outer: Vec::new() };
    while let Some((token, range)) = parser.lexer.token()? {
        parser.take(token, range)?;
    }
    parser.finish()
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    now: i64,
    terms: usize,
    /// The innermost open parentheses, or the whole query.
    group: Group,
    /// The enclosing groups, outermost first.
    outer: Vec<Group>,
}

/// The content between two parentheses, as far as it was read.
#[derive(Default)]
struct Group {
    /// The range of the opening parenthesis.
    range: ops::Range<usize>,
    /// The field to which the values in the group belong.
    field: Option<Field>,
    /// The operands that precede the last `OR`.
    alternatives: Vec<Expression>,
    /// The terms read since the last `OR`.
    terms: Vec<Expression>,
    /// Whether the next operand is negated.
    negated: bool,
    /// The operator that still needs an operand on its right.
    waiting: Option<(&'static str, ops::Range<usize>)>,
}

impl Group {
    fn push(&mut self, operand: Expression) {
        self.waiting = None;
        let negated = mem::take(&mut self.negated);
        self.terms.push(if negated { Expression::not(operand) } else { operand });
    }

    fn wait(&mut self, operator: &'static str, range: ops::Range<usize>) {
        self.waiting = Some((operator, range));
    }

    /// Accepts `OR` or `AND`.
    fn join(&mut self, operator: &'static str, range: ops::Range<usize>) -> Result<(), QueryError> {
        self.check_not_waiting()?;
        if self.terms.is_empty() {
            return Err(QueryError::new(range, QueryProblem::MissingLeft(operator)));
        }
        if operator == "OR" {
            self.alternatives.push(Expression::all(mem::take(&mut self.terms)));
        }
        self.wait(operator, range);
        Ok(())
    }

    fn check_not_waiting(&self) -> Result<(), QueryError> {
        match &self.waiting {
            Some((operator, range)) => {
                Err(QueryError::new(range.clone(), QueryProblem::MissingRight(operator)))
            }
            None => Ok(()),
        }
    }

    fn is_empty(&self) -> bool {
        self.alternatives.is_empty() && self.terms.is_empty()
    }

    fn finish(mut self) -> Result<Expression, QueryError> {
        self.check_not_waiting()?;
        let last = Expression::all(self.terms);
        if self.alternatives.is_empty() {
            return Ok(last);
        }
        self.alternatives.push(last);
        Ok(Expression::any(self.alternatives))
    }
}

impl Parser<'_> {
    fn take(&mut self, token: QueryToken, range: ops::Range<usize>) -> Result<(), QueryError> {
        match token {
            QueryToken::Open => self.open(self.group.field.clone(), range),
            QueryToken::Close => self.close(range),
            QueryToken::Or => self.group.join("OR", range),
            QueryToken::And => self.group.join("AND", range),
            QueryToken::Not(symbol) => {
                self.group.negated = !self.group.negated;
                self.group.wait(symbol, range);
                Ok(())
            }
            QueryToken::Text(text) => {
                let field = self.group.field.clone();
                self.term(field, Operator::Is, &text, range)
            }
            QueryToken::Field(name, operator) => self.field(&name, operator, range),
        }
    }

    fn field(&mut self, name: &str, operator: Operator, range: ops::Range<usize>) -> Result<(), QueryError> {
        if self.group.field.is_some() {
            return Err(QueryError::new(range, QueryProblem::FieldInGroup));
        }
        let Some(field) = Field::of_name(name) else {
            return Err(QueryError::new(range, QueryProblem::MissingName));
        };
        match (self.lexer.value()?, operator) {
            (None, _) => Err(QueryError::new(range, QueryProblem::MissingValue)),
            (Some((QueryToken::Text(text), value)), _) => self.term(Some(field), operator, &text, value),
            (Some((_, parenthesis)), Operator::Inequality(_)) => {
                Err(QueryError::new(range.start..parenthesis.end, QueryProblem::GroupHasNoOrder))
            }
            (Some((_, parenthesis)), _) => {
                self.group.negated ^= operator == Operator::IsNot;
                self.open(Some(field), parenthesis)
            }
        }
    }

    /// Adds a term; without a field it searches the message.
    fn term(
        &mut self,
        field: Option<Field>,
        operator: Operator,
        text: &QueryText,
        range: ops::Range<usize>,
    ) -> Result<(), QueryError> {
        self.terms += 1;
        if self.terms > QUERY_TERMS_MAX {
            return Err(QueryError::new(range, QueryProblem::TooManyTerms));
        }
        let order = match operator {
            Operator::Inequality(order) => Some(order),
            Operator::Is | Operator::IsNot => None,
        };
        let operand = term::build(field, order, text, self.now);
        self.group.negated ^= operator == Operator::IsNot;
        self.group.push(operand.map_err(|problem| QueryError::new(range, problem))?);
        Ok(())
    }

    fn open(&mut self, field: Option<Field>, range: ops::Range<usize>) -> Result<(), QueryError> {
        if self.outer.len() >= QUERY_DEPTH_MAX {
            return Err(QueryError::new(range, QueryProblem::TooDeep));
        }
        let group = Group { field, range, ..Group::default() };
        self.outer.push(mem::replace(&mut self.group, group));
        Ok(())
    }

    fn close(&mut self, range: ops::Range<usize>) -> Result<(), QueryError> {
        let Some(outer) = self.outer.pop() else {
            return Err(QueryError::new(range, QueryProblem::UnopenedParenthesis));
        };
        let inner = mem::replace(&mut self.group, outer);
        if inner.is_empty() && inner.waiting.is_none() {
            return Err(QueryError::new(inner.range.start..range.end, QueryProblem::EmptyParentheses));
        }
        self.group.push(inner.finish()?);
        Ok(())
    }

    fn finish(self) -> Result<Expression, QueryError> {
        if self.outer.is_empty() {
            return self.group.finish();
        }
        Err(QueryError::new(self.group.range, QueryProblem::UnclosedParenthesis))
    }
}
