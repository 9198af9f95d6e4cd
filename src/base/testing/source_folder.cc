#include "base/testing/source_folder.h"

namespace hearth {

std::filesystem::path source_folder() { return HEARTH_SOURCE_FOLDER; }

}  // namespace hearth
