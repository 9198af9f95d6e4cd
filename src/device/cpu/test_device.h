#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "device/cpu/cpu_device.h"
#include "device/cpu/cpu_isa.h"
#include "device/device.h"
#include "device/reference/reference_device.h"
#include "tensor/quantize.h"

namespace hearth::cpu {

/// The instruction sets that this machine can run, for parameterised tests.
inline std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
  return names;
}

/// The CPU device with one instruction set; "" takes the best.
inline std::unique_ptr<Device> open_cpu(const std::string& isa, uint32_t threads) {
  setenv("HEARTH_CPU_ISA", isa.c_str(), 1);
  auto device = open_cpu_device(threads);
  unsetenv("HEARTH_CPU_ISA");
  return device ? std::move(*device) : nullptr;
}

/// Names a parameterised test after its parameter.
inline std::string isa_name(const testing::TestParamInfo<std::string>& info) { return info.param; }

inline std::vector<float> random_values(size_t count, uint32_t seed, float spread = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

/// Values that int8 activations hold exactly: in each run of 32 whole multiples, up to 127, of a power of two.
inline std::vector<float> int8_values(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> whole(-127, 127);
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    const float step = std::ldexp(1.0F, -6 - static_cast<int>(i / 32 % 3));
    values[i] = step * static_cast<float>(i % 32 == 5 ? 127 : whole(random));
  }
  return values;
}

inline std::vector<std::byte> encode(NumberFormat format, const std::vector<float>& values, size_t cols) {
  const size_t row_bytes = bytes_of(format, cols);
  std::vector<std::byte> bytes(values.size() / cols * row_bytes);
  for (size_t row = 0; row < values.size() / cols; ++row) {
    quantize_row(format, std::span(values).subspan(row * cols, cols),
                 std::span(bytes).subspan(row * row_bytes, row_bytes));
  }
  return bytes;
}

/// Puts a matrix of random weights in the given parts on a device; the same seed gives the same weights.
inline MatrixId add_matrix(Device& device, const std::vector<std::pair<NumberFormat, uint32_t>>& parts, uint32_t cols,
                           uint32_t seed, MatrixRole role = MatrixRole::stacked) {
  MatrixSpec spec{.role = role, .parts = {}, .cols = cols};
  for (const auto& [format, rows] : parts) spec.parts.push_back({"weights", format, rows});
  auto id = device.declare_matrix(spec);
  EXPECT_TRUE(id) << to_string(id.error());
  for (uint32_t p = 0; p < parts.size(); ++p) {
    const auto values = random_values(size_t{parts[p].second} * cols, seed + p, 0.5F);
    const auto wrote = device.write_rows(*id, p, 0, encode(parts[p].first, values, cols));
    EXPECT_TRUE(wrote) << to_string(wrote.error());
  }
  return *id;
}

/// Puts a float32 table on a device: row i is what Embed gives for token i.
inline MatrixId add_table(Device& device, const std::vector<float>& values, uint32_t cols) {
  const auto rows = static_cast<uint32_t>(values.size() / cols);
  auto id = device.declare_matrix({.parts = {{"table", NumberFormat::f32, rows}}, .cols = cols});
  EXPECT_TRUE(id);
  EXPECT_TRUE(device.write_rows(*id, 0, 0, std::as_bytes(std::span(values))));
  return *id;
}

inline VectorId add_vector(Device& device, const std::vector<float>& values) {
  return *device.upload_vector("vector", values);
}

/// A step whose tokens are rows `ids` of the table, each a sequence of its own without a cache.
struct PlainStep {
  std::vector<int32_t> ids;
  std::vector<SequenceInput> sequences;
  std::vector<uint32_t> logit_rows;

  explicit PlainStep(std::vector<int32_t> token_ids) : ids(std::move(token_ids)) {
    for (uint32_t t = 0; t < ids.size(); ++t) {
      sequences.push_back({.first_token = t, .token_count = 1, .context_tokens = 0, .block_tables = {}});
      logit_rows.push_back(t);
    }
  }
  StepInput input() const { return {ids, sequences, logit_rows}; }
};

inline std::vector<int32_t> first_ids(uint32_t count) {
  std::vector<int32_t> ids(count);
  for (uint32_t i = 0; i < count; ++i) ids[i] = static_cast<int32_t>(i);
  return ids;
}

inline constexpr ProgramLimits kLimits{.tokens = 512, .logit_rows = 512, .sequences = 512};

inline std::unique_ptr<Program> compile(Device& device, const Recording& recording) {
  auto program = device.compile(recording, kLimits);
  EXPECT_TRUE(program) << to_string(program.error());
  return std::move(*program);
}

inline std::vector<float> run(Program& program, const StepInput& input) {
  const auto output = program.run(input);
  EXPECT_TRUE(output) << to_string(output.error());
  return {output->logits.begin(), output->logits.end()};
}

inline std::vector<float> run(Device& device, const Recording& recording, const StepInput& input) {
  return run(*compile(device, recording), input);
}

/// The largest difference, relative to the root mean square of what is expected.
inline double worst_error(const std::vector<float>& is, const std::vector<float>& should) {
  EXPECT_EQ(is.size(), should.size());
  double squares = 0;
  double worst = 0;
  for (size_t i = 0; i < std::min(is.size(), should.size()); ++i) {
    squares += static_cast<double>(should[i]) * should[i];
    const double difference = std::abs(static_cast<double>(is[i]) - should[i]);
    worst = difference > worst || std::isnan(difference) ? difference : worst;
  }
  return worst / std::sqrt(squares / static_cast<double>(should.size()) + 1e-30);
}

}  // namespace hearth::cpu
