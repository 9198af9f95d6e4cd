#pragma once

namespace hearth::app {

/// Of the program; the build sets HEARTH_VERSION from the project's version.
inline constexpr const char* kVersion = HEARTH_VERSION;

}  // namespace hearth::app
