#include <fmt/format.h>

#include "base/printable.h"
#include "formats/codings/codings.h"
#include "formats/codings/scaled_floats.h"

// gpt-oss: the experts' matrices as T_blocks, U8 [experts, rows, columns / 32, 16], and T_scales, U8 exponents
// [experts, rows, columns / 32].
namespace hearth::codings {

void join_mxfp4_blocks(StoredTensors& stored) {
  constexpr int64_t kBlock = 32;
  for (const std::string& name : stored.before("_blocks")) {
    const std::string blocks_name = name + "_blocks", scales_name = name + "_scales";
    const TensorInfo *blocks = stored.find(blocks_name), *scales = stored.find(scales_name);
    if (scales == nullptr) {
      stored.refuse(name, fmt::format("there is no tensor {}", printable(scales_name)), {blocks_name});
      continue;
    }
    std::vector<int64_t> shape = scales->shape;
    shape.push_back(kBlock / 2);
    if (blocks->shape != shape || shape.size() < 3 || blocks->format != NumberFormat::u8 ||
        scales->format != NumberFormat::u8) {
      stored.refuse(name, fmt::format("{} and {} are no mxfp4", printable(blocks_name), printable(scales_name)),
                    {blocks_name, scales_name});
      continue;
    }
    const ScaledFloats coding{
        .rows = rows_of(*scales), .columns = columns_of(*scales) * kBlock, .is_e2m1 = true, .block_columns = kBlock};
    StoredPart exponents = part_of(*scales);
    exponents.format = NumberFormat::f8_e8m0;
    shape.pop_back();
    shape.back() *= kBlock;
    auto made = make_scaled_floats(name, coding, {part_of(*blocks), exponents}, "mxfp4");
    stored.join(name, shape, NumberFormat::mxfp4, std::move(made), {blocks_name, scales_name});
  }
}

}  // namespace hearth::codings
