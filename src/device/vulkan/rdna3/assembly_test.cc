#include "device/vulkan/rdna3/assembly.h"

#include <gtest/gtest.h>

namespace hearth::vulkan {
namespace {

TEST(WorkOf, CountsWhatAnInstructionDoes) {
  EXPECT_EQ(work_of("v_dot4_i32_iu8 v8, v8, v28, 0 neg_lo:[1,1,0]   ; cc164008", 32).dot_macs, 128);
  EXPECT_EQ(work_of("v_dot4_i32_iu8 v8, v8, v28, 0", 32).vector_cycles, 1);
  EXPECT_EQ(work_of("v_dot4_i32_iu8 v8, v8, v28, 0", 64).vector_cycles, 2);
  EXPECT_EQ(work_of("v_fmac_f32_e32 v1, v52, v37", 64).vector_cycles, 1);
  EXPECT_EQ(work_of("v_dual_fmac_f32 v1, v33, v50 :: v_dual_fmac_f32 v2, v6, v33", 32).float_macs, 64);
  EXPECT_EQ(work_of("v_dual_fmac_f32 v2, v53, v41 :: v_dual_and_b32 v23, s22, v23", 32).float_macs, 32);
  EXPECT_EQ(work_of("v_wmma_i32_16x16x16_iu8 v[0:7], v[8:11], v[12:15], v[0:7]", 32).vector_cycles, 32);
  EXPECT_EQ(work_of("v_wmma_i32_16x16x16_iu8 v[0:7], v[8:11], v[12:15], v[0:7]", 32).dot_macs, 4096);
  EXPECT_EQ(work_of("v_lshlrev_b64 v[6:7], 3, v[6:7]", 32).vector_cycles, 2);
  EXPECT_EQ(work_of("v_exp_f32_e32 v1, v2", 32).special_cycles, 4);
  EXPECT_EQ(work_of("global_load_b128 v[8:11], v[8:9], off", 32).loaded_bytes, 512);
  EXPECT_EQ(work_of("ds_load_2addr_b64 v[8:11], v1 offset1:1", 32).shared_bytes, 512);
  EXPECT_EQ(work_of("s_waitcnt vmcnt(7)", 32).vector_cycles, 0);
}

TEST(WorkOf, ReadsMesasOwnNotation) {
  EXPECT_EQ(work_of(" v4: %5:v[8-11] = global_load_dwordx4 %50:v[8-9],  s1: undef storage:buffer", 32).loaded_bytes,
            512);
  EXPECT_EQ(work_of(" v1: %1:v[2] = v_dot4_i32_iu8 %2:v[38], %3:v[24], 0", 32).dot_macs, 128);
  EXPECT_EQ(
      work_of(" v1: %1:v[2] = v_dual_fmac_f32 %2:v[5], %3:v[4], %4:v[2] :: v1: %5:v[3] = v_dual_fmac_f32 %6:v[1]", 32)
          .float_macs,
      64);
  EXPECT_EQ(work_of("global_store_dword %518:v[1], %244:s[8-9], %234:v[0] storage:buffer", 32).instructions, 1);
}

/// A loop with one inside that multiplies, another that does not, and code around.
constexpr const char* kNest =
    "BB0:\n"
    "\tv_mov_b32_e32 v1, 0\n"
    "BB1:\n"
    "\tglobal_load_b128 v[8:11], v[8:9], off\n"
    "BB2:\n"
    "\tds_store_b32 v1, v2\n"
    "\ts_cbranch_scc1 BB2   ; bfa20001\n"
    "BB3:\n"
    "\tv_dot4_i32_iu8 v8, v8, v28, 0\n"
    "\ts_cbranch_scc0 BB3   ; bfa10001\n"
    "\ts_cbranch_scc0 BB1   ; bfa10001\n"
    "BB4:\n"
    "\tv_add_f32_e32 v1, v2, v3\n"
    "\ts_endpgm\n";

TEST(Assembly, FindsLoops) {
  const Assembly assembly(kNest, 32);
  ASSERT_EQ(assembly.loops().size(), 3U);
  EXPECT_EQ(assembly.once().vector_instructions, 3);
  EXPECT_EQ(assembly.once().instructions, 9);
}

TEST(Assembly, FindsLoopsInMesasOwnNotation) {
  const Assembly assembly(
      "After lowering to hw instructions:\n"
      "BB0\n"
      "/* logical preds: / linear preds: / kind: uniform, */\n"
      "\t v1: %1:v[1] = v_mov_b32 0\n"
      "BB12\n"
      "\t v1: %1:v[2] = v_dot4_i32_iu8 %2:v[38], %3:v[24], 0\n"
      "\ts_branch block:BB12\n",
      32);
  ASSERT_EQ(assembly.loops().size(), 1U);
  EXPECT_EQ(assembly.split().trip.dots, 1U);
  EXPECT_EQ(assembly.split().outside.vector_instructions, 1);
}

TEST(Assembly, WeighsTheLoopThatMultiplies) {
  const Assembly::Split split = Assembly(kNest, 32).split(4);
  EXPECT_EQ(split.trip.dot_macs, 4 * 128);
  EXPECT_EQ(split.trip.shared_bytes, 128);
  EXPECT_EQ(split.trip.loaded_bytes, 512);
  EXPECT_EQ(split.trip.vector_cycles, 4);
  EXPECT_EQ(split.outside.vector_cycles, 2);
}

}  // namespace
}  // namespace hearth::vulkan
