//! The corpus, the mutator and the fuzz targets in the form that every test run can afford. The long forms are commands:
//! `hostile corpus`, `hostile mutate`, `scripts/fuzz.sh`.

mod corpus;
mod map;
mod mutated;
mod rooms;
mod supply_chain;
mod targets;
mod threats;
