#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/downloads/download_places.h"

namespace hearth::app {

/// What `hearth models` says: {"models": [...], "looked_in": [...]}, all that the places have. The state of a place is
/// "read", "not there" or "may not be read".
nlohmann::ordered_json list_downloads(const std::vector<DownloadPlace>& places);

/// The same for people, with the places where they matter: where nothing was found, and those that may not be read.
std::string downloads_text(const nlohmann::ordered_json& report);

}  // namespace hearth::app
