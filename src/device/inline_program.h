#pragma once

#include <optional>
#include <utility>

#include "device/device.h"

namespace hearth {

/// A program without a device beside the host: the thread that waits for a step computes it.
class InlineProgram : public Program {
 public:
  Result<void> submit(const StepInput& input) final {
    if (input_) return fail(ErrorCode::internal, "a step was submitted while another is in flight");
    input_ = input;
    return {};
  }

  Result<StepOutput> wait() final {
    if (!input_) return fail(ErrorCode::internal, "no step is in flight");
    return compute(*std::exchange(input_, std::nullopt));
  }

 protected:
  virtual Result<StepOutput> compute(const StepInput& input) = 0;

 private:
  std::optional<StepInput> input_;
};

}  // namespace hearth
