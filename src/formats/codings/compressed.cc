#include <fmt/format.h>

#include <algorithm>

#include "base/divide_up.h"
#include "base/printable.h"
#include "formats/codings/codings.h"
#include "formats/codings/fp8.h"
#include "formats/codings/scaled_integers.h"
#include "formats/codings/settings.h"

// The compressed-tensors library's files (vLLM's llm-compressor). Which layer is coded is told by its tensors; what the
// codes of integers are, by the first of the configuration's groups that fits their shapes.
namespace hearth::codings {
namespace {

using nlohmann::json;

/// "weights" of one of config_groups.
struct Scheme {
  uint32_t bits = 0;
  bool is_float = false;
  bool is_symmetric = true;
  uint64_t group = 0;   ///< columns with one scale; 0 is all
  bool is_one = false;  ///< scale for the whole tensor
  bool is_any_order = false;
  std::optional<BlockSize> block = {};

  bool operator==(const Scheme& other) const {
    return bits == other.bits && is_float == other.is_float && is_symmetric == other.is_symmetric &&
           group == other.group && is_one == other.is_one && is_any_order == other.is_any_order;
  }
};

/// Older files have it as text: "128x128".
std::optional<BlockSize> block_structure(const json& weights) {
  const json block = weights.value("block_structure", json());
  if (block == "128x128") return BlockSize{128, 128};
  return block_size(block);
}

std::optional<Scheme> scheme_of(const json& weights) {
  const json bits = weights.value("num_bits", json());
  if (!bits.is_number_unsigned() || bits < 2 || bits > 8 || weights.value("dynamic", json()) == true) return {};
  const std::string type = text_of(weights, "type", ""), strategy = text_of(weights, "strategy", "");
  const auto group = group_of(weights, "group_size", 0);
  if (!group || (type != "int" && type != "float")) return {};
  Scheme scheme{.bits = bits.get<uint32_t>(),
                .is_float = type == "float",
                .is_symmetric = weights.value("symmetric", json(true)) == true};
  const json order = weights.value("actorder", json());
  scheme.is_any_order = order == "group" || order == "dynamic" || order == true;
  if (strategy == "tensor") {
    scheme.is_one = true;
  } else if (strategy == "group" || strategy == "tensor_group") {
    if (*group == 0) return {};
    scheme.group = *group;
  } else if (strategy == "block") {
    scheme.block = block_structure(weights);
    if (!scheme.block) return {};
  } else if (strategy != "channel") {
    return {};
  }
  return scheme;
}

Result<std::vector<Scheme>> schemes_of(const json& quantization) {
  const auto groups = quantization.find("config_groups");
  if (groups == quantization.end() || !groups->is_object()) return refuse_setting(quantization, "config_groups");
  std::vector<Scheme> schemes;
  for (const auto& [name, group] : groups->items()) {
    if (!group.is_object()) return refuse_setting(*groups, name);
    const json weights = group.value("weights", json());
    if (weights.is_null()) continue;  // activations alone
    const auto scheme = weights.is_object() ? scheme_of(weights) : std::nullopt;
    if (!scheme) return refuse_setting(group, "weights");
    if (std::ranges::find(schemes, *scheme) == schemes.end()) schemes.push_back(*scheme);
  }
  return schemes;
}

/// A layer's tensors of integers.
class IntegerLayer {
 public:
  IntegerLayer(StoredTensors& stored, const std::string& name, const char* codes_suffix)
      : stored_(stored),
        name_(name),
        codes_name_(name + codes_suffix),
        codes_(stored.find(codes_name_)),
        scales_(stored.find(name + "_scale")),
        zeros_(stored.find(name + "_zero_point")),
        order_(stored.find(name + "_g_idx")) {}

  void join(const std::vector<Scheme>& schemes) {
    std::optional<ScaledIntegers> found;
    const Scheme* of = nullptr;
    for (const Scheme& scheme : schemes) {
      const auto coding = fit(scheme);
      if (!coding) continue;
      if (found) return refuse("more than one of the config_groups fits its shapes");
      found = coding;
      of = &scheme;
    }
    if (!found) return refuse("none of the config_groups fits its shapes");
    const std::vector<int64_t> shape = {static_cast<int64_t>(found->codes.rows),
                                        static_cast<int64_t>(found->codes.columns)};
    std::vector<StoredPart> parts = {part_of(*codes_), part_of(*scales_)};
    if (zeros_ != nullptr) parts.push_back(part_of(*zeros_));
    if (found->column_groups != ScaledIntegers::ColumnGroups::in_order) parts.push_back(part_of(*order_));
    const std::string groups = of->is_one || of->group == 0 ? "" : fmt::format(", groups of {}", of->group);
    auto made = make_scaled_integers(name_, *found, std::move(parts), fmt::format("int{}{}", of->bits, groups));
    stored_.join(name_, shape, held_format(*found, false), std::move(made),
                 {codes_name_, name_ + "_scale", name_ + "_zero_point", name_ + "_g_idx", name_ + "_shape"});
  }

 private:
  void refuse(const std::string& why) {
    stored_.refuse(name_, why,
                   {codes_name_, name_ + "_scale", name_ + "_zero_point", name_ + "_g_idx", name_ + "_shape"});
  }

  /// The layer's coding if it is of this scheme.
  std::optional<ScaledIntegers> fit(const Scheme& scheme) const {
    if (scheme.is_float || codes_ == nullptr || scales_ == nullptr || codes_->shape.size() != 2) return {};
    if (scheme.is_symmetric != (zeros_ == nullptr) || !is_float(scales_->format)) return {};
    const bool is_packed = codes_->format == NumberFormat::i32;
    if (!is_packed && codes_->format != NumberFormat::i8) return {};
    const uint64_t rows = rows_of(*codes_), scale_columns = columns_of(*scales_);
    // Where rows are packed, the groups tell how long they are; else they have no padding.
    uint64_t columns = columns_of(*codes_);
    if (is_packed) columns = scheme.group > 0 ? scale_columns * scheme.group : columns * (32 / scheme.bits);
    const uint64_t group = scheme.group > 0 ? scheme.group : columns, groups = divide_up(columns, group);
    const IntegerMatrix codes = {is_packed ? IntegerLayout::row_words : IntegerLayout::signed_bytes, scheme.bits, rows,
                                 columns};
    const bool scales_fit =
        scheme.is_one ? values_of(*scales_) == 1 : values_of(*scales_) == rows * groups && scale_columns == groups;
    if (codes.bytes() != codes_->bytes || !scales_fit) return {};

    const int half = 1 << (scheme.bits - 1);
    ScaledIntegers coding{
        .codes = codes,
        .lowest_code = is_packed ? 0 : -half,
        .highest_code = is_packed ? 2 * half - 1 : half - 1,
        .group = group,
        .scale_order = scheme.is_one ? ScaledIntegers::ScaleOrder::one : ScaledIntegers::ScaleOrder::by_rows,
        .zero = is_packed ? static_cast<float>(half) : 0.0F};
    if (zeros_ != nullptr && !set_zeros(scheme, rows, groups, coding)) return {};
    if (scheme.is_any_order) {
      if (order_ == nullptr || order_->format != NumberFormat::i32 || values_of(*order_) != columns) return {};
      coding.column_groups = ScaledIntegers::ColumnGroups::any;
    }
    return coding;
  }

  /// Zeros are packed along the rows; older files have them as bytes, which have a sign.
  bool set_zeros(const Scheme& scheme, uint64_t rows, uint64_t groups, ScaledIntegers& coding) const {
    coding.zeros = ScaledIntegers::Zeros::integers;
    if (zeros_->format == NumberFormat::i32) {
      coding.zero_codes = {IntegerLayout::tall_words, scheme.bits, rows, groups};
      coding.zero = 0;
    } else {
      coding.zero_codes = {IntegerLayout::signed_bytes, 8, rows, groups};
    }
    const bool is_integer = zeros_->format == NumberFormat::i32 || zeros_->format == NumberFormat::i8;
    return is_integer && !scheme.is_one && zeros_->bytes == coding.zero_codes.bytes();
  }

  StoredTensors& stored_;
  const std::string name_, codes_name_;
  const TensorInfo *codes_, *scales_, *zeros_, *order_;
};

void join_layer(StoredTensors& stored, const std::string& name, const std::vector<Scheme>& schemes) {
  const std::string scale = name + "_scale", packed = name + "_packed";
  if (const TensorInfo* codes = stored.find(packed); codes != nullptr && codes->format == NumberFormat::u8) {
    const bool has_global = stored.find(name + "_global_scale") != nullptr;
    const uint64_t group = has_global ? 16 : 32;
    return join_scaled_fp4(stored, name, packed, scale, group, has_global ? name + "_global_scale" : "", true);
  }
  if (stored.find(packed) != nullptr) return IntegerLayer(stored, name, "_packed").join(schemes);
  const TensorInfo* codes = stored.find(name);
  if (codes == nullptr) return;
  if (codes->format == NumberFormat::i8) return IntegerLayer(stored, name, "").join(schemes);
  std::optional<BlockSize> block;
  for (const Scheme& scheme : schemes) {
    if (scheme.is_float && scheme.block) block = scheme.block;
    if (scheme.is_float && scheme.group > 0) block = BlockSize{1, scheme.group};
  }
  join_scaled_fp8(stored, name, scale, block);
}

}  // namespace

Result<void> join_compressed(StoredTensors& stored, const nlohmann::json& quantization) {
  // What is turned while it runs, and what leaves out zeros.
  if (!is_unset(quantization, "transform_config")) return refuse_setting(quantization, "transform_config");
  if (!is_unset(quantization, "sparsity_config")) {
    const json& sparsity = quantization["sparsity_config"];
    if (!sparsity.is_object() || text_of(sparsity, "format", "dense") != "dense") {
      return refuse_setting(quantization, "sparsity_config");
    }
  }
  constexpr std::string_view kFormats[] = {"pack-quantized",  "int-quantized",        "naive-quantized",
                                           "float-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized",
                                           "mxfp8-quantized", "mixed-precision"};
  if (std::ranges::find(kFormats, text_of(quantization, "format", "")) == std::end(kFormats)) {
    return refuse_setting(quantization, "format");
  }
  const auto schemes = schemes_of(quantization);
  if (!schemes) return std::unexpected(schemes.error());
  for (const std::string& name : stored.before("_scale")) join_layer(stored, name, *schemes);
  return {};
}

}  // namespace hearth::codings
