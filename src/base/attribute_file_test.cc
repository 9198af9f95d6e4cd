#include "base/attribute_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/testing/temporary_tree.h"

namespace hearth {
namespace {

TEST(AttributeFile, GivesTheFirstLineWithoutBlanks) {
  const TemporaryTree tree;
  tree.write("a", "  RyzenAI-npu1 \t\nsecond\n");
  EXPECT_EQ(read_attribute(tree.root() / "a"), "RyzenAI-npu1");
}

TEST(AttributeFile, WhatCannotBeReadIsNothing) {
  const TemporaryTree tree;
  tree.write("empty", "");
  tree.write("blank", " \n\nx");
  ASSERT_EQ(::mkfifo((tree.root() / "pipe").c_str(), 0600), 0);  // nobody will ever write to it
  for (const char* name : {"missing", "empty", "blank", "pipe", "."}) {
    EXPECT_FALSE(read_attribute(tree.root() / name)) << name;
    EXPECT_FALSE(read_number_attribute(tree.root() / name)) << name;
  }
}

TEST(AttributeFile, GarbageStaysOneShortLine) {
  const TemporaryTree tree;
  tree.write("garbage", std::string("\x1b[2J\xff", 5) + std::string(10'000, 'x'));
  const auto text = read_attribute(tree.root() / "garbage");
  ASSERT_TRUE(text);
  EXPECT_LT(text->size(), 200U);
  EXPECT_EQ(text->find('\x1b'), text->npos);
}

TEST(AttributeFile, NumbersAreWholeLines) {
  EXPECT_EQ(whole_number("17179869184"), 17179869184U);
  EXPECT_EQ(whole_number("0x0022"), 0x22U);
  for (const char* text : {"", "0x", "-1", "12 kB", "1.5", "99999999999999999999", "0xg"}) {
    EXPECT_FALSE(whole_number(text)) << text;
  }
}

TEST(AttributeFile, FoldersAreListedInOrder) {
  const TemporaryTree tree;
  tree.write("f/b", "");
  tree.write("f/a", "");
  const auto entries = folder_entries(tree.root() / "f");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].filename(), "a");
  EXPECT_TRUE(folder_entries(tree.root() / "none").empty());
}

}  // namespace
}  // namespace hearth
