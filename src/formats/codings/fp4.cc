#include <fmt/format.h>

#include "base/divide_up.h"
#include "base/printable.h"
#include "formats/codings/fp8.h"
#include "formats/codings/scaled_floats.h"

namespace hearth::codings {

void join_scaled_fp4(StoredTensors& stored, const std::string& name, const std::string& codes_name,
                     const std::string& scale_name, uint64_t group, const std::string& global_name, bool divides) {
  const TensorInfo *codes = stored.find(codes_name), *scales = stored.find(scale_name);
  const TensorInfo* global = global_name.empty() ? nullptr : stored.find(global_name);
  if (codes == nullptr || codes->format != NumberFormat::u8) return;
  const auto refuse = [&](const std::string& what) {
    stored.refuse(name, fmt::format("{} is not what its codes need", printable(what)),
                  {codes_name, scale_name, global_name});
  };
  if (scales == nullptr) return refuse(scale_name);
  std::vector<int64_t> shape = codes->shape;
  if (shape.size() < 2) return refuse(codes_name);
  shape.back() *= 2;
  StoredPart scale_part = part_of(*scales);
  if (scales->format == NumberFormat::u8) scale_part.format = NumberFormat::f8_e8m0;
  const ScaledFloats coding{.rows = rows_of(*codes),
                            .columns = 2 * columns_of(*codes),
                            .is_e2m1 = true,
                            .block_columns = group,
                            .global = global_name.empty() ? ScaledFloats::Global::none
                                      : divides           ? ScaledFloats::Global::divides
                                                          : ScaledFloats::Global::multiplies};
  const bool scales_fit = columns_of(*scales) == divide_up(coding.columns, group) && rows_of(*scales) == coding.rows &&
                          scale_part.format != NumberFormat::i8 && scale_part.format != NumberFormat::i32;
  if (!scales_fit) return refuse(scale_name);
  std::vector<StoredPart> parts = {part_of(*codes), scale_part};
  if (!global_name.empty()) {
    if (global == nullptr || global->format != NumberFormat::f32 || values_of(*global) != 1) return refuse(global_name);
    parts.push_back(part_of(*global));
  }
  const NumberFormat held = held_format(coding, scale_part.format, false);
  auto made = make_scaled_floats(name, coding, std::move(parts), fmt::format("fp4, groups of {}", group));
  stored.join(name, shape, held, std::move(made), {codes_name, scale_name, global_name});
}

}  // namespace hearth::codings
