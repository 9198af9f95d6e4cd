#pragma once

#include <expected>
#include <string>
#include <utility>

namespace hearth {

/// What kind of failure an Error is; the server maps it to an HTTP status, the command line to an exit code.
enum class ErrorCode {
  invalid_argument,  ///< the caller asked for something that makes no sense (400)
  not_found,         ///< a file, model or route that is not there (404)
  corrupt,           ///< a file whose bytes contradict its own header or checksum
  unsupported,       ///< well-formed, but nothing here can do it
  io,                ///< the operating system refused a read, write or socket
  out_of_memory,     ///< it does not fit, before or during the allocation
  device_lost,       ///< the device stopped answering
  overloaded,        ///< a queue is full; trying later helps (429)
  timed_out,         ///< a limit on time passed
  cancelled,         ///< the caller gave up
  internal,          ///< a bug of hearth
};

/// Why an operation failed. `message` is one sentence without a final period that names what and where;
/// `hint` says what to do about it and may be empty.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
  std::string hint;
};

/// The one error type of the library code: nothing throws across a folder, prints or exits.
template <class T>
using Result = std::expected<T, Error>;

/// `return fail(ErrorCode::corrupt, fmt::format("{}: ...", path), "download it again");`
inline std::unexpected<Error> fail(ErrorCode code, std::string message, std::string hint = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(hint)});
}

/// The error of `result` for passing on: `if (!x) return pass_on(x);`
template <class T>
std::unexpected<Error> pass_on(Result<T>& result) {
  return std::unexpected(std::move(result.error()));
}

/// One line for people: "message; hint".
inline std::string to_string(const Error& error) {
  return error.hint.empty() ? error.message : error.message + "; " + error.hint;
}

}  // namespace hearth
