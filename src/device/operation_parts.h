#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

// What operations are made of (operation.h).
namespace hearth {

/// How many rows an activation tensor has in a step.
enum class Rows : uint8_t {
  tokens,  ///< one row for each token of the batch
  logits,  ///< one row for each token whose logits were asked for
};

/// An activation tensor of a recording: float32 [rows, width], row-major.
struct ActivationSpec {
  std::string name;
  Rows rows = Rows::tokens;
  uint32_t width = 0;
};

/// Index into Recording::tensors.
struct TensorId {
  uint32_t index = 0;
};
/// A weight matrix that the device holds (Device::declare_matrix).
struct MatrixId {
  uint32_t index = 0;
};
/// A float32 vector that the device holds, such as a norm's weight or a bias (Device::upload_vector).
struct VectorId {
  uint32_t index = 0;
};
/// What a layer remembers, which the device holds (CacheSpec::layers).
struct CacheLayerId {
  uint32_t index = 0;
};
/// Index into Recording::ropes.
struct RopeId {
  uint32_t index = 0;
};

/// silu(x) = x / (1 + e^-x); gelu(x) = x / 2 (1 + erf(x / sqrt 2)); gelu_tanh(x) = x / 2 (1 + tanh(sqrt(2 / pi) (x +
/// 0.044715 x^3))) and quick_gelu(x) = x / (1 + e^(-1.702 x)), which approximate it (arXiv 1606.08415); relu(x) =
/// max(x, 0), and its square (arXiv 2109.08668); xielu is x (positive * x + linear) above 0, else negative * (e^min(x,
/// bound) - 1 - x) + linear * x (arXiv 2411.13010); sigmoid(x) = 1 / (1 + e^-x).
enum class Activation : uint8_t { silu, gelu, gelu_tanh, quick_gelu, relu, relu_squared, xielu, sigmoid };

/// The numbers of Activation::xielu.
struct Xielu {
  float positive = 0.8F, negative = 0.8F, linear = 0.5F, bound = -1e-6F;
};

// Each operation says once, in `uses`, what it reads, writes and needs of the device: it calls `use` with one of the
// following for every field that names something, what is read before what is written. All who ask take it from there
// (visit_uses, device/operation_uses.h): what lives how long, what crosses from device to device, which matrices are
// multiplied. Where a device has to answer for each operation, it visits them one by one, without a default, so that an
// operation that is new does not compile until everybody has answered.

/// Rows of a tensor are read as they are.
struct Reads {
  TensorId& tensor;
};
/// Rows of a tensor are written, whatever was there.
struct Writes {
  TensorId& tensor;
};
/// Rows of a tensor are read and changed.
struct Updates {
  TensorId& tensor;
};
/// Rows of `in` meet all rows of `matrix`: in * matrix^T.
struct Multiplies {
  TensorId& in;
  MatrixId& matrix;
};
/// Rows of `in` meet those rows of `matrix` that belong to the `chosen` of `experts` that each is routed to.
struct MultipliesChosen {
  TensorId& in;
  MatrixId& matrix;
  uint32_t chosen, experts;
};
/// One row of a matrix is read for each token.
struct LooksUp {
  MatrixId& table;
};
struct NeedsVector {
  VectorId& vector;
};
/// K and V of the step's tokens are written, or those of all that its tokens see are read.
struct WritesCache {
  CacheLayerId& layer;
};
struct ReadsCache {
  CacheLayerId& layer;
};
/// The state of a recurrent layer before the step's tokens is read, and that after them is written.
struct UpdatesState {
  CacheLayerId& layer;
};

/// One of several operations: for answers that are the same for each of them.
template <class T, class... Of>
concept OneOf = (std::same_as<T, Of> || ...);

/// A visitor made of lambdas.
template <class... Lambdas>
struct Overloaded : Lambdas... {
  using Lambdas::operator()...;
};

}  // namespace hearth
