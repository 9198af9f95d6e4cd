#pragma once

#include <string>

namespace hearth {

/// 32 hexadecimal digits that do not repeat. Not a secret. Safe from any thread.
std::string random_id();

}  // namespace hearth
