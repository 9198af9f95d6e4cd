#include "formats/codings/fp8.h"

#include <fmt/format.h>

#include "base/divide_up.h"
#include "base/printable.h"
#include "formats/codings/codings.h"
#include "formats/codings/scaled_floats.h"

namespace hearth::codings {
namespace {

bool is_fp8(NumberFormat format) { return format == NumberFormat::f8_e4m3 || format == NumberFormat::f8_e5m2; }

/// Scales [rows / block, columns / block], of the rows of each matrix where there are several.
bool blocks_fit(const TensorInfo& codes, const TensorInfo& scales, const BlockSize& block) {
  if (codes.shape.size() < 2 || codes.shape.size() != scales.shape.size()) return false;
  const size_t last = codes.shape.size() - 1;
  const auto along = [](const TensorInfo& tensor, size_t i) { return static_cast<uint64_t>(tensor.shape[i]); };
  for (size_t i = 0; i + 1 < last; ++i) {
    if (codes.shape[i] != scales.shape[i] || along(codes, last - 1) % block.rows != 0) return false;
  }
  return along(scales, last - 1) == divide_up(along(codes, last - 1), block.rows) &&
         along(scales, last) == divide_up(along(codes, last), block.columns);
}

std::string description(NumberFormat codes, const BlockSize& block, const TensorInfo& tensor) {
  if (block.rows >= rows_of(tensor)) return fmt::format("{}, one scale", traits(codes).name);
  if (block.columns >= columns_of(tensor)) return fmt::format("{}, a scale for each row", traits(codes).name);
  return fmt::format("{}, blocks of {} by {}", traits(codes).name, block.rows, block.columns);
}

}  // namespace

void join_scaled_fp8(StoredTensors& stored, const std::string& name, const std::string& scale_name,
                     const std::optional<BlockSize>& blocks) {
  const TensorInfo *codes = stored.find(name), *scales = stored.find(scale_name);
  if (codes == nullptr || scales == nullptr || !is_fp8(codes->format)) return;
  const uint64_t rows = rows_of(*codes), columns = columns_of(*codes);
  StoredPart scale_part = part_of(*scales);
  if (scales->format == NumberFormat::u8) scale_part.format = NumberFormat::f8_e8m0;
  BlockSize block{rows, columns};
  bool fits = is_float(scales->format) || scale_part.format == NumberFormat::f8_e8m0;
  if (blocks && values_of(*scales) > 1) {
    block = *blocks;
    fits &= blocks_fit(*codes, *scales, block);
  } else if (values_of(*scales) == rows) {
    block = {1, columns};
  } else {
    fits &= values_of(*scales) == 1;
  }
  if (!fits) {
    return stored.refuse(name, fmt::format("{} is no scale of it", printable(scale_name)), {scale_name});
  }
  const ScaledFloats coding{.rows = rows, .columns = columns, .block_rows = block.rows, .block_columns = block.columns};
  const NumberFormat held = held_format(coding, scale_part.format, codes->shape.size() < 2);
  auto made =
      make_scaled_floats(name, coding, {part_of(*codes), scale_part}, description(codes->format, block, *codes));
  stored.join(name, codes->shape, held, std::move(made), {name, scale_name});
}

/// DeepSeek's and Qwen's blocks, AutoFP8's and transformers' scales of a whole matrix, fbgemm's of a row.
Result<void> join_fp8(StoredTensors& stored, const nlohmann::json& quantization) {
  std::optional<BlockSize> blocks;
  if (const auto size = quantization.value("weight_block_size", nlohmann::json()); !size.is_null()) {
    blocks = block_size(size);
    if (!blocks) return fail(ErrorCode::unsupported, fmt::format("weight_block_size is {}", size.dump()));
  }
  for (const char* suffix : {"_scale_inv", "_scale"}) {
    for (const std::string& name : stored.before(suffix)) join_scaled_fp8(stored, name, name + suffix, blocks);
  }
  return {};
}

std::optional<BlockSize> block_size(const nlohmann::json& size) {
  const auto is_length = [](const nlohmann::json& each) {
    return each.is_number_unsigned() && each.get<uint64_t>() > 0 && each.get<uint64_t>() <= (1U << 20);
  };
  if (!size.is_array() || size.size() != 2 || !is_length(size[0]) || !is_length(size[1])) return {};
  return BlockSize{size[0].get<uint64_t>(), size[1].get<uint64_t>()};
}

}  // namespace hearth::codings
