#include <fmt/format.h>

#include <bit>
#include <cstdio>
#include <fstream>

#include "app/commands.h"
#include "app/model_argument.h"
#include "app/open_model.h"
#include "model/evaluate.h"

namespace hearth::app {
namespace {

struct Options {
  std::string model;
  DeviceOptions device;
  std::vector<int32_t> ids;
  std::string ids_file;
  std::string out;
  LayerCut cut;
};

/// The header of a version 1.0 .npy file: little-endian float32 [rows, cols], padded so that data begins at 64 n.
std::string npy_header(size_t rows, size_t cols) {
  std::string header = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  constexpr size_t kPrefix = 10;
  while ((kPrefix + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string prefix("\x93NUMPY\x01\x00", 8);
  prefix += static_cast<char>(header.size() & 0xff);
  prefix += static_cast<char>(header.size() >> 8);
  return prefix + header;
}

Result<std::vector<int32_t>> read_ids(const Options& options) {
  if (options.ids_file.empty()) return options.ids;
  std::ifstream file(options.ids_file);
  if (!file) return fail(ErrorCode::not_found, fmt::format("{}: cannot be read", options.ids_file));
  std::vector<int32_t> ids;
  for (int32_t id = 0; file >> id;) ids.push_back(id);
  if (!file.eof()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: what follows id number {} is not a token id", options.ids_file, ids.size()));
  }
  return ids;
}

Result<void> run(const Options& options) {
  const auto ids = read_ids(options);
  if (!ids) return std::unexpected(ids.error());
  if (ids->empty()) return fail(ErrorCode::invalid_argument, "no token ids", "give --ids 1,2,3 or --ids-file F");
  constexpr uint32_t kChunk = 128;
  const auto tokens = static_cast<uint32_t>(ids->size());
  const auto model = find_model(options.model, std::chrono::seconds(options.device.load_timeout_s));
  if (!model) return std::unexpected(model.error());
  auto opened = open_model(model->path, options.device, {.cut = options.cut},
                           {.context_tokens = tokens, .limits = {.tokens = kChunk, .logit_rows = kChunk}});
  if (!opened) return pass_on(opened);
  auto sequence = SingleSequence::create(*opened->model, tokens, kChunk);
  if (!sequence) return pass_on(sequence);

  // Written as they come: all logits of a long text are larger than the model.
  static_assert(std::endian::native == std::endian::little);
  std::ofstream out(options.out, std::ios::binary);
  out << npy_header(ids->size(), opened->model->config().vocabulary);
  const auto ran = sequence->append(*ids, [&](size_t, std::span<const float> logits) {
    out.write(reinterpret_cast<const char*>(logits.data()), static_cast<std::streamsize>(logits.size_bytes()));
  });
  if (!ran) return ran;
  if (!out.flush()) return fail(ErrorCode::io, fmt::format("{}: cannot be written", options.out));
  return {};
}

}  // namespace

void add_logits(CLI::App& app, Command& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("logits", "Write the logits of a list of token ids, float32 [tokens, vocabulary]");
  add_model_argument(*command, options->model);
  command->add_option("--ids", options->ids, "token ids, separated by commas")->delimiter(',');
  command->add_option("--ids-file", options->ids_file, "a file of token ids, separated by spaces or lines");
  command->add_option("--out", options->out, "the .npy file to write")->required();
  add_device_options(*command, options->device);
  add_cut_options(*command, options->cut);
  command->footer("Example: hearth logits model.gguf --ids 1,2,3 --out logits.npy");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace hearth::app
