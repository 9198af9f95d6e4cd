#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/rust/hearth_text.h"

namespace hearth::rust {

inline HearthSlice slice(std::string_view bytes) {
  // A null pointer would say that the text is absent.
  return {reinterpret_cast<const uint8_t*>(bytes.data() ? bytes.data() : ""), bytes.size()};
}

inline HearthSlice slice(const std::optional<std::string>& text) {
  return text ? slice(std::string_view(*text)) : HearthSlice{nullptr, 0};
}

/// Appends what is written to a string or a vector of trivial values.
template <class Container>
HearthSink append_to(Container& container) {
  return {&container, [](void* context, const uint8_t* data, size_t size) {
            using Value = typename Container::value_type;
            if (size == 0) return;
            auto& target = *static_cast<Container*>(context);
            const size_t old_size = target.size();
            target.resize(old_size + size / sizeof(Value));
            std::memcpy(target.data() + old_size, data, size);
          }};
}

/// The error of a status other than 0.
std::unexpected<Error> failure(int32_t status, std::string message);

}  // namespace hearth::rust
