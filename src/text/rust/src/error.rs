//! The one error type of the crate.

use std::fmt::Display;

/// What kind of failure; the numbers are the status codes of the C interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    InvalidArgument = 1,
    Corrupt = 2,
    Unsupported = 3,
    Internal = 4,
    OutOfMemory = 5,
}

/// One sentence without a final period that names what and where.
#[derive(Debug)]
pub struct Error {
    pub code: Code,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

pub fn invalid(message: impl Into<String>) -> Error {
    Error { code: Code::InvalidArgument, message: message.into() }
}

pub fn corrupt(message: impl Into<String>) -> Error {
    Error { code: Code::Corrupt, message: message.into() }
}

pub fn unsupported(message: impl Into<String>) -> Error {
    Error { code: Code::Unsupported, message: message.into() }
}

pub fn out_of_memory(message: impl Into<String>) -> Error {
    Error { code: Code::OutOfMemory, message: message.into() }
}

pub fn internal(message: impl Display) -> Error {
    Error { code: Code::Internal, message: message.to_string() }
}
