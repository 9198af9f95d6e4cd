// Extensions, the specialisation constants that every shader has, and where a thread stands.
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_integer_dot_product : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_clustered : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_KHR_memory_scope_semantics : require
#pragma use_vulkan_memory_model

#include "layout.h"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint THREADS = 128;
layout(constant_id = 1) const uint SUBGROUP = 32;

// The specification promises no relation between gl_LocalInvocationIndex and the lane, so threads are numbered by lane.
uint thread_index() { return gl_SubgroupID * SUBGROUP + gl_SubgroupInvocationID; }
