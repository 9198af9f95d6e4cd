// Operations that go value by value on the Vulkan device against the reference device.

#include "device/vulkan/testing/operations_fixture.h"

namespace hearth::vulkan {
namespace {

TEST_F(OperationsTest, ActivateTakesValueByValue) {
  for (const Activation activation : {Activation::silu, Activation::gelu, Activation::gelu_tanh, Activation::quick_gelu,
                                      Activation::relu, Activation::relu_squared, Activation::xielu}) {
    TestModel model(13);
    const TensorId in = model.input(416), activated = model.tensor(Rows::tokens, 416);
    const TensorId out = model.tensor(Rows::tokens, 77);
    const Xielu xielu = {.positive = 0.7F, .negative = 1.3F, .linear = 0.4F, .bound = -1e-6F};
    model.recording.operations.push_back(
        Activate{.in = in, .activation = activation, .xielu = xielu, .out = activated});
    model.recording.operations.push_back(
        Linear{.in = activated, .weight = model.matrix({{NumberFormat::q8_0, 77}}, 416), .out = out});
    model.result(out);
    compare_token_counts(model, kByteTolerance, fmt::format("activation {}", static_cast<int>(activation)), {1, 20});
  }
}

// One gate's error is the whole row's: Vulkan lets exp be off by 3 + 2 |x| units of its last place.
TEST_F(OperationsTest, GateTakesAPartOfARow) {
  for (const Activation activation : {Activation::sigmoid, Activation::gelu_tanh}) {
    for (const uint32_t gates : {96U, 1U}) {
      TestModel model(15);
      const TensorId in = model.input(416), source = model.input(128), gate = model.tensor(Rows::tokens, gates);
      const TensorId out = model.tensor(Rows::tokens, 96);
      model.recording.operations.push_back(
          Linear{.in = source, .weight = model.matrix({{NumberFormat::f32, gates}}, 128), .out = gate});
      model.recording.operations.push_back(
          Gate{.in = in, .first = 77, .gate = gate, .activation = activation, .out = out});
      model.result(out);
      compare_token_counts(model, 3 * kFloatTolerance, fmt::format("{} gates", gates), {1, 20});
    }
  }
}

}  // namespace
}  // namespace hearth::vulkan
