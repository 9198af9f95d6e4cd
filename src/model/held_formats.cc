#include "model/held_formats.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "formats/codings/stored_tensors.h"
#include "tensor/recode.h"

namespace hearth {

namespace {

/// What of the files is held in another format.
struct Sum {
  double file_bytes = 0;
  uint64_t values = 0;
};

std::string gigabytes(double bytes) { return fmt::format("{:.2f} GB", bytes / 1e9); }

}  // namespace

std::string describe_held_formats(std::span<const WeightPlan::Source> sources) {
  std::map<std::pair<std::string, NumberFormat>, Sum> sums;
  for (const WeightPlan::Source& source : sources) {
    const TensorInfo& tensor = source.tensor;
    const NumberFormat held = held_as(tensor.format);
    const std::string name = tensor.coding ? tensor.coding->description() : std::string(traits(tensor.format).name);
    if (name == traits(held).name || source.transposed) continue;
    const uint64_t values = uint64_t{source.rows} * static_cast<uint64_t>(tensor.shape.back());
    Sum& sum = sums[{name, held}];
    sum.values += values;
    const auto all = static_cast<double>(codings::values_of(tensor));
    sum.file_bytes += static_cast<double>(tensor.bytes) * static_cast<double>(values) / all;
  }
  std::string text;
  for (const auto& [formats, sum] : sums) {
    text += fmt::format("{}{} as {} ({} in the file, {} in memory)", text.empty() ? "" : "; ", formats.first,
                        traits(formats.second).name, gigabytes(sum.file_bytes),
                        gigabytes(static_cast<double>(bytes_of(formats.second, sum.values))));
  }
  return text;
}

}  // namespace hearth
