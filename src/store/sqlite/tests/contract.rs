//! The contract of all stores.

use super::*;
use crate::store::contract;

contract::tests!(SqliteSubject::new() => delivery content ownership failure refusal deletion retention);
