#include "app/downloads/model_name.h"

#include <gtest/gtest.h>

namespace hearth::app {
namespace {

TEST(ModelName, HasARepositoryARevisionAndAChoice) {
  const auto name = ModelName::parse("bartowski/gemma-3-27b-it-GGUF@refs/pr/1:Q4_K_M");
  ASSERT_TRUE(name);
  EXPECT_FALSE(name->tool);
  EXPECT_EQ(name->repository, "bartowski/gemma-3-27b-it-GGUF");
  EXPECT_EQ(name->parts(), 2U);
  EXPECT_EQ(name->revision, "refs/pr/1");
  EXPECT_EQ(name->choice, "Q4_K_M");
}

TEST(ModelName, AToolMayStandInFront) {
  const auto name = ModelName::parse("ollama:gemma3:27b");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->tool, Tool::ollama);
  EXPECT_EQ(name->text, "gemma3:27b");
  EXPECT_EQ(name->repository, "gemma3");
  EXPECT_EQ(name->choice, "27b");
  EXPECT_EQ(ModelName::parse("hf:org/name")->tool, Tool::hugging_face);
  EXPECT_EQ(ModelName::parse("lmstudio:org/name")->tool, Tool::lm_studio);
}

TEST(ModelName, WhatCouldLeadOutOfAFolderIsNoName) {
  for (const char* text : {"",     "/etc/passwd", "../x", "a/../b", "a/..",  "a//b",         "a/",     ".hidden",
                           "a/.b", "-a",          "a..b", "a\\b",   "a b",   "a/b/c/d",      "a@../x", "a@/x",
                           "a@",   "a@b/..",      "a:",   "hf:",    "hf:/x", "ollama:../x:y"}) {
    EXPECT_FALSE(ModelName::parse(text)) << text;
  }
  EXPECT_FALSE(ModelName::parse(std::string_view("a\0b", 3)));
  EXPECT_FALSE(ModelName::parse(std::string(97, 'a')));
}

}  // namespace
}  // namespace hearth::app
