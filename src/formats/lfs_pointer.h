#pragma once

#include "base/file.h"
#include "base/result.h"

namespace hearth {

/// Fails for a file that is only Git LFS's pointer to the one meant
/// (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md): what a clone without LFS leaves. Errors: not_found,
/// with what to do; io.
Result<void> refuse_lfs_pointer(const File& file);

}  // namespace hearth
