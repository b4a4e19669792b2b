//! The ledger, driven through [`regatta_model::memory::Memory`]: what the contract promises, case by case.
//! Any sequence of commands against real stores is the property tests' (in `regatta-store`).

mod claim;
mod logs;
mod reject;
mod retry;
mod world;
