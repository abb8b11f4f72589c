//! Which version of the rules something goes by.
//!
//! Rules say what follows from measurements: who is ranked where, who takes the seat, who is paid. When they change in a way
//! that could judge the same numbers otherwise, the version goes up. A round goes by the rules that its opening names in
//! the public log, to its end; so whoever announces new rules announces from which round on they hold. Receipts name the
//! version as well.
//!
//! | version | rules |
//! |---|---|
//! | 1 | two stages: a challenger passes a test on public items, then one on hidden items; public results rank and pay |
//! | 2 | public results only gate; fresh hidden results rank and pay |
//! | 3 | no margin is counted from below the reference; the frontier pays no luck; an unstable timing takes no empty seat (docs/RULES.md) |
//!
//! It does NOT hold the rules: those of the current version are in `score`, `dethrone`, `standing` and `reward`.

/// The version that this program judges by.
pub const RULES: u32 = 3;
