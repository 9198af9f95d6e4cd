#include "formats/codings/stored_tensors.h"

namespace hearth::codings {

const TensorInfo* StoredTensors::find(std::string_view name) const {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : &found->second;
}

std::vector<std::string> StoredTensors::before(std::string_view suffix) const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) {
    if (name.ends_with(suffix)) names.push_back(name.substr(0, name.size() - suffix.size()));
  }
  return names;
}

void StoredTensors::join(const std::string& name, std::vector<int64_t> shape, NumberFormat format,
                         std::unique_ptr<TensorCoding> coding, std::initializer_list<std::string> parts) {
  const StoredPart& first = coding->parts().front();
  TensorInfo tensor{.name = name,
                    .format = format,
                    .shape = std::move(shape),
                    .file = first.file,
                    .offset = first.offset,
                    .bytes = coding->bytes()};
  tensor.coding = std::move(coding);
  for (const std::string& part : parts) drop(part);
  tensors.insert_or_assign(name, std::move(tensor));
  ++joined_;
}

void StoredTensors::refuse(const std::string& name, std::string why, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) drop(part);
  tensors.erase(name);
  unsupported.insert_or_assign(name, std::move(why));
  ++joined_;
}

void StoredTensors::drop(const std::string& name) {
  tensors.erase(name);
  unsupported.erase(name);
}

StoredPart part_of(const TensorInfo& tensor) {
  return {.format = tensor.format, .file = tensor.file, .offset = tensor.offset, .bytes = tensor.bytes};
}

uint64_t columns_of(const TensorInfo& tensor) {
  return tensor.shape.empty() ? 1 : static_cast<uint64_t>(tensor.shape.back());
}

uint64_t rows_of(const TensorInfo& tensor) { return values_of(tensor) / columns_of(tensor); }

uint64_t values_of(const TensorInfo& tensor) {
  uint64_t values = 1;
  for (const int64_t dimension : tensor.shape) values *= static_cast<uint64_t>(dimension);
  return values;
}

bool is_float(NumberFormat format) {
  return format == NumberFormat::f32 || format == NumberFormat::f16 || format == NumberFormat::bf16;
}

}  // namespace hearth::codings
