#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"

namespace hearth {

/// The numbers of a version 1 .npy file of float32.
inline std::vector<float> read_npy(const std::filesystem::path& path) {
  const std::string file = read_whole_file(path).value();
  const size_t header = 10 + static_cast<unsigned char>(file[8]) + 256 * static_cast<unsigned char>(file[9]);
  EXPECT_NE(file.substr(0, header).find("'<f4'"), std::string::npos);
  std::vector<float> values((file.size() - header) / sizeof(float));
  std::memcpy(values.data(), file.data() + header, values.size() * sizeof(float));
  return values;
}

}  // namespace hearth
