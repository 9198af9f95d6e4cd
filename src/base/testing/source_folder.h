#pragma once

#include <filesystem>

namespace hearth {

/// The checkout that a test was built from: its goldens lie there. Compiled into one small file, so that everything
/// else is the same to the compiler cache in every checkout.
std::filesystem::path source_folder();

}  // namespace hearth
