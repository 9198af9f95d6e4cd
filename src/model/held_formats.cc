#include "model/held_formats.h"

#include <fmt/format.h>

#include <map>

#include "tensor/recode.h"

namespace hearth {

std::string describe_held_formats(std::span<const WeightPlan::Source> sources) {
  std::map<NumberFormat, uint64_t> values;
  for (const WeightPlan::Source& source : sources) {
    const NumberFormat format = source.tensor.format;
    if (held_as(format) == format || source.transposed) continue;
    values[format] += uint64_t{source.rows} * static_cast<uint64_t>(source.tensor.shape.back());
  }
  const auto gigabytes = [](NumberFormat format, uint64_t count) {
    return fmt::format("{:.2f} GB", static_cast<double>(bytes_of(format, count)) / 1e9);
  };
  std::string text;
  for (const auto& [format, count] : values) {
    const NumberFormat held = held_as(format);
    text += fmt::format("{}{} as {} ({} in the file, {} in memory)", text.empty() ? "" : ", ", traits(format).name,
                        traits(held).name, gigabytes(format, count), gigabytes(held, count));
  }
  return text;
}

}  // namespace hearth
