#include "formats/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/printable.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_split_name.h"
#include "formats/gguf_types.h"

namespace hearth {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint32_t kMaxDimensions = 4;
constexpr uint32_t kDefaultAlignment = 32;
// Lengths of the name and of nothing else, the number of dimensions, the type, the offset; key length, type, one byte.
constexpr uint64_t kLeastTensorBytes = 8 + 4 + 4 + 8;
constexpr uint64_t kLeastKeyBytes = 8 + 4 + 1;

std::string shown(const std::filesystem::path& path) { return printable(path.native(), 1024); }

struct Header {
  uint32_t version;
  uint64_t tensors;
  uint64_t keys;
};

/// A tensor as the file describes it, checked as far as that goes without knowing where the data begin.
struct RawTensor {
  std::string name;
  std::vector<int64_t> shape;
  uint32_t type = 0;
  uint64_t bytes = 0;   // 0 when the type is not known
  uint64_t offset = 0;  // from the beginning of the data
};

Result<Header> read_header(GgufReader& reader) {
  auto magic = reader.number<uint32_t>("the magic number");
  if (!magic) return pass_on(magic);
  if (*magic != kMagic) return reader.failure("not a GGUF file: it does not start with \"GGUF\"");
  auto version = reader.number<uint32_t>("the version");
  if (!version) return pass_on(version);
  if (*version != 0 && (*version & 0xffff) == 0) {
    return reader.failure("a big-endian GGUF file; hearth reads little-endian ones", ErrorCode::unsupported);
  }
  if (*version != 2 && *version != 3) {
    return reader.failure(fmt::format("GGUF version {}; hearth reads 2 and 3", *version), ErrorCode::unsupported);
  }
  auto tensors = reader.count("the number of tensors", kLeastTensorBytes);
  if (!tensors) return pass_on(tensors);
  auto keys = reader.count("the number of keys", kLeastKeyBytes);
  if (!keys) return pass_on(keys);
  return Header{*version, *tensors, *keys};
}

Result<void> read_metadata(GgufReader& reader, uint64_t count, GgufMetadata& metadata) {
  for (uint64_t i = 0; i < count; ++i) {
    auto key = reader.string("a key");
    if (!key) return pass_on(key);
    if (key->empty()) return reader.failure("an empty key");
    auto value = reader.value(*key);
    if (!value) return pass_on(value);
    if (auto added = metadata.add(std::move(*key), std::move(*value)); !added) return added;
  }
  return {};
}

/// Reads the dimensions and returns their product. The file has the innermost first.
Result<uint64_t> read_shape(GgufReader& reader, RawTensor& tensor) {
  auto dimensions = reader.number<uint32_t>("a number of dimensions");
  if (!dimensions) return pass_on(dimensions);
  if (*dimensions > kMaxDimensions) {
    return reader.failure(fmt::format("tensor {} has {} dimensions, and {} is the most", printable(tensor.name),
                                      *dimensions, kMaxDimensions));
  }
  uint64_t product = 1;
  for (uint32_t i = 0; i < *dimensions; ++i) {
    auto dimension = reader.number<uint64_t>("a dimension");
    if (!dimension) return pass_on(dimension);
    if (*dimension == 0) {
      return reader.failure(fmt::format("tensor {} has a dimension of 0", printable(tensor.name)));
    }
    if (*dimension > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / product) {
      return reader.failure(fmt::format("tensor {} has more values than can be counted", printable(tensor.name)));
    }
    product *= *dimension;
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(*dimension));
  }
  return product;
}

/// Bytes that `values` numbers of the type take; 0 for a type that is not known.
Result<uint64_t> bytes_of_tensor(GgufReader& reader, const RawTensor& tensor, uint64_t values) {
  const GgufTensorType* type = find_gguf_tensor_type(tensor.type);
  if (!type) return 0;
  const uint64_t row = tensor.shape.empty() ? 1 : static_cast<uint64_t>(tensor.shape.back());
  if (row % type->block_values != 0) {
    return reader.failure(fmt::format("tensor {} has rows of {} values, not a multiple of {}'s blocks of {}",
                                      printable(tensor.name), row, type->name, type->block_values));
  }
  const uint64_t blocks = values / type->block_values;
  if (blocks > std::numeric_limits<uint64_t>::max() / type->block_bytes) {
    return reader.failure(fmt::format("tensor {} has more bytes than can be counted", printable(tensor.name)));
  }
  return blocks * type->block_bytes;
}

Result<RawTensor> read_tensor(GgufReader& reader) {
  RawTensor tensor;
  auto name = reader.string("a tensor's name");
  if (!name) return pass_on(name);
  if (name->empty()) return reader.failure("a tensor without a name");
  tensor.name = std::move(*name);
  auto values = read_shape(reader, tensor);
  if (!values) return pass_on(values);
  auto type = reader.number<uint32_t>("a tensor's type");
  if (!type) return pass_on(type);
  tensor.type = *type;
  auto bytes = bytes_of_tensor(reader, tensor, *values);
  if (!bytes) return pass_on(bytes);
  tensor.bytes = *bytes;
  auto offset = reader.number<uint64_t>("a tensor's offset");
  if (!offset) return pass_on(offset);
  tensor.offset = *offset;
  return tensor;
}

Result<uint32_t> read_alignment(const GgufMetadata& metadata) {
  auto alignment = metadata.get_u32("general.alignment", kDefaultAlignment);
  if (alignment && !std::has_single_bit(*alignment)) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: general.alignment is {}, not a power of two", metadata.source(), *alignment));
  }
  return alignment;
}

/// Every tensor aligned, inside the file and apart from the others. `begin` is where the data begin.
Result<void> check_places(const File& file, const std::vector<RawTensor>& tensors, uint64_t begin, uint64_t alignment) {
  const auto failure = [&](const RawTensor& tensor, std::string_view why) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: tensor {} (offset {} of the data, {} bytes) {}", shown(file.path()),
                            printable(tensor.name), tensor.offset, tensor.bytes, why));
  };
  const uint64_t data_bytes = file.size_bytes() > begin ? file.size_bytes() - begin : 0;
  std::vector<const RawTensor*> by_offset;
  for (const RawTensor& tensor : tensors) {
    if (tensor.offset % alignment != 0) return failure(tensor, fmt::format("is not aligned to {}", alignment));
    if (tensor.offset > data_bytes || tensor.bytes > data_bytes - tensor.offset) {
      auto error = failure(tensor, fmt::format("reaches beyond the {} bytes of data in the file", data_bytes));
      error.error().hint = "the file is cut short or damaged; download it again";
      return error;
    }
    if (tensor.bytes > 0) by_offset.push_back(&tensor);
  }
  std::ranges::sort(by_offset, {}, &RawTensor::offset);
  for (size_t i = 1; i < by_offset.size(); ++i) {
    if (by_offset[i - 1]->offset + by_offset[i - 1]->bytes > by_offset[i]->offset) {
      return failure(*by_offset[i], fmt::format("overlaps tensor {}", printable(by_offset[i - 1]->name)));
    }
  }
  return {};
}

std::string why_unsupported(uint32_t type) {
  const GgufTensorType* known = find_gguf_tensor_type(type);
  return known ? fmt::format("its type {} is not supported", known->name)
               : fmt::format("its type {} is not known", type);
}

}  // namespace

Result<std::unique_ptr<Gguf>> Gguf::open(const std::filesystem::path& path) {
  std::unique_ptr<Gguf> gguf(new Gguf(path));
  if (auto read = gguf->read_file(path, gguf->metadata_); !read) return pass_on(read);
  if (auto read = gguf->read_other_splits(); !read) return pass_on(read);
  return gguf;
}

Result<void> Gguf::read_file(const std::filesystem::path& path, GgufMetadata& metadata) {
  auto opened = File::open(path);
  if (!opened) return pass_on(opened);
  const uint32_t file_index = add_file(std::move(*opened));
  const File& opened_file = file(file_index);

  GgufReader reader(opened_file);
  auto header = read_header(reader);
  if (!header) return pass_on(header);
  version_ = header->version;
  metadata.set_source(shown(path));
  if (auto read = read_metadata(reader, header->keys, metadata); !read) return read;
  std::vector<RawTensor> tensors;
  for (uint64_t i = 0; i < header->tensors; ++i) {
    auto tensor = read_tensor(reader);
    if (!tensor) return pass_on(tensor);
    tensors.push_back(std::move(*tensor));
  }

  auto alignment = read_alignment(metadata);
  if (!alignment) return pass_on(alignment);
  const uint64_t begin = (reader.offset() + *alignment - 1) / *alignment * *alignment;
  if (auto checked = check_places(opened_file, tensors, begin, *alignment); !checked) return checked;
  for (RawTensor& tensor : tensors) {
    const GgufTensorType* type = find_gguf_tensor_type(tensor.type);
    auto added = type && type->format ? add_tensor({std::move(tensor.name), *type->format, std::move(tensor.shape),
                                                    file_index, begin + tensor.offset, tensor.bytes})
                                      : add_unsupported(std::move(tensor.name), why_unsupported(tensor.type));
    if (!added) return added;
  }
  tensor_count_ += header->tensors;
  return {};
}

Result<void> Gguf::read_other_splits() {
  auto count = metadata_.get_u32("split.count", 1);
  if (!count) return pass_on(count);
  if (*count <= 1) return {};

  const auto failure = [&](std::string_view why) {
    return fail(ErrorCode::corrupt,
                fmt::format("{}: one of {} files of a split model: {}", shown(path()), *count, why));
  };
  const auto name = GgufSplitName::parse(path().filename().native());
  if (!name || name->count != *count) return failure("its name does not end with -00001-of-0000N.gguf for that number");
  if (name->number != 1) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: file {} of the {} of a split model", shown(path()), name->number, *count),
                fmt::format("give the first one, {}", printable(name->of(1), 1024)));
  }
  for (uint32_t number = 2; number <= *count; ++number) {
    const auto other = path().parent_path() / name->of(number);
    GgufMetadata metadata;
    if (auto read = read_file(other, metadata); !read) return read;
    auto its_number = metadata.get_u32("split.no"), its_count = metadata.get_u32("split.count");
    if (!its_number) return pass_on(its_number);
    if (!its_count) return pass_on(its_count);
    if (*its_number + 1 != number || *its_count != *count) {
      return failure(fmt::format("{} calls itself file {} of {}", shown(other), uint64_t{*its_number} + 1, *its_count));
    }
  }
  auto tensors = metadata_.get_u64("split.tensors.count", tensor_count_);
  if (!tensors) return pass_on(tensors);
  if (*tensors != tensor_count_) {
    return failure(fmt::format("they should hold {} tensors and hold {}", *tensors, tensor_count_));
  }
  return {};
}

}  // namespace hearth
