#include "base/nearest_word.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace hearth {
namespace {

size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view nearest_word(std::string_view wanted, std::span<const std::string_view> words) {
  std::string_view nearest;
  size_t least = wanted.size() / 2 + 1;
  for (const std::string_view word : words) {
    const size_t d = distance(wanted, word);
    if (d >= least) continue;
    least = d;
    nearest = word;
  }
  return nearest;
}

}  // namespace hearth
