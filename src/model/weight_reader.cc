#include "model/weight_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "base/reading/read_queue.h"
#include "base/thread_pool.h"
#include "base/usable_cores.h"
#include "model/piece_rows.h"
#include "model/read_plan.h"

namespace hearth {
namespace {

constexpr uint64_t kReadBytes = 4U << 20;

/// Half of them on their way, half waiting for a thread: 64 MiB. Each packing thread has a buffer besides.
constexpr uint32_t kBuffers = 16;

/// With more threads the memory is the limit, and all buffers together take at most 192 MiB.
constexpr unsigned kMostPackingThreads = 32;

unsigned packing_threads() { return std::min(usable_cores(), kMostPackingThreads); }

/// What of the checkpoint becomes a part of the matrix.
uint64_t used_bytes(const WeightPiece& piece) {
  const WeightPlan::Source& source = *piece.source;
  uint64_t row = piece.row_bytes;
  if (source.transposed) row = row * source.transposed->count / static_cast<uint64_t>(source.tensor.shape.back());
  return row * piece.rows;
}

/// A piece that comes in several reads.
struct Assembly {
  std::vector<std::byte> bytes;
  uint32_t missing_shares = 0;
};

class WeightReader {
 public:
  WeightReader(ReadPlan plan, Device& device, int layers, ProgressSink& progress)
      : plan_(std::move(plan)), device_(device), sink_(progress) {
    progress_.stage = "read";
    progress_.layer = 0;
    progress_.layers = layers;
    missing_of_layer_.resize(static_cast<size_t>(layers));
    assemblies_.resize(plan_.pieces.size());
    for (size_t i = 0; i < plan_.pieces.size(); ++i) {
      const WeightPiece& piece = plan_.pieces[i];
      progress_.total_bytes += used_bytes(piece);
      ++missing_of_layer_[static_cast<size_t>(piece.source->layer)];
      assemblies_[i].missing_shares = piece.shares;
    }
  }

  Result<void> read(ReadQueue& queue, const std::stop_token& stop) {
    sink_.report(progress_);
    const std::stop_callback stop_all(stop, [this] { stop_.request_stop(); });
    for (size_t i = 0; i < plan_.reads.size(); ++i) {
      const uint64_t number = queue.submit(plan_.reads[i].range);
      if (i == 0) first_number_ = number;
    }
    ThreadPool pool(packing_threads());
    pool.parallel_for(pool.threads(), [&](size_t, unsigned) { take_all(queue); });
    if (error_) return std::unexpected(*error_);
    return {};
  }

 private:
  void take_all(ReadQueue& queue) {
    while (true) {
      auto read = queue.next(stop_.get_token());
      if (!read) return note_error(read.error());
      if (!*read) return;
      for (const PieceShare& share : plan_.reads[(*read)->number() - first_number_].shares) {
        if (auto taken = take(share, (*read)->bytes().subspan(share.in_read, share.bytes)); !taken) {
          return note_error(taken.error());
        }
      }
    }
  }

  Result<void> take(const PieceShare& share, std::span<const std::byte> bytes) {
    const WeightPiece& piece = plan_.pieces[share.piece];
    if (piece.shares == 1) return write(piece, bytes);
    Assembly& assembly = assemblies_[share.piece];
    {
      const std::scoped_lock lock(mutex_);
      assembly.bytes.resize(piece.bytes);
    }
    std::memcpy(assembly.bytes.data() + share.in_piece, bytes.data(), bytes.size());
    {
      const std::scoped_lock lock(mutex_);
      if (--assembly.missing_shares > 0) return {};
    }
    const std::vector<std::byte> whole = std::move(assembly.bytes);
    return write(piece, whole);
  }

  Result<void> write(const WeightPiece& piece, std::span<const std::byte> bytes) {
    const WeightPlan::Source& source = *piece.source;
    std::vector<std::byte> scratch;
    for (uint32_t first = 0, count = rows_at_once(piece); first < piece.rows; first += count) {
      count = std::min(count, piece.rows - first);
      auto rows = rows_of(piece, first, count, bytes, scratch);
      if (!rows) return pass_on(rows);
      auto wrote = device_.write_rows(source.matrix, source.part, piece.first_row + first, *rows);
      if (!wrote) return wrote;
    }
    const std::scoped_lock lock(mutex_);
    progress_.done_bytes += used_bytes(piece);
    --missing_of_layer_[static_cast<size_t>(source.layer)];
    while (progress_.layer + 1 < progress_.layers && missing_of_layer_[static_cast<size_t>(progress_.layer)] == 0) {
      ++progress_.layer;
    }
    sink_.report(progress_);
    return {};
  }

  void note_error(Error error) {
    const std::scoped_lock lock(mutex_);
    if (error.code == ErrorCode::cancelled) error.message = "loading was cancelled";
    if (error.code == ErrorCode::timed_out) {
      error.message +=
          fmt::format(" (stage {}, {} of {} layers are whole)", progress_.stage, progress_.layer, progress_.layers);
    }
    // The first one: who is stopped by it is cancelled later.
    if (!error_) error_ = std::move(error);
    stop_.request_stop();
  }

  const ReadPlan plan_;
  Device& device_;
  ProgressSink& sink_;
  uint64_t first_number_ = 0;  ///< the queue's, of the first read
  std::stop_source stop_;      ///< for the threads that write
  std::mutex mutex_;           // guards what follows, but for an assembly's bytes that shares fill
  std::vector<Assembly> assemblies_;
  std::vector<uint32_t> missing_of_layer_;  ///< pieces
  Progress progress_;
  std::optional<Error> error_;
};

Result<ReadWay> chosen_way(bool keep_cached) {
  const char* name = std::getenv("HEARTH_LOAD_READS");
  if (name == nullptr) return keep_cached ? ReadWay::cached : ReadWay::automatic;
  for (const ReadWay way : {ReadWay::automatic, ReadWay::ring, ReadWay::threads, ReadWay::buffered, ReadWay::cached}) {
    if (name == name_of(way)) return way;
  }
  return fail(ErrorCode::invalid_argument, fmt::format("HEARTH_LOAD_READS={} is no way to read", name),
              "it is auto, ring, threads, buffered or cached");
}

/// Of all its bytes, part by part where it is coded.
std::vector<FileRange> ranges_of(const TensorInfo& tensor) {
  if (tensor.coding == nullptr) return {{.file = tensor.file, .offset = tensor.offset, .bytes = tensor.bytes}};
  std::vector<FileRange> ranges;
  for (const StoredPart& part : tensor.coding->parts()) {
    ranges.push_back({.file = part.file, .offset = part.offset, .bytes = part.bytes});
  }
  return ranges;
}

}  // namespace

Result<std::unique_ptr<ReadQueue>> open_read_queue(const Checkpoint& checkpoint, const ReadOptions& options) {
  const auto way = chosen_way(options.keep_cached);
  if (!way) return std::unexpected(way.error());
  std::vector<const File*> files;
  for (uint32_t i = 0; i < checkpoint.file_count(); ++i) files.push_back(&checkpoint.file(i));
  return ReadQueue::open(files, {.most_bytes = kReadBytes,
                                 .buffers = kBuffers + packing_threads(),
                                 .stall_limit = options.stall_limit,
                                 .way = *way});
}

Result<TensorBytes> read_tensors(ReadQueue& queue, std::span<const TensorInfo> tensors, const std::stop_token& stop) {
  TensorBytes result;
  std::map<uint64_t, std::span<std::byte>> targets;  // by the read's number
  for (const TensorInfo& tensor : tensors) {
    std::vector<std::byte>& bytes = result[tensor.name];
    if (!bytes.empty()) continue;  // named twice
    bytes.resize(tensor.bytes);
    std::span<std::byte> rest = bytes;
    for (const FileRange& range : ranges_of(tensor)) {
      for (uint64_t at = 0; at < range.bytes; at += kReadBytes) {
        const auto target = rest.first(std::min(kReadBytes, range.bytes - at));
        targets[queue.submit({.file = range.file, .offset = range.offset + at, .bytes = target.size()})] = target;
        rest = rest.subspan(target.size());
      }
    }
  }
  for (;;) {
    auto read = queue.next(stop);
    if (!read) return pass_on(read);
    if (!*read) return result;
    std::ranges::copy((*read)->bytes(), targets.at((*read)->number()).begin());
  }
}

Result<void> read_weights(const Checkpoint& checkpoint, ReadQueue& queue, std::span<const WeightPlan::Source> sources,
                          Device& device, int layers, ProgressSink& progress, const std::stop_token& stop) {
  WeightReader reader(plan_reads(sources, kReadBytes), device, layers, progress);
  if (auto read = reader.read(queue, stop); !read) return read;
  for (uint32_t i = 0; i < checkpoint.file_count(); ++i) {
    if (auto same = checkpoint.file(i).check_unchanged(); !same) return same;
  }
  return {};
}

}  // namespace hearth
