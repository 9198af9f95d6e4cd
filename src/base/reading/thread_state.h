#pragma once

#include <sys/types.h>

#include <string>

namespace hearth {

/// Where in the kernel a thread of this process waits, as far as this process may read it: "in folio_wait_bit_common
/// (system call 17)", and the stack below where root asks. Empty where nothing is readable.
std::string kernel_view(pid_t thread);

}  // namespace hearth
