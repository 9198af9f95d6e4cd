#include "device/vulkan/recording/handover.h"

#include <cstring>

namespace hearth::vulkan {
namespace {

uint64_t bytes_of_rows(const ActivationSpec& tensor, uint32_t tokens, uint32_t logit_rows) {
  return uint64_t{tensor.rows == Rows::tokens ? tokens : logit_rows} * tensor.width * sizeof(float);
}

/// Where each tensor begins; the buffer is left out where there is none.
Result<std::vector<uint64_t>> lay_out(const Gpu& gpu, const Recording& recording, std::span<const TensorId> tensors,
                                      uint32_t token_rows, uint32_t logit_rows, Placement placement, Buffer& buffer) {
  std::vector<uint64_t> offsets;
  uint64_t end = 0;
  for (const TensorId tensor : tensors) {
    offsets.push_back(end);
    end += bytes_of_rows(recording.tensors[tensor.index], token_rows, logit_rows);
  }
  if (end == 0) return offsets;
  auto made = Buffer::create(gpu, end, placement, MemoryOwner::staging);
  if (!made) return pass_on(made);
  buffer = std::move(*made);
  return offsets;
}

}  // namespace

Result<void> Handover::create(const Gpu& gpu, const Recording& recording, uint32_t token_rows, uint32_t logit_rows) {
  auto in = lay_out(gpu, recording, recording.inputs, token_rows, logit_rows, Placement::device_mapped, in_);
  if (!in) return pass_on(in);
  auto out = lay_out(gpu, recording, recording.outputs, token_rows, logit_rows, Placement::host_cached, out_);
  if (!out) return pass_on(out);
  in_offsets_ = std::move(*in);
  out_offsets_ = std::move(*out);
  return {};
}

void Handover::write(const Recording& recording, const StepInput& input) {
  for (size_t i = 0; i < recording.inputs.size(); ++i) {
    std::memcpy(in_.mapped() + in_offsets_[i], input.activations[i].data(), input.activations[i].size_bytes());
  }
}

void Handover::record_inputs(const Recording& recording, const Bucket& bucket, const Activations& activations,
                             CommandRecorder& commands) const {
  std::vector<VkBufferCopy> regions;
  for (size_t i = 0; i < recording.inputs.size(); ++i) {
    const TensorId tensor = recording.inputs[i];
    const uint64_t bytes = bytes_of_rows(recording.tensors[tensor.index], bucket.tokens, bucket.logit_rows);
    if (bytes > 0) regions.push_back({in_offsets_[i], activations.place(tensor).floats, bytes});
  }
  if (!regions.empty()) commands.copy_from_host(in_.handle(), activations.buffer().handle(), regions);
}

void Handover::record_outputs(const Recording& recording, const Bucket& bucket, const Activations& activations,
                              CommandRecorder& commands) const {
  std::vector<VkBufferCopy> regions;
  for (size_t i = 0; i < recording.outputs.size(); ++i) {
    const TensorId tensor = recording.outputs[i];
    const uint64_t bytes = bytes_of_rows(recording.tensors[tensor.index], bucket.tokens, bucket.logit_rows);
    if (bytes > 0) regions.push_back({activations.place(tensor).floats, out_offsets_[i], bytes});
  }
  if (!regions.empty()) commands.copy_to_host(activations.buffer().handle(), out_.handle(), regions);
}

std::vector<std::span<const float>> Handover::read(const Recording& recording, uint32_t tokens,
                                                   uint32_t logit_rows) const {
  std::vector<std::span<const float>> rows;
  for (size_t i = 0; i < recording.outputs.size(); ++i) {
    const uint64_t bytes = bytes_of_rows(recording.tensors[recording.outputs[i].index], tokens, logit_rows);
    rows.emplace_back(reinterpret_cast<const float*>(out_.mapped() + out_offsets_[i]), bytes / sizeof(float));
  }
  return rows;
}

}  // namespace hearth::vulkan
