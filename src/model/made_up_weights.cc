#include "model/made_up_weights.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "base/usable_cores.h"
#include "tensor/quantize.h"

namespace hearth {
namespace {

/// A multiple of Device::kRowGranularity.
constexpr uint32_t kRowsAtOnce = 256;

/// So many different rows, which any stretch of kRowsAtOnce begins at another of.
constexpr uint32_t kDifferentRows = 2 * kRowsAtOnce;

/// Rows of a format, of each width once.
class RandomRows {
 public:
  /// kDifferentRows of them, and as many again.
  const std::vector<std::byte>& of(NumberFormat format, uint32_t cols) {
    std::vector<std::byte>& rows = rows_[{format, cols}];
    if (!rows.empty()) return rows;
    const size_t row_bytes = bytes_of(format, cols);
    rows.resize(kDifferentRows * row_bytes);
    std::mt19937 random(cols);
    std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(cols)));
    std::vector<float> values(cols);
    // Rows that begin elsewhere in the same numbers: encoding is slow.
    for (uint32_t r = 0; r < kDifferentRows; ++r) {
      const auto row = std::span(rows).subspan(r * row_bytes, row_bytes);
      if (r < kEncodedRows) {
        std::ranges::generate(values, [&] { return normal(random); });
        quantize_row(format, values, row);
      } else {
        const size_t block = traits(format).block_bytes, turn = (r / kEncodedRows) * block % row_bytes;
        const auto from = std::span(rows).subspan((r % kEncodedRows) * row_bytes, row_bytes);
        std::ranges::rotate_copy(from, from.begin() + static_cast<ptrdiff_t>(turn), row.begin());
      }
    }
    rows.insert(rows.end(), rows.begin(), rows.end());
    return rows;
  }

 private:
  static constexpr uint32_t kEncodedRows = 16;
  std::map<std::pair<NumberFormat, uint32_t>, std::vector<std::byte>> rows_;
};

struct Stretch {
  MatrixId matrix;
  uint32_t part, first_row;
  std::span<const std::byte> rows;
};

}  // namespace

Result<void> write_made_up_rows(Device& device, std::span<const MatrixSpec> matrices) {
  RandomRows random;
  for (const MatrixSpec& spec : matrices) {
    for (const MatrixPart& part : spec.parts) random.of(part.format, spec.cols);
  }
  std::vector<Stretch> stretches;
  for (uint32_t m = 0; m < matrices.size(); ++m) {
    for (uint32_t p = 0; p < matrices[m].parts.size(); ++p) {
      const MatrixPart& part = matrices[m].parts[p];
      const std::span<const std::byte> rows = random.of(part.format, matrices[m].cols);
      const size_t row_bytes = bytes_of(part.format, matrices[m].cols);
      for (uint32_t first = 0; first < part.rows; first += kRowsAtOnce) {
        const size_t begin = (first / kRowsAtOnce * 37 + p * 101) % kDifferentRows;
        const size_t count = std::min(kRowsAtOnce, part.rows - first);
        stretches.push_back({{m}, p, first, rows.subspan(begin * row_bytes, count * row_bytes)});
      }
    }
  }
  std::vector<Result<void>> written(stretches.size());
  ThreadPool pool(usable_cores());
  pool.parallel_for(stretches.size(), [&](size_t i, unsigned) {
    const Stretch& each = stretches[i];
    written[i] = device.write_rows(each.matrix, each.part, each.first_row, each.rows);
  });
  const auto failed = std::ranges::find_if(written, [](const Result<void>& each) { return !each; });
  return failed == written.end() ? Result<void>() : *failed;
}

}  // namespace hearth
