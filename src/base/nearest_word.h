#pragma once

#include <span>
#include <string_view>

namespace hearth {

/// The word that needs the fewest letters changed, added or left out to be `wanted` (Levenshtein's distance); the first
/// of equals. Empty where there are no words, or where all of them are more than half another word.
std::string_view nearest_word(std::string_view wanted, std::span<const std::string_view> words);

}  // namespace hearth
