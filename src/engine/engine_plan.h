#pragma once

#include <cstdint>

#include "base/result.h"
#include "engine/cache/cache_plan.h"
#include "engine/engine.h"
#include "model/model.h"

namespace hearth {

/// What an engine makes of its options, and will allocate beside a model's weights.
struct EnginePlan {
  EngineOptions options;  ///< nothing is 0
  ProgramLimits limits;
  CachePlan cache;
  uint64_t activation_bytes = 0;
  uint64_t staging_bytes = 0;
};

/// By the memories of the model's device as they are now, which need not hold its weights yet. Errors: as plan_cache.
Result<EnginePlan> plan_engine(const Model& model, const EngineOptions& options);

}  // namespace hearth
