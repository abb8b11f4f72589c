//! What is printed, and what happens if it can't be: whoever closes the pipe has seen enough, and a full disk is an error
//! with a sentence. [`println!`], [`print!`] and [`eprintln!`] of this crate lead here.
//!
//! It does NOT know what is printed.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

/// Writes to standard output, or ends the process.
pub(crate) fn print(arguments: Arguments<'_>) {
    finish(io::stdout().lock().write_fmt(arguments).and_then(|()| io::stdout().flush()));
}

/// Writes bytes to standard output, or ends the process.
pub(crate) fn print_bytes(bytes: &[u8]) {
    finish(io::stdout().lock().write_all(bytes).and_then(|()| io::stdout().flush()));
}

/// Writes to standard error; nobody could be told that it can't be.
pub(crate) fn complain(arguments: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(arguments);
}

fn finish(written: io::Result<()>) {
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => crate::leave::now(0),
        Err(error) => {
            complain(format_args!("error: write: {error}\n"));
            crate::leave::now(1)
        }
    }
}

/// As `std::print!`, without a panic.
macro_rules! print {
    ($($arguments:tt)*) => { $crate::output::print(format_args!($($arguments)*)) };
}

/// As `std::println!`, without a panic.
macro_rules! println {
    () => { $crate::output::print(format_args!("\n")) };
    ($($arguments:tt)*) => { $crate::output::print(format_args!("{}\n", format_args!($($arguments)*))) };
}

/// As `std::eprintln!`, without a panic.
macro_rules! eprintln {
    () => { $crate::output::complain(format_args!("\n")) };
    ($($arguments:tt)*) => { $crate::output::complain(format_args!("{}\n", format_args!($($arguments)*))) };
}
