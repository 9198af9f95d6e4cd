#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "device/operation.h"

namespace hearth {

/// The tensors that an operation touches, each once for each way, in the order of its `uses`. One that is changed is
/// read and written.
struct TouchedTensors {
  std::vector<TensorId> read, written;
};
inline TouchedTensors touched_tensors(const Operation& operation) {
  TouchedTensors touched;
  visit_uses(operation,
             Overloaded{[&](Reads use) { touched.read.push_back(use.tensor); },
                        [&](Writes use) { touched.written.push_back(use.tensor); },
                        [&](Updates use) {
                          touched.read.push_back(use.tensor);
                          touched.written.push_back(use.tensor);
                        },
                        [&](OneOf<Multiplies, MultipliesChosen> auto use) { touched.read.push_back(use.in); },
                        [](OneOf<LooksUp, NeedsVector, WritesCache, ReadsCache, UpdatesState> auto) {}});
  return touched;
}

/// A product with a matrix of weights: what an operation multiplies, and where the result goes.
struct Product {
  TensorId in;
  MatrixId matrix;
  TensorId out;
};
/// Nothing where an operation multiplies with no whole matrix.
inline std::optional<Product> product_of(const Operation& operation) {
  std::optional<Product> product;
  visit_uses(operation, Overloaded{[&](Multiplies use) { product = {.in = use.in, .matrix = use.matrix, .out = {}}; },
                                   [&](Writes use) {
                                     if (product) product->out = use.tensor;
                                   },
                                   [](OneOf<Reads, Updates, MultipliesChosen, LooksUp, NeedsVector, WritesCache,
                                            ReadsCache, UpdatesState> auto) {}});
  return product;
}

/// The matrices of weights that an operation reads.
inline std::vector<MatrixId> matrices_of(const Operation& operation) {
  std::vector<MatrixId> matrices;
  visit_uses(operation,
             Overloaded{[&](OneOf<Multiplies, MultipliesChosen> auto use) { matrices.push_back(use.matrix); },
                        [&](LooksUp use) { matrices.push_back(use.table); },
                        [](OneOf<Reads, Writes, Updates, NeedsVector, WritesCache, ReadsCache, UpdatesState> auto) {}});
  return matrices;
}

/// Whether an operation's rows are those of tokens or of logits. SelectRows belongs to those that it writes.
inline Rows rows_of(const Recording& recording, const Operation& operation) {
  const TouchedTensors touched = touched_tensors(operation);
  const TensorId tensor = touched.written.empty() ? touched.read.front() : touched.written.back();
  return recording.tensors[tensor.index].rows;
}

/// What an operation is called: "linear", "gate_up".
inline std::string_view operation_name(const Operation& operation) {
  return std::visit([](const auto& op) { return op.kName; }, operation);
}

}  // namespace hearth
