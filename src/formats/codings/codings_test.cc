// Every coding stands for the values that the format's own tools make of the same files (testdata/make_coded.py).

#include "formats/codings/codings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/testing/source_folder.h"
#include "formats/checkpoint.h"
#include "formats/codings/testing/decode_everything.h"
#include "formats/huggingface.h"
#include "formats/safetensors.h"
#include "tensor/quantize.h"
#include "tensor/recode.h"

namespace hearth {
namespace {

std::filesystem::path testdata() { return source_folder() / "src/formats/testdata/coded"; }

std::vector<std::string> coded_folders() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(testdata())) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

struct Floats {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

std::map<std::string, Floats> expected_of(const std::filesystem::path& folder) {
  const File file = File::open(folder / "expected.safetensors").value();
  std::map<std::string, Floats> all;
  const SafetensorsHeader header = read_safetensors_header(file).value();
  for (const TensorInfo& tensor : header.tensors) {
    Floats& floats = all[tensor.name];
    floats = {tensor.shape, std::vector<float>(tensor.bytes / sizeof(float))};
    EXPECT_TRUE(file.read_at(tensor.offset, std::as_writable_bytes(std::span(floats.values))));
  }
  return all;
}

/// Of a tensor's rows [first, first + step, ...], in its own format or another.
std::vector<float> decoded(const Checkpoint& checkpoint, const TensorInfo& tensor, const CodedRows& rows,
                           NumberFormat format) {
  std::vector<std::byte> stored;
  uint64_t part_begin = 0;
  for (size_t i = 0; i < tensor.coding->parts().size(); ++i) {
    const auto range = tensor.coding->range_of(i, rows);
    std::vector<std::byte> bytes(range.bytes);
    EXPECT_TRUE(checkpoint.read(tensor, part_begin + range.offset, bytes));
    stored.insert(stored.end(), bytes.begin(), bytes.end());
    part_begin += tensor.coding->parts()[i].bytes;
  }
  std::vector<float> values(rows.count * tensor.coding->columns());
  std::vector<std::byte> held(bytes_of(format, values.size()));
  const auto done = tensor.coding->decode(rows, stored, format, held);
  EXPECT_TRUE(done) << (done ? "" : to_string(done.error()));
  dequantize_row(format, held, values);
  return values;
}

double relative_error(const std::vector<float>& a, std::span<const float> b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

class CodingsTest : public testing::TestWithParam<std::string> {
 protected:
  std::filesystem::path folder_ = testdata() / GetParam();
  std::unique_ptr<Checkpoint> checkpoint_ = open_checkpoint(folder_).value();
  std::map<std::string, Floats> expected_ = expected_of(folder_);
};

INSTANTIATE_TEST_SUITE_P(All, CodingsTest, testing::ValuesIn(coded_folders()),
                         [](const auto& test) { return test.param; });

TEST_P(CodingsTest, HasTheTensorsThatTheFormatsToolHas) {
  const auto& error = checkpoint_->as_hugging_face()->quantization_error();
  EXPECT_FALSE(error) << (error ? to_string(*error) : "");
  std::vector<std::string> names;
  for (const auto& [name, floats] : expected_) names.push_back(name);
  EXPECT_EQ(checkpoint_->names(), names);
  for (const auto& [name, floats] : expected_) {
    const auto tensor = checkpoint_->find(name);
    ASSERT_TRUE(tensor) << to_string(tensor.error());
    EXPECT_EQ(tensor->shape, floats.shape);
  }
}

TEST_P(CodingsTest, StandsForTheValuesThatTheFormatsToolMakes) {
  for (const auto& [name, floats] : expected_) {
    const TensorInfo tensor = checkpoint_->find(name).value();
    if (!tensor.coding) continue;
    const CodedRows all{.first = 0, .count = tensor.coding->rows()};
    const auto values = decoded(*checkpoint_, tensor, all, NumberFormat::f32);
    // Both round a product or two in float32.
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(values[i], floats.values[i], 4e-7 * std::abs(floats.values[i])) << name << ", value " << i;
    }
  }
}

TEST_P(CodingsTest, IsHeldInAFormatThatHasItsValues) {
  for (const auto& [name, floats] : expected_) {
    const TensorInfo tensor = checkpoint_->find(name).value();
    if (!tensor.coding) continue;
    EXPECT_EQ(held_as(tensor.format), tensor.format);
    const CodedRows all{.first = 0, .count = tensor.coding->rows()};
    const double error = relative_error(decoded(*checkpoint_, tensor, all, tensor.format), floats.values);
    // The rounding of scales and minimums to f16; q8_0's own where parts of a block have scales of their own.
    const double allowed = tensor.format == NumberFormat::q8_0   ? 8e-3
                           : tensor.format == NumberFormat::q4_1 ? 1e-3
                                                                 : 4e-4;
    EXPECT_LT(error, allowed) << name << " " << traits(tensor.format).name;
  }
}

TEST_P(CodingsTest, SomeRowsAreThoseOfAll) {
  for (const auto& [name, floats] : expected_) {
    const TensorInfo tensor = checkpoint_->find(name).value();
    if (!tensor.coding) continue;
    const uint64_t columns = tensor.coding->columns();
    for (const CodedRows rows : {CodedRows{3, 4, 1}, CodedRows{1, 3, 2}, CodedRows{tensor.coding->rows() - 1, 1, 1}}) {
      const auto some = decoded(*checkpoint_, tensor, rows, NumberFormat::f32);
      for (uint64_t i = 0; i < rows.count; ++i) {
        const auto row = std::span(floats.values).subspan((rows.first + i * rows.step) * columns, columns);
        EXPECT_LT(relative_error({&some[i * columns], &some[i * columns] + columns}, row), 1e-6) << name;
      }
    }
  }
}

/// Older files have the configuration beside config.json.
TEST(Codings, AQuantizersOwnFileCountsWhereTheConfigurationIsSilent) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"gptq_asym", "quantize_config.json", "gptq"},
      {"awq_gemm", "quant_config.json", "awq"},
      {"modelopt_nvfp4", "hf_quant_config.json", "modelopt"}};
  for (const auto& [name, file, method] : cases) {
    const auto folder = std::filesystem::temp_directory_path() / ("hearth_codings_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    std::filesystem::copy(testdata() / name / "model.safetensors", folder);
    auto config = parse_json(read_whole_file(testdata() / name / "config.json").value(), "config.json").value();
    auto quantization = config["quantization_config"];
    config.erase("quantization_config");
    quantization.erase("quant_method");
    if (std::string_view(method) == "modelopt") quantization = {{"producer", {}}, {"quantization", quantization}};
    std::ofstream(folder / "config.json") << config;
    std::ofstream(folder / file) << quantization;
    const auto checkpoint = open_checkpoint(folder).value();
    EXPECT_EQ(checkpoint->as_hugging_face()->coded_as(), std::string(method) + ", by " + file);
    EXPECT_EQ(checkpoint->names(), open_checkpoint(testdata() / name).value()->names());
    std::filesystem::remove_all(folder);
  }
}

TEST(Codings, SurviveDamage) {
  std::mt19937 random(7);
  for (const std::string& seed : codings::coded_seeds()) {
    EXPECT_GT(codings::decode_everything(seed), 0U);
    for (int i = 0; i < 40; ++i) {
      std::string damaged = seed;
      test_files::mutate(damaged, random);
      codings::decode_everything(damaged);
    }
  }
}

}  // namespace
}  // namespace hearth
