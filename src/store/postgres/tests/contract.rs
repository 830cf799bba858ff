//! The contract of all stores.

use super::*;
use crate::store::contract;

contract::tests!(new_database() => delivery content ownership failure refusal deletion retention);
