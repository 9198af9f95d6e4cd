#include <fmt/format.h>

#include "base/divide_up.h"
#include "base/json.h"
#include "base/printable.h"
#include "formats/codings/codings.h"
#include "formats/codings/fp8.h"
#include "formats/codings/scaled_integers.h"
#include "formats/codings/settings.h"

// torchao's tensors in safetensors: of X.weight, the tensors X._weight_qdata, X._weight_scale and X._weight_zero_point,
// and in __metadata__ what kind of tensor it is.
namespace hearth::codings {
namespace {

using nlohmann::json;

/// What __metadata__ says of a tensor.
struct Description {
  std::string type;
  json data;
};

std::optional<Description> describe(const std::string& text) {
  if (!text.starts_with('{')) return {};
  const auto parsed = parse_json(text, "__metadata__", {.max_depth = 8});
  if (!parsed || !parsed->is_object()) return {};
  const json data = parsed->value("_data", json::object());
  return Description{text_of(*parsed, "_type", ""), data.is_object() ? data : json::object()};
}

/// The bits of target_dtype, "int4"; 0 for anything else.
uint32_t bits_of(const json& data) {
  const json type = data.value("target_dtype", json());
  const std::string name = type.is_object() ? text_of(type, "_data", "") : "";
  return name.size() == 4 && name.starts_with("int") && name[3] >= '1' && name[3] <= '8'
             ? static_cast<uint32_t>(name[3] - '0')
             : 0;
}

class Tensor {
 public:
  Tensor(StoredTensors& stored, const std::string& name)
      : stored_(stored),
        name_(name),
        codes_name_(part_name("_qdata")),
        scales_name_(part_name("_scale")),
        zeros_name_(part_name("_zero_point")),
        codes_(stored.find(codes_name_)),
        scales_(stored.find(scales_name_)),
        zeros_(stored.find(zeros_name_)) {}

  void join(const Description& description) {
    const auto block = block_size(description.data.value("block_size", json()));
    if (!block || codes_ == nullptr || codes_->shape.size() != 2 || scales_ == nullptr || !is_float(scales_->format)) {
      return refuse("its parts are not those of " + printable(description.type));
    }
    if (description.type == "Float8Tensor") return join_floats(*block);
    const auto coding = description.type == "Int4Tensor"   ? int4(*block)
                        : description.type == "Int8Tensor" ? bytes(*block, 8)
                                                           : bytes(*block, bits_of(description.data));
    if (!coding) return refuse("its parts are not those of " + printable(description.type));
    const std::vector<int64_t> shape = {static_cast<int64_t>(coding->codes.rows),
                                        static_cast<int64_t>(coding->codes.columns)};
    std::vector<StoredPart> parts = {part_of(*codes_), part_of(*scales_)};
    if (zeros_ != nullptr) parts.push_back(part_of(*zeros_));
    auto made = make_scaled_integers(name_, *coding, std::move(parts),
                                     fmt::format("torchao int{}, groups of {}", coding->codes.bits, coding->group));
    stored_.join(name_, shape, held_format(*coding, false), std::move(made), {codes_name_, scales_name_, zeros_name_});
  }

  void refuse(std::string why) { stored_.refuse(name_, std::move(why), {codes_name_, scales_name_, zeros_name_}); }

 private:
  std::string part_name(const char* part) const {
    const size_t dot = name_.rfind('.');
    const size_t begin = dot == name_.npos ? 0 : dot + 1;
    return name_.substr(0, begin) + "_" + name_.substr(begin) + part;
  }

  void join_floats(const BlockSize& block) {
    const bool is_whole = block.rows >= rows_of(*codes_) && block.columns >= columns_of(*codes_);
    const TensorInfo codes = *codes_;
    stored_.tensors.insert_or_assign(name_, codes);
    stored_.drop(codes_name_);
    join_scaled_fp8(stored_, name_, scales_name_, is_whole ? std::nullopt : std::optional(block));
  }

  /// Nibbles with a sign; what is called a zero point is added to the value. [groups, rows] of both.
  std::optional<ScaledIntegers> int4(const BlockSize& block) const {
    const uint64_t rows = rows_of(*codes_), columns = 2 * columns_of(*codes_);
    const uint64_t groups = divide_up(columns, block.columns);
    const auto is_of_groups = [&](const TensorInfo& t) { return rows_of(t) == groups && columns_of(t) == rows; };
    if (codes_->format != NumberFormat::i8 || block.rows != 1 || !is_of_groups(*scales_) || zeros_ == nullptr ||
        zeros_->format != scales_->format || !is_of_groups(*zeros_)) {
      return {};
    }
    return ScaledIntegers{.codes = {IntegerLayout::signed_nibbles, 4, rows, columns},
                          .lowest_code = -8,
                          .highest_code = 7,
                          .group = block.columns,
                          .scale_order = ScaledIntegers::ScaleOrder::by_groups,
                          .zeros = ScaledIntegers::Zeros::offsets};
  }

  /// A byte for each code; [rows, groups] of scales and zeros.
  std::optional<ScaledIntegers> bytes(const BlockSize& block, uint32_t bits) const {
    const uint64_t rows = rows_of(*codes_), columns = columns_of(*codes_);
    const uint64_t groups = divide_up(columns, block.columns);
    const auto is_of_groups = [&](const TensorInfo& t) { return rows_of(t) == rows && columns_of(t) == groups; };
    if (bits == 0 || codes_->format != NumberFormat::i8 || block.rows != 1 || !is_of_groups(*scales_)) return {};
    if (zeros_ != nullptr && (zeros_->format != NumberFormat::i8 || !is_of_groups(*zeros_))) return {};
    ScaledIntegers coding{.codes = {IntegerLayout::signed_bytes, bits, rows, columns},
                          .lowest_code = -(1 << (bits - 1)),
                          .highest_code = (1 << (bits - 1)) - 1,
                          .group = block.columns};
    if (zeros_ != nullptr) {
      coding.zeros = ScaledIntegers::Zeros::integers;
      coding.zero_codes = {IntegerLayout::signed_bytes, 8, rows, groups};
    }
    return coding;
  }

  StoredTensors& stored_;
  const std::string name_, codes_name_, scales_name_, zeros_name_;
  const TensorInfo *codes_, *scales_, *zeros_;
};

}  // namespace

void join_torchao(StoredTensors& stored) {
  const auto metadata = stored.metadata;
  for (const auto& [name, text] : metadata) {
    const auto description = describe(text);
    if (!description || description->type == "Tensor") continue;
    Tensor tensor(stored, name);
    const bool is_known = description->type == "Int4Tensor" || description->type == "Int8Tensor" ||
                          description->type == "IntxUnpackedToInt8Tensor" || description->type == "Float8Tensor";
    if (is_known) {
      tensor.join(*description);
    } else {
      tensor.refuse(fmt::format("it is torchao's {}, whose layout hearth does not know", printable(description->type)));
    }
  }
}

}  // namespace hearth::codings
