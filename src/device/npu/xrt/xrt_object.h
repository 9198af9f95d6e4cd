#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace hearth {

/// An object of XRT's C++ API, in place. Those that hearth uses hold a std::shared_ptr to what the library keeps and
/// nothing else (XRT's xrt/detail/pimpl.h, and the private members of xrt::device, xrt::bo, xrt::kernel and xrt::run).
class XrtObject {
 public:
  XrtObject() = default;
  ~XrtObject() {
    if (destroy_ != nullptr) destroy_(memory_);
  }
  XrtObject(const XrtObject&) = delete;
  XrtObject& operator=(const XrtObject&) = delete;

  /// `construct(memory)` is one of XrtFunctions' constructors. What it throws leaves the object empty.
  template <class Construct>
  void make(Construct construct, void (*destroy)(void*)) {
    construct(static_cast<void*>(memory_));
    destroy_ = destroy;
  }

  /// For classes whose destructor is implicit, so that the library has none to call.
  static void destroy_implicitly(void* object) { std::destroy_at(std::launder(static_cast<Handle*>(object))); }

  void* get() { return memory_; }

 private:
  using Handle = std::shared_ptr<void>;

  alignas(Handle) std::byte memory_[sizeof(Handle)];
  void (*destroy_)(void*) = nullptr;
};

}  // namespace hearth
