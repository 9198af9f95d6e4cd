// A Gemma 3 in the layered layout, layers split over shards and vision layers mixed in, is the model of its values.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>

#include "device/open_device.h"
#include "formats/test_files.h"
#include "model/testing/golden_logits.h"
#include "tensor/quantize.h"

namespace hearth {
namespace {

using test_files::SafetensorsBuilder;
using testing::HasSubstr;

const std::string kFamily = "gemma3_text";
constexpr size_t kGroup = 128;

struct Quantized {
  std::string scheme;
  const char* dtype;
  std::string codes;
  std::vector<float> scale;
  std::vector<float> values;  ///< that they stand for
};

Quantized symmetric(const std::vector<float>& x) {
  float largest = 0;
  for (const float value : x) largest = std::max(largest, std::abs(value));
  Quantized q{"int8_symmetric", "I8", {}, {largest / 127}, {}};
  for (const float value : x) {
    const auto code = static_cast<int8_t>(std::clamp(std::nearbyint(value / q.scale[0]), -127.0F, 127.0F));
    q.codes += static_cast<char>(code);
    q.values.push_back(static_cast<float>(code) * q.scale[0]);
  }
  return q;
}

Quantized grouped(const std::vector<float>& x) {
  Quantized q{"int4_grouped", "I8", {}, {}, {}};
  for (size_t i = 0; i < x.size(); ++i) {
    if (i % kGroup == 0) {
      float largest = 0;
      for (size_t j = i; j < std::min(i + kGroup, x.size()); ++j) largest = std::max(largest, std::abs(x[j]));
      q.scale.push_back(largest / 7);
    }
    const auto code = static_cast<int8_t>(std::clamp(std::nearbyint(x[i] / q.scale.back()), -8.0F, 7.0F));
    q.codes += static_cast<char>(code);
    q.values.push_back(static_cast<float>(code) * q.scale.back());
  }
  return q;
}

Quantized asymmetric(const std::vector<float>& x) {
  const auto [least, most] = std::ranges::minmax(x);
  const float low = std::min(0.0F, least), high = std::max(most, least + 1e-6F);
  const float scale = (high - low) / 255, zero = std::nearbyint(-low / scale);
  Quantized q{"int8_asymmetric", "U8", {}, {scale, zero}, {}};
  for (const float value : x) {
    const auto code = static_cast<uint8_t>(std::clamp(std::nearbyint(value / scale) + zero, 0.0F, 255.0F));
    q.codes += static_cast<char>(code);
    q.values.push_back((static_cast<float>(code) - zero) * scale);
  }
  return q;
}

bool is_of(const std::string& name, const char* part) { return name.contains(part) && name.ends_with("_proj.weight"); }

/// The golden in both forms, in a folder that is removed at the end.
class Twins {
 public:
  Twins() {
    for (const auto& folder : {layered(), plain()}) {
      std::filesystem::create_directories(folder);
      std::filesystem::copy(goldens() / kFamily / "config.json", folder / "config.json");
    }
    const auto golden = open_checkpoint(goldens() / kFamily).value();
    for (const TensorInfo& tensor : golden->tensors()) add(*golden, tensor);
    const std::vector<float> vision(48 * 16, 0.5F);
    for (uint32_t n = 0; n < 2; ++n) {
      const auto name = "vision_tower.vision_model.encoder.layers." + std::to_string(n) + ".mlp.fc1.weight";
      put(file_of(n, false), name, {48, 16}, asymmetric(vision));
    }
    for (const auto& [name, builder] : files_) write(layered() / name, builder.build());
    write(plain() / "model.safetensors", values_.build());
  }
  ~Twins() { std::filesystem::remove_all(root_); }

  std::filesystem::path layered() const { return root_ / "layered"; }
  std::filesystem::path plain() const { return root_ / "plain"; }

  /// Layers 2 and 5 have their feed-forward part in the next shard.
  static std::string file_of(uint32_t layer, bool is_feed_forward) {
    const uint32_t shard = 1 + layer * 3 / 8 + (is_feed_forward && layer % 3 == 2 ? 1 : 0);
    return "model-0000" + std::to_string(std::min(shard, 3U)) + "-of-00003_layer_" + std::to_string(layer) +
           ".safetensors";
  }

  /// Writes a file once more, changed.
  void edit(const std::string& file, const std::function<void(SafetensorsBuilder&)>& change) {
    change(files_.at(file));
    write(layered() / file, files_.at(file).build());
  }

 private:
  static void write(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }

  void add(const Checkpoint& golden, const TensorInfo& tensor) {
    std::vector<std::byte> bytes(tensor.bytes);
    ASSERT_TRUE(golden.read(tensor, 0, bytes));
    std::vector<float> x(bytes.size() / traits(tensor.format).block_bytes);
    dequantize_row(tensor.format, bytes, x);
    const Quantized q = is_of(tensor.name, "self_attn") ? symmetric(x)
                        : is_of(tensor.name, "mlp")     ? grouped(x)
                                                        : asymmetric(x);
    std::string file = "model-00001-of-00003_shared.safetensors";
    if (const size_t at = tensor.name.find(".layers."); at != tensor.name.npos) {
      file = file_of(static_cast<uint32_t>(std::stoul(tensor.name.substr(at + 8))), tensor.name.contains("mlp"));
    } else if (tensor.name.contains("norm")) {
      file = "model-00003-of-00003_shared.safetensors";
    }
    put(file, "language_model." + tensor.name, tensor.shape, q);
    values_.numbers(tensor.name, "F32", tensor.shape, q.values);
  }

  void put(const std::string& file, const std::string& name, const std::vector<int64_t>& shape, const Quantized& q) {
    files_[file].tensor(name, q.dtype, shape, q.codes).metadata(name, q.scheme);
    files_[file].numbers(name + "_scale", "F32", {static_cast<int64_t>(q.scale.size())}, q.scale);
  }

  inline static int count_ = 0;
  const std::filesystem::path root_ = std::filesystem::temp_directory_path() /
                                      ("hearth_layered_" + std::to_string(getpid()) + "_" + std::to_string(count_++));
  std::map<std::string, SafetensorsBuilder> files_;
  SafetensorsBuilder values_;
};

struct OnDevice {
  const char* device;
  double tolerance;
};
class LayeredTwins : public testing::TestWithParam<OnDevice> {};
// Scales rounded to f16, and blocks whose range is too wide for signed bytes; on the CPU and the GPU blocks meet
// activations in bytes besides.
INSTANTIATE_TEST_SUITE_P(Devices, LayeredTwins,
                         testing::Values(OnDevice{"reference", 2e-3}, OnDevice{"cpu", 6e-2}, OnDevice{"vulkan", 6e-2}),
                         [](const auto& test) { return test.param.device; });

TEST_P(LayeredTwins, AreOneModel) {
  auto device = open_device(GetParam().device, 2);
  if (!device && device.error().code == ErrorCode::unsupported && std::getenv("HEARTH_VULKAN_REQUIRED") == nullptr) {
    GTEST_SKIP() << to_string(device.error());
  }
  ASSERT_TRUE(device) << to_string(device.error());
  const Twins twins;
  const auto ours = golden_logits(kFamily, *open_checkpoint(twins.layered()).value(), **device);
  const auto expected =
      golden_logits(kFamily, *open_checkpoint(twins.plain()).value(), *open_device("reference", 2).value());
  ASSERT_EQ(ours.size(), expected.size());
  ASSERT_FALSE(ours.empty());
  const double error = relative_error(ours, expected);
  EXPECT_LE(error, GetParam().tolerance);
  RecordProperty("relative_error", fmt::format("{:.2e}", error));
}

TEST(Layered, FourBitsAreHeldInFourBitsAndVectorsAsTheyAre) {
  const Twins twins;
  const auto checkpoint = open_checkpoint(twins.layered()).value();
  const std::string layer = "language_model.model.layers.2.";
  EXPECT_EQ(checkpoint->find(layer + "mlp.up_proj.weight").value().format, NumberFormat::q4_0);
  EXPECT_EQ(checkpoint->find(layer + "self_attn.q_proj.weight").value().format, NumberFormat::q8_0);
  EXPECT_EQ(checkpoint->find(layer + "input_layernorm.weight").value().format, NumberFormat::f32);
  EXPECT_EQ(checkpoint->find("language_model.model.embed_tokens.weight").value().format, NumberFormat::q8_0);
  EXPECT_FALSE(checkpoint->contains(layer + "mlp.up_proj.weight_scale"));
}

/// Of loading, after a change to the files.
std::string error_after(const std::function<void(Twins&)>& change) {
  Twins twins;
  change(twins);
  const auto checkpoint = open_checkpoint(twins.layered());
  if (!checkpoint) return to_string(checkpoint.error());
  const auto device = open_device("reference", 2).value();
  LatestProgress progress;
  const auto model = Model::load(**checkpoint, *device, {}, progress, {});
  return model ? "it loads" : to_string(model.error());
}

TEST(Layered, AMissingFileIsNamed) {
  const auto without = [](const std::string& file) {
    return error_after([&](Twins& twins) { std::filesystem::remove(twins.layered() / file); });
  };
  EXPECT_THAT(without(Twins::file_of(3, false)),
              HasSubstr("no file of layer 3 (model-...-of-00003_layer_3.safetensors)"));
  EXPECT_THAT(without(Twins::file_of(7, false)), HasSubstr("no file of layer 7"));
  // The layer's other half is there.
  EXPECT_THAT(without(Twins::file_of(2, true)),
              testing::AllOf(HasSubstr("there is no tensor language_model.model.layers.2.mlp"),
                             HasSubstr("layer 2 has " + Twins::file_of(2, false) + " alone")));
  EXPECT_THAT(without("model-00001-of-00003_shared.safetensors"), HasSubstr("embed_tokens"));
}

TEST(Layered, FilesOfSeveralCheckpointsAreRefused) {
  const auto error = error_after([](Twins& twins) {
    std::filesystem::copy(twins.layered() / Twins::file_of(0, false),
                          twins.layered() / "model-00001-of-00005_layer_0.safetensors");
  });
  EXPECT_THAT(error, HasSubstr("are of different checkpoints"));
  // The same layer in two shards.
  const auto twice = error_after([](Twins& twins) {
    std::filesystem::copy(twins.layered() / Twins::file_of(0, false),
                          twins.layered() / "model-00002-of-00003_layer_0.safetensors");
  });
  EXPECT_THAT(twice,
              testing::AllOf(HasSubstr("model-00002-of-00003_layer_0.safetensors"), HasSubstr("is there twice")));
}

TEST(Layered, WhatATensorsSchemeLacksIsNamed) {
  const std::string name = "language_model.model.layers.1.mlp.up_proj.weight", file = Twins::file_of(1, true);
  const auto after = [&](const std::function<void(SafetensorsBuilder&)>& change) {
    return error_after([&](Twins& twins) { twins.edit(file, change); });
  };
  EXPECT_THAT(after([&](auto& f) { f.header["__metadata__"].erase(name); }),
              testing::AllOf(HasSubstr(name), HasSubstr("does not name its scheme")));
  EXPECT_THAT(after([&](auto& f) { f.header["__metadata__"][name] = "int3_odd"; }),
              testing::AllOf(HasSubstr(name), HasSubstr("int3_odd")));
  EXPECT_THAT(after([&](auto& f) { f.header["__metadata__"][name] = "int8_symmetric"; }),
              testing::AllOf(HasSubstr(name), HasSubstr("codes in i8 and 1 scales")));
}

TEST(Layered, ScalesAndCodesThatCannotBeAreNamed) {
  const std::string name = "language_model.model.layers.1.mlp.up_proj.weight", file = Twins::file_of(1, true);
  const auto with = [&](const std::string& tensor, const std::string& bytes) {
    return error_after([&](Twins& twins) {
      twins.edit(file, [&](SafetensorsBuilder& f) {
        const size_t at = f.header[tensor]["data_offsets"][0];
        f.data.replace(at, bytes.size(), bytes);
      });
    });
  };
  const auto text = [](float number) { return std::string(reinterpret_cast<const char*>(&number), sizeof(number)); };
  EXPECT_THAT(with(name + "_scale", text(std::nanf(""))),
              testing::AllOf(HasSubstr(name), HasSubstr("a scale that is infinite or not a number")));
  EXPECT_THAT(with(name + "_scale", text(INFINITY)), HasSubstr("infinite or not a number"));
  EXPECT_THAT(with(name, std::string(1, 8)), testing::AllOf(HasSubstr(name), HasSubstr("a code that its bits")));
}

}  // namespace
}  // namespace hearth
