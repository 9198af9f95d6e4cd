#pragma once

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"
#include "device/open_device.h"
#include "model/model.h"
#include "model/testing/goldens.h"

namespace hearth {

/// A copy of a golden checkpoint whose config.json was changed, and that may have more tensors; removed at the end.
class EditedCheckpoint {
 public:
  EditedCheckpoint(const std::string& family, const std::function<void(nlohmann::json&)>& edit) {
    path_ = std::filesystem::temp_directory_path() /
            ("hearth_model_test_" + std::to_string(getpid()) + "_" + std::to_string(count_++));
    std::filesystem::create_directory(path_);
    std::filesystem::create_symlink(goldens() / family / kWeights, path_ / kWeights);
    nlohmann::json config = nlohmann::json::parse(read_whole_file(goldens() / family / "config.json").value());
    edit(config);
    std::ofstream(path_ / "config.json") << config;
  }
  ~EditedCheckpoint() { std::filesystem::remove_all(path_); }
  EditedCheckpoint(const EditedCheckpoint&) = delete;
  EditedCheckpoint& operator=(const EditedCheckpoint&) = delete;

  /// Adds a tensor in bf16 with the given bytes, or zeros.
  void add_tensor(const std::string& name, const std::vector<int64_t>& shape, std::string bytes = "") {
    uint64_t values = 1;
    for (const int64_t dimension : shape) values *= static_cast<uint64_t>(dimension);
    bytes.resize(2 * values);
    edit_weights([&](nlohmann::json& header, std::string& data) {
      header[name] = {{"dtype", "BF16"}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + bytes.size()}}};
      data += bytes;
    });
  }

  /// Gives every tensor another name.
  void rename_tensors(const std::function<std::string(const std::string&)>& name_of) {
    edit_weights([&](nlohmann::json& header, std::string&) {
      nlohmann::json renamed;
      for (const auto& [name, entry] : header.items()) renamed[name == "__metadata__" ? name : name_of(name)] = entry;
      header = renamed;
    });
  }

  /// Changes the header and the bytes behind it.
  void edit_weights(const std::function<void(nlohmann::json& header, std::string& data)>& edit) {
    const std::string file = read_whole_file(path_ / kWeights).value();
    uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof(length));
    nlohmann::json header = nlohmann::json::parse(file.substr(sizeof(length), length));
    std::string data = file.substr(sizeof(length) + length);
    edit(header, data);
    const std::string text = header.dump();
    length = text.size();
    std::filesystem::remove(path_ / kWeights);
    std::ofstream out(path_ / kWeights, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&length), sizeof(length));
    out << text << data;
  }

  const std::filesystem::path& path() const { return path_; }

  Result<std::unique_ptr<Model>> load(LoadOptions options = {}, std::stop_token stop = {}) {
    checkpoint_ = open_checkpoint(path_).value();
    device_ = open_device("reference", 2).value();
    return Model::load(*checkpoint_, *device_, options, progress_, std::move(stop));
  }

  LatestProgress progress_;

 private:
  static constexpr const char* kWeights = "model.safetensors";
  inline static int count_ = 0;
  std::filesystem::path path_;
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<Device> device_;
};

}  // namespace hearth
