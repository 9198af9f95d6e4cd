#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/evaluate.h"
#include "model/testing/goldens.h"

namespace hearth {

/// |a - b| / |b| in the Euclidean norm.
inline double relative_error(std::span<const float> a, std::span<const float> b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

/// The logits of all tokens of a family's golden, from a checkpoint that need not be the golden's own. Empty after a
/// failure.
inline std::vector<float> golden_logits(const std::string& family, const Checkpoint& checkpoint, Device& device) {
  LatestProgress progress;
  const auto model = Model::load(checkpoint, device, {}, progress, {});
  if (!model) return ADD_FAILURE() << to_string(model.error()), std::vector<float>();
  const auto golden = nlohmann::json::parse(read_whole_file(goldens() / family / "golden.json").value());
  const std::vector<int32_t> tokens = golden["input_ids"];
  auto sequence = SingleSequence::create(**model, static_cast<uint32_t>(tokens.size()), 64);
  if (!sequence) return ADD_FAILURE() << to_string(sequence.error()), std::vector<float>();
  std::vector<float> all;
  const auto keep = [&](size_t, std::span<const float> logits) { all.insert(all.end(), logits.begin(), logits.end()); };
  EXPECT_TRUE(sequence->append(tokens, keep));
  return all;
}

}  // namespace hearth
