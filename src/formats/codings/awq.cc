#include <fmt/format.h>

#include "base/divide_up.h"
#include "base/printable.h"
#include "formats/codings/codings.h"
#include "formats/codings/scaled_integers.h"
#include "formats/codings/settings.h"

// AWQ in AutoAWQ's GEMM order: of a layer X, X.qweight I32 [inputs, outputs / 8], X.qzeros I32 [groups, outputs / 8]
// and X.scales [groups, outputs].
namespace hearth::codings {
namespace {

void join_layer(StoredTensors& stored, const std::string& layer, uint64_t group_size) {
  const std::string codes_name = layer + ".qweight", zeros_name = layer + ".qzeros", scales_name = layer + ".scales";
  const TensorInfo *codes = stored.find(codes_name), *zeros = stored.find(zeros_name),
                   *scales = stored.find(scales_name);
  const std::string name = layer + ".weight";
  const auto refuse = [&](const std::string& what) {
    stored.refuse(name, fmt::format("{} is not there or not as AWQ has it", printable(what)),
                  {codes_name, zeros_name, scales_name});
  };
  if (codes->format != NumberFormat::i32 || codes->shape.size() != 2) return refuse(codes_name);
  const uint64_t rows = 8 * columns_of(*codes), columns = rows_of(*codes);
  const uint64_t group = group_size == 0 ? columns : group_size, groups = divide_up(columns, group);
  const auto is_of_groups = [&](const TensorInfo* tensor, uint64_t length) {
    return tensor != nullptr && tensor->shape.size() == 2 && rows_of(*tensor) == groups &&
           columns_of(*tensor) == length;
  };
  if (!is_of_groups(scales, rows) || !is_float(scales->format)) return refuse(scales_name);
  if (!is_of_groups(zeros, rows / 8) || zeros->format != NumberFormat::i32) return refuse(zeros_name);
  const ScaledIntegers coding{.codes = {IntegerLayout::awq_words, 4, rows, columns},
                              .lowest_code = 0,
                              .highest_code = 15,
                              .group = group,
                              .scale_order = ScaledIntegers::ScaleOrder::by_groups,
                              .zeros = ScaledIntegers::Zeros::integers,
                              .zero_codes = {IntegerLayout::awq_words, 4, rows, groups}};
  auto made = make_scaled_integers(name, coding, {part_of(*codes), part_of(*scales), part_of(*zeros)},
                                   fmt::format("awq, 4 bits, groups of {}", group));
  stored.join(name, {static_cast<int64_t>(rows), static_cast<int64_t>(columns)}, held_format(coding, false),
              std::move(made), {codes_name, zeros_name, scales_name});
}

}  // namespace

Result<void> join_awq(StoredTensors& stored, const nlohmann::json& quantization) {
  const std::string bits = quantization.contains("w_bit") ? "w_bit" : "bits";
  if (quantization.value(bits, nlohmann::json(4)) != 4) return refuse_setting(quantization, bits);
  const std::string version = text_of(quantization, "version", "gemm");
  // Kernels' names for the same files.
  if (version != "gemm" && version != "GEMM" && version != "exllama" && version != "ipex") {
    return refuse_setting(quantization, "version");
  }
  const std::string key = quantization.contains("q_group_size") ? "q_group_size" : "group_size";
  const auto group = group_of(quantization, key, 0);
  if (!group) return refuse_setting(quantization, key);
  for (const std::string& layer : stored.before(".qweight")) join_layer(stored, layer, *group);
  return {};
}

}  // namespace hearth::codings
