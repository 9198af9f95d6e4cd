#include "formats/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "base/printable.h"
#include "base/reading/read_watch.h"
#include "formats/directory_files.h"
#include "formats/gguf.h"
#include "formats/huggingface.h"
#include "formats/lfs_pointer.h"
#include "formats/tensor_coding.h"

namespace hearth {
namespace {

constexpr std::string_view kAccepted = "give a .gguf file or a directory with config.json and model.safetensors";

/// A directory that is not a model's: says what in it could have been meant.
std::unexpected<Error> not_a_model_directory(const std::filesystem::path& path) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".gguf") {
      return fail(ErrorCode::unsupported, fmt::format("{}: a directory without config.json", shown(path)),
                  fmt::format("it holds GGUF files; give one of them, such as {}", shown(entry->path())));
    }
  }
  if (error) {
    return fail(ErrorCode::io, fmt::format("{}: cannot list the directory: {}", shown(path), error.message()));
  }
  return fail(ErrorCode::unsupported, fmt::format("{}: a directory without config.json", shown(path)),
              std::string(kAccepted));
}

Result<std::unique_ptr<Checkpoint>> open_file(const std::filesystem::path& path) {
  auto file = File::open(path);
  if (!file) return pass_on(file);
  if (auto is_whole = refuse_lfs_pointer(*file); !is_whole) return pass_on(is_whole);
  std::array<char, 4> magic = {};
  if (file->size_bytes() >= magic.size()) {
    if (auto read = file->read_at(0, std::as_writable_bytes(std::span(magic))); !read) return pass_on(read);
  }
  if (std::string_view(magic.data(), magic.size()) == "GGUF") return Gguf::open(path);
  if (path.extension() == ".safetensors") {
    return fail(ErrorCode::unsupported,
                fmt::format("{}: one safetensors file is not a whole model: config.json belongs to it", shown(path)),
                "give the directory that holds both");
  }
  if (path.extension() == ".gguf") {
    return fail(ErrorCode::corrupt, fmt::format("{}: not a GGUF file: it does not start with \"GGUF\"", shown(path)),
                file->size_bytes() == 0 ? "the file is empty; download it again" : "download it again");
  }
  return fail(ErrorCode::unsupported, fmt::format("{}: not a model file that hearth knows", shown(path)),
              std::string(kAccepted));
}

}  // namespace

bool Checkpoint::contains(std::string_view name) const { return index_.contains(name) || unsupported_.contains(name); }

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : tensors_) names.push_back(tensor.name);
  for (const auto& [name, why] : unsupported_) names.push_back(name);
  std::ranges::sort(names);
  return names;
}

Result<TensorInfo> Checkpoint::find(std::string_view name) const {
  if (const auto found = index_.find(name); found != index_.end()) return tensors_[found->second];
  if (const auto found = unsupported_.find(name); found != unsupported_.end()) {
    return fail(ErrorCode::unsupported, fmt::format("{}: tensor {}: {}", shown(path_), printable(name), found->second),
                "use a file in one of the types that docs/models.md lists");
  }
  return fail(ErrorCode::not_found, fmt::format("{}: there is no tensor {}", shown(path_), printable(name)),
              where_it_should_be(name));
}

Result<void> Checkpoint::read(const TensorInfo& tensor, uint64_t byte_offset, std::span<std::byte> out) const {
  if (tensor.file >= files_.size() || byte_offset > tensor.bytes || out.size() > tensor.bytes - byte_offset) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: tensor {} has {} bytes, and {} at offset {} are asked for", shown(path_),
                            printable(tensor.name), tensor.bytes, out.size(), byte_offset));
  }
  if (tensor.coding == nullptr) return files_[tensor.file].read_at(tensor.offset + byte_offset, out);
  uint64_t part_begin = 0;
  for (const StoredPart& part : tensor.coding->parts()) {
    const uint64_t begin = std::max(byte_offset, part_begin);
    const uint64_t end = std::min(byte_offset + out.size(), part_begin + part.bytes);
    if (begin < end) {
      const auto target = out.subspan(begin - byte_offset, end - begin);
      if (auto read = files_[part.file].read_at(part.offset + begin - part_begin, target); !read) return read;
    }
    part_begin += part.bytes;
  }
  return {};
}

uint32_t Checkpoint::add_file(File file) {
  files_.push_back(std::move(file));
  return static_cast<uint32_t>(files_.size() - 1);
}

Result<void> Checkpoint::add_tensor(TensorInfo tensor) {
  if (contains(tensor.name)) {
    return fail(ErrorCode::corrupt, fmt::format("{}: tensor {} is there twice", shown(path_), printable(tensor.name)));
  }
  index_.emplace(tensor.name, tensors_.size());
  tensors_.push_back(std::move(tensor));
  return {};
}

Result<void> Checkpoint::add_unsupported(std::string name, std::string why) {
  if (contains(name)) {
    return fail(ErrorCode::corrupt, fmt::format("{}: tensor {} is there twice", shown(path_), printable(name)));
  }
  unsupported_.emplace(std::move(name), std::move(why));
  return {};
}

Result<std::unique_ptr<Checkpoint>> open_checkpoint(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = [&] {
    const AsksFile asks(path, 0, 0);
    return std::filesystem::status(path, error);
  }();
  if (status.type() == std::filesystem::file_type::not_found) {
    return fail(ErrorCode::not_found, fmt::format("{}: no such file or directory", shown(path)),
                std::string(kAccepted));
  }
  if (std::filesystem::is_directory(status)) {
    if (!std::filesystem::exists(path / "config.json", error)) return not_a_model_directory(path);
    return HuggingFaceDirectory::open(path);
  }
  return open_file(path);  // which says what is wrong with anything that is not a file
}

}  // namespace hearth
