#pragma once

/// For functions of vectors: they must become part of the kernel that uses them.
#define HEARTH_INLINE [[gnu::always_inline]] static inline
