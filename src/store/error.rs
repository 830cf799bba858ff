//! The error of a store.

/// Why a store does not accept records now. The shipper retries without end; the spool keeps the
/// records until a retry succeeds.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct StoreError {
    /// What failed and why.
    pub what: String,
    /// What a person can do about the error.
    pub hint: Option<String>,
    /// True if the error lasts until a person changes something: a stop does not wait for such an
    /// error to pass.
    pub is_lasting: bool,
}

impl StoreError {
    /// Creates an error without a hint.
    pub fn new(what: impl Into<String>) -> StoreError {
        StoreError { what: what.into(), hint: None, is_lasting: false }
    }

    /// Marks the error as one that lasts until a person changes something.
    #[must_use]
    pub fn lasting(self) -> StoreError {
        StoreError { is_lasting: true, ..self }
    }

    /// Adds the subject to an error that has only the reason.
    pub(crate) fn about(self, subject: impl std::fmt::Display) -> StoreError {
        StoreError { what: format!("{subject} is not written to: {}", self.what), ..self }
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> StoreError {
        self.hint = Some(hint.into());
        self
    }
}
