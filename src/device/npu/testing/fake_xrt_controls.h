#pragma once

#include <atomic>
#include <cstdint>

namespace hearth {

/// What the fake XRT library is to do, and what it has seen. One object in the library, found by the name
/// "hearth_fake_xrt_controls". A kernel multiplies as its xclbin file says, in text: "m k n f32|bf16 row|column".
struct FakeXrtControls {
  enum class Fault : int {
    none,
    wait_never_returns,  ///< until it is something else
    run_times_out,       ///< XRT's own answer
    run_fails,           ///< ends in the state ERT_CMD_STATE_ERROR
    start_throws,
    open_throws,
    open_never_returns,  ///< likewise
    allocation_throws,
    one_value_is_wrong,  ///< the last one of C
    keeps_old_sums,      ///< adds to what C held
    computes_nothing,    ///< at once, and leaves C as it is
  };
  std::atomic<Fault> fault = Fault::none;
  std::atomic<int> faultless_runs = 0;  ///< before it begins
  std::atomic<int> runs = 0;            ///< that were started
  std::atomic<int64_t> objects = 0;     ///< alive now
  std::atomic<int64_t> buffer_bytes = 0;
};

}  // namespace hearth
