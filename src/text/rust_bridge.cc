#include "text/rust_bridge.h"

namespace hearth::rust {

std::unexpected<Error> failure(int32_t status, std::string message) {
  constexpr ErrorCode kCodes[] = {ErrorCode::internal,    ErrorCode::invalid_argument, ErrorCode::corrupt,
                                  ErrorCode::unsupported, ErrorCode::internal,         ErrorCode::out_of_memory};
  const bool is_known = status > 0 && status < static_cast<int32_t>(std::size(kCodes));
  return fail(is_known ? kCodes[status] : ErrorCode::internal, std::move(message));
}

}  // namespace hearth::rust
