#include "device/npu/npu_multiplier.h"

#include <algorithm>

#include "tensor/float16.h"

namespace hearth {

Result<void> NpuMultiplier::make_room(uint32_t cols) {
  using Argument = NpuRuntime::Argument;
  while (activations_.size() < column_blocks(cols)) {
    auto buffer = runtime_.allocate(kernel_, Argument::a, spec_.a_bytes());
    if (!buffer) return pass_on(buffer);
    activations_.push_back(std::move(*buffer));
  }
  for (NpuBuffer& products : products_) {
    if (products.data() != nullptr) continue;
    auto buffer = runtime_.allocate(kernel_, Argument::c, spec_.c_bytes());
    if (!buffer) return pass_on(buffer);
    products = std::move(*buffer);
  }
  return {};
}

uint64_t NpuMultiplier::working_bytes() const {
  return activations_.size() * spec_.a_bytes() + products_[0].bytes() + products_[1].bytes() +
         sums_.size() * sizeof(float);
}

Result<NpuWeights> NpuMultiplier::convert(const cpu::PackedMatrix& matrix, ThreadPool& pool) {
  NpuWeights weights{.rows = matrix.rows(), .cols = matrix.cols(), .blocks = {}};
  const size_t columns = column_blocks(weights.cols);
  for (size_t row_block = 0; row_block < row_blocks(weights.rows); ++row_block) {
    for (size_t c = 0; c < columns; ++c) {
      auto buffer = runtime_.allocate(kernel_, NpuRuntime::Argument::b, spec_.b_bytes());
      if (!buffer) return pass_on(buffer);
      weights.blocks.push_back(std::move(*buffer));
    }
    const auto row_of_blocks = std::span(weights.blocks).last(columns);
    fill_weights(matrix, row_block, row_of_blocks, pool);
    for (const NpuBuffer& buffer : row_of_blocks) {
      if (auto sent = runtime_.send(buffer); !sent) return pass_on(sent);
    }
  }
  return weights;
}

void NpuMultiplier::fill_weights(const cpu::PackedMatrix& matrix, size_t row_block, std::span<const NpuBuffer> to,
                                 ThreadPool& pool) {
  const size_t step_of_column = spec_.b_is_transposed ? 1 : spec_.n;
  const size_t step_of_row = spec_.b_is_transposed ? spec_.k : 1;
  std::vector<std::vector<float>> rows(pool.threads(), std::vector<float>(to.size() * spec_.k));
  pool.parallel_for(spec_.n, [&](size_t n, unsigned thread) {
    std::vector<float>& row = rows[thread];
    const size_t index = row_block * spec_.n + n;
    if (index < matrix.rows()) {
      matrix.read_row(static_cast<uint32_t>(index), std::span(row).first(matrix.cols()));
    } else {
      std::ranges::fill(row, 0.0F);
    }
    for (size_t block = 0; block < to.size(); ++block) {
      auto* const values = reinterpret_cast<uint16_t*>(to[block].data()) + n * step_of_row;
      const float* const from = row.data() + block * spec_.k;
      for (size_t k = 0; k < spec_.k; ++k) values[k * step_of_column] = f32_to_bf16(from[k]);
    }
  });
}

/// Rows behind the last token keep what they had: nobody reads what becomes of them.
Result<void> NpuMultiplier::send_activations(const float* in, size_t tokens, uint32_t cols, ThreadPool& pool) {
  const size_t columns = column_blocks(cols);
  pool.parallel_for(tokens, [&](size_t token, unsigned) {
    for (size_t block = 0; block < columns; ++block) {
      auto* const to = reinterpret_cast<uint16_t*>(activations_[block].data()) + token * spec_.k;
      const size_t begin = block * spec_.k;
      const size_t count = std::min<size_t>(spec_.k, cols - begin);
      const float* const from = in + token * cols + begin;
      for (size_t k = 0; k < count; ++k) to[k] = f32_to_bf16(from[k]);
      std::fill(to + count, to + spec_.k, uint16_t{0});
    }
  });
  for (size_t block = 0; block < columns; ++block) {
    if (auto sent = runtime_.send(activations_[block]); !sent) return sent;
  }
  return {};
}

void NpuMultiplier::add_up(const NpuBuffer& products, size_t tokens, size_t row_block, bool is_first, size_t stride,
                           ThreadPool& pool) {
  const auto add_row = [&](size_t token, const auto* from, auto&& widen) {
    float* const to = sums_.data() + token * stride + row_block * spec_.n;
    if (is_first) {
      for (size_t n = 0; n < spec_.n; ++n) to[n] = widen(from[n]);
    } else {
      for (size_t n = 0; n < spec_.n; ++n) to[n] += widen(from[n]);
    }
  };
  pool.parallel_for(tokens, [&](size_t token, unsigned) {
    const size_t first = token * spec_.n;
    if (spec_.output_is_bf16) {
      add_row(token, reinterpret_cast<const uint16_t*>(products.data()) + first, bf16_to_f32);
    } else {
      add_row(token, reinterpret_cast<const float*>(products.data()) + first, [](float value) { return value; });
    }
  });
}

/// A run for each block, and meanwhile what the one before gave is added up.
Result<void> NpuMultiplier::multiply_blocks(const NpuWeights& weights, size_t tokens, size_t stride, ThreadPool& pool) {
  const size_t columns = column_blocks(weights.cols);
  const auto add_up_block = [&](size_t block) {
    add_up(products_[block % 2], tokens, block / columns, block % columns == 0, stride, pool);
  };
  for (size_t block = 0; block < weights.blocks.size(); ++block) {
    auto run = runtime_.start(kernel_, activations_[block % columns], weights.blocks[block], products_[block % 2]);
    if (block > 0) add_up_block(block - 1);
    if (auto ran = runtime_.wait(run); !ran) return ran;
  }
  add_up_block(weights.blocks.size() - 1);
  return {};
}

Result<void> NpuMultiplier::multiply(const NpuWeights& weights, const float* in, size_t tokens, ThreadPool& pool,
                                     const cpu::TakeProducts& take) {
  if (auto made = make_room(weights.cols); !made) return made;
  const size_t stride = row_blocks(weights.rows) * spec_.n;
  sums_.resize(std::max(sums_.size(), spec_.m * stride));
  for (size_t first = 0; first < tokens; first += spec_.m) {
    const size_t count = std::min<size_t>(spec_.m, tokens - first);
    if (auto sent = send_activations(in + first * weights.cols, count, weights.cols, pool); !sent) return sent;
    if (auto done = multiply_blocks(weights, count, stride, pool); !done) return done;
    take(first, count, sums_.data(), stride);
  }
  return {};
}

}  // namespace hearth
