#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace hearth {

/// An object of XRT's C++ API, in place. Those that hearth uses hold a std::shared_ptr to what the library keeps and
/// nothing else (XRT's xrt/detail/pimpl.h, and the private members of xrt::device, xrt::bo, xrt::kernel and xrt::run).
/// To let go of it is all that their destructors do, which are implicit until XRT 2.17 and empty from then on.
class XrtObject {
 public:
  XrtObject() = default;
  ~XrtObject() {
    if (is_made_) std::destroy_at(std::launder(reinterpret_cast<Handle*>(memory_)));
  }
  XrtObject(const XrtObject&) = delete;
  XrtObject& operator=(const XrtObject&) = delete;

  /// `construct(memory)` is one of XrtFunctions' constructors. What it throws leaves the object empty.
  template <class Construct>
  void make(Construct construct) {
    construct(static_cast<void*>(memory_));
    is_made_ = true;
  }

  void* get() { return memory_; }

 private:
  using Handle = std::shared_ptr<void>;

  alignas(Handle) std::byte memory_[sizeof(Handle)];
  bool is_made_ = false;
};

}  // namespace hearth
