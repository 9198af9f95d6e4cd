#include <fmt/format.h>

#include <algorithm>

#include "base/divide_up.h"
#include "base/printable.h"
#include "formats/codings/codings.h"
#include "formats/codings/scaled_integers.h"
#include "formats/codings/settings.h"

// GPTQ as AutoGPTQ and GPTQModel write it: of a layer X, X.qweight I32 [inputs * bits / 32, outputs], X.qzeros I32
// [groups, outputs * bits / 32], X.scales [groups, outputs] and X.g_idx I32 [inputs], the group of each input.
namespace hearth::codings {
namespace {

struct Settings {
  uint64_t group = 0;  ///< 0 is all inputs
  bool is_symmetric = true;
  bool is_in_order = true;   ///< of groups
  bool is_minus_one = true;  ///< zeros are stored as one less
};

/// The bits that make the shapes of codes and zeros fit each other.
std::optional<uint32_t> bits_of(const TensorInfo& codes, const TensorInfo& zeros) {
  for (const uint32_t bits : {4U, 8U, 2U, 3U}) {
    const bool fits = columns_of(codes) * bits == columns_of(zeros) * 32 && rows_of(codes) * 32 % bits == 0;
    if (fits) return bits;
  }
  return {};
}

ScaledIntegers coding_of(const Settings& settings, uint32_t bits, uint64_t rows, uint64_t columns, uint64_t group) {
  ScaledIntegers coding{.codes = {IntegerLayout::column_stream, bits, rows, columns},
                        .lowest_code = 0,
                        .highest_code = (1 << bits) - 1,
                        .group = group,
                        .scale_order = ScaledIntegers::ScaleOrder::by_groups,
                        .zeros = ScaledIntegers::Zeros::integers};
  coding.zero_codes = {settings.is_minus_one ? IntegerLayout::row_stream_minus_one : IntegerLayout::row_stream, bits,
                       rows, divide_up(columns, group)};
  if (settings.is_symmetric) coding.only_zero = static_cast<float>(1 << (bits - 1));
  return coding;
}

void join_layer(StoredTensors& stored, const std::string& layer, const Settings& settings) {
  const std::string codes_name = layer + ".qweight", zeros_name = layer + ".qzeros", scales_name = layer + ".scales",
                    order_name = layer + ".g_idx";
  const TensorInfo *codes = stored.find(codes_name), *zeros = stored.find(zeros_name),
                   *scales = stored.find(scales_name), *order = stored.find(order_name);
  const std::string name = layer + ".weight";
  const auto refuse = [&](const std::string& what) {
    stored.refuse(name, fmt::format("{} is not there or not as GPTQ has it", printable(what)),
                  {codes_name, zeros_name, scales_name, order_name});
  };
  const auto is_matrix = [](const TensorInfo* tensor) { return tensor != nullptr && tensor->shape.size() == 2; };
  if (!is_matrix(codes) || codes->format != NumberFormat::i32) return refuse(codes_name);
  if (!is_matrix(zeros) || zeros->format != NumberFormat::i32) return refuse(zeros_name);
  const auto bits = bits_of(*codes, *zeros);
  if (!bits) return refuse(zeros_name);
  const uint64_t rows = columns_of(*codes), columns = rows_of(*codes) * 32 / *bits;
  const uint64_t group = settings.group == 0 ? columns : settings.group, groups = divide_up(columns, group);
  if (rows_of(*zeros) != groups) return refuse(zeros_name);
  if (!is_matrix(scales) || !is_float(scales->format) || rows_of(*scales) != groups || columns_of(*scales) != rows) {
    return refuse(scales_name);
  }
  const bool is_order = order != nullptr && order->format == NumberFormat::i32 && values_of(*order) == columns;
  if (order != nullptr ? !is_order : !settings.is_in_order && groups > 1) return refuse(order_name);

  ScaledIntegers coding = coding_of(settings, *bits, rows, columns, group);
  std::vector<StoredPart> parts = {part_of(*codes), part_of(*scales), part_of(*zeros)};
  if (order != nullptr) {
    coding.column_groups =
        settings.is_in_order ? ScaledIntegers::ColumnGroups::checked : ScaledIntegers::ColumnGroups::any;
    parts.push_back(part_of(*order));
  }
  auto made = make_scaled_integers(
      name, coding, std::move(parts),
      fmt::format("gptq, {} bits, groups of {}{}", *bits, group, settings.is_in_order ? "" : " in any order"));
  stored.join(name, {static_cast<int64_t>(rows), static_cast<int64_t>(columns)}, held_format(coding, false),
              std::move(made), {codes_name, zeros_name, scales_name, order_name});
}

}  // namespace

Result<void> join_gptq(StoredTensors& stored, const nlohmann::json& quantization) {
  for (const char* key : {"is_marlin_format", "adapter", "rotation", "lora"}) {
    if (!is_unset(quantization, key)) return refuse_setting(quantization, key);
  }
  if (text_of(quantization, "pack_dtype", "int32") != "int32") return refuse_setting(quantization, "pack_dtype");
  const std::string key = quantization.contains("checkpoint_format") ? "checkpoint_format" : "format";
  const std::string format = text_of(quantization, key, "gptq");
  if (format != "gptq" && format != "gptq_v2") return refuse_setting(quantization, key);
  const auto group = group_of(quantization, "group_size", 0);
  if (!group) return refuse_setting(quantization, "group_size");
  // Layers with settings of their own would need each of these; of `bits` the shapes tell.
  for (const nlohmann::json& own : quantization.value("dynamic", nlohmann::json::object())) {
    if (own.is_object() && (own.contains("group_size") || own.contains("sym") || own.contains("desc_act"))) {
      return refuse_setting(quantization, "dynamic");
    }
  }
  const Settings settings{.group = *group,
                          .is_symmetric = quantization.value("sym", nlohmann::json(true)) == true,
                          .is_in_order = quantization.value("desc_act", nlohmann::json(false)) != true,
                          .is_minus_one = format == "gptq"};
  for (const std::string& layer : stored.before(".qweight")) join_layer(stored, layer, settings);
  return {};
}

}  // namespace hearth::codings
