// hearth's byte pairs against the tokenizers library's.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "text/test_data.h"
#include "text/tokenizer.h"

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;
using Ids = std::vector<uint32_t>;

/// A model of byte pairs in tokenizer.json.
struct Model {
  std::vector<std::string> tokens;  ///< by id
  Json merges = Json::array();
  Json rules = Json::object();  ///< the other fields

  /// The library is to read it where a token is said twice, which means the same as once.
  std::string json(bool says_a_token_twice) const {
    std::string vocabulary;
    if (says_a_token_twice) vocabulary = Json(tokens[0]).dump() + ": 0, ";
    for (size_t id = 0; id < tokens.size(); ++id) {
      vocabulary += (id == 0 ? "" : ", ") + Json(tokens[id]).dump() + ": " + std::to_string(id);
    }
    std::string fields;
    for (const auto& [name, value] : rules.items()) fields += Json(name).dump() + ": " + value.dump() + ", ";
    return R"({"decoder": {"type": "Fuse"}, "model": {"type": "BPE", )" + fields + R"("vocab": {)" + vocabulary +
           R"(}, "merges": )" + merges.dump() + "}}";
  }
};

Tokenizer read(const std::string& json) {
  Result<Tokenizer> tokenizer = Tokenizer::from_json(json);
  if (!tokenizer) throw std::runtime_error(to_string(tokenizer.error()));
  return std::move(*tokenizer);
}

class Random {
 public:
  explicit Random(uint32_t seed) : generator_(seed) {}
  size_t below(size_t count) { return std::uniform_int_distribution<size_t>(0, count - 1)(generator_); }
  bool coin() { return below(2) == 0; }
  template <class T>
  const T& of(const std::vector<T>& values) {
    return values[below(values.size())];
  }
  void shuffle(Json& values) { std::shuffle(values.begin(), values.end(), generator_); }

 private:
  std::mt19937 generator_;
};

const std::vector<std::string> kLetters = {"a", "b", "c", "\u00e9", "\u2581"};
const std::vector<std::string> kUnknown = {"z", "\u65e5", "\U0001F600"};

/// Merges of few letters in random order, so that they compete, with all that is to be said of other characters.
Model random_model(Random& random) {
  Model model{.tokens = kLetters};
  const bool spells_pairs = random.coin();
  const auto add_merge = [&](const std::string& left, const std::string& right) {
    model.merges.push_back(spells_pairs ? Json({left, right}) : Json(left + " " + right));
    if (std::ranges::find(model.tokens, left + right) == model.tokens.end()) model.tokens.push_back(left + right);
  };
  for (size_t i = random.below(40); i > 0; --i) {
    const std::string left = random.of(model.tokens);
    add_merge(left, random.of(model.tokens));
  }
  random.shuffle(model.merges);
  if (random.coin()) {
    model.tokens.push_back("<unk>");
    model.rules["unk_token"] = "<unk>";
  }
  // Now and then a byte is missing.
  const size_t missing_byte = random.below(512);
  for (size_t byte = 0; byte < 256; ++byte) {
    if (byte != missing_byte) model.tokens.push_back(fmt::format("<0x{:02X}>", byte));
  }
  for (const char* rule : {"fuse_unk", "byte_fallback", "ignore_merges"}) model.rules[rule] = random.coin();
  return model;
}

std::string random_text(Random& random) {
  std::string text;
  for (size_t i = random.below(24); i > 0; --i)
    text += random.below(6) == 0 ? random.of(kUnknown) : random.of(kLetters);
  return text;
}

TEST(BytePairs, EqualTheLibrarysOnRandomModels) {
  Random random(1);
  for (int round = 0; round < 100; ++round) {
    const Model model = random_model(random);
    const Tokenizer own = read(model.json(false));
    const Tokenizer library = read(model.json(true));
    ASSERT_FALSE(own.is_of_library());
    ASSERT_TRUE(library.is_of_library());
    for (int i = 0; i < 50; ++i) {
      const std::string text = random_text(random);
      const Result<Ids> ids = own.encode(text);
      ASSERT_TRUE(ids) << to_string(ids.error());
      EXPECT_EQ(*ids, *library.encode(text)) << text << " with " << model.json(false);
    }
    for (uint32_t id = 0; id < model.tokens.size(); ++id) {
      EXPECT_EQ(own.token_bytes(id), library.token_bytes(id));
      EXPECT_EQ(own.id_of(model.tokens[id]), id);
    }
    EXPECT_EQ(own.vocabulary_size(), library.vocabulary_size());
    EXPECT_EQ(own.id_of("no such token"), std::nullopt);
  }
}

TEST(BytePairs, EqualTheLibrarysOnARealModel) {
  std::string json = test::tokenizer_file("llama3", "tokenizer.json");
  const Tokenizer own = read(json);
  ASSERT_FALSE(own.is_of_library());
  const size_t first = json.find('{', json.find("\"vocab\"")) + 1;
  const size_t comma = json.find(',', json.find("\":", first));
  json.insert(first, json.substr(first, comma + 1 - first));
  const Tokenizer library = read(json);
  ASSERT_TRUE(library.is_of_library());
  const std::string text = test::read_file(source_folder() / "docs/serving.md") +
                           test::read_file(source_folder() / "src/text/rust/src/pre_tokenizers.rs");
  EXPECT_EQ(*own.encode(text), *library.encode(text));
}

TEST(BytePairs, OfATokenizerJsonInAnyOrderOfItsParts) {
  const Tokenizer tokenizer = read(
      R"({"model": {"merges": ["a b"], "dropout": null, "end_of_word_suffix": "", "vocab": {"b": 2, "a": 0, "ab": 1}},
          "decoder": {"type": "Fuse"}})");
  EXPECT_FALSE(tokenizer.is_of_library());
  EXPECT_EQ(*tokenizer.encode("abba"), (Ids{1, 2, 0}));
}

TEST(BytePairs, WhatTheyDoNotDoIsTheLibrarys) {
  Model marked{.tokens = {"a", "##b", "ab"}, .merges = {"a ##b"}, .rules = {{"continuing_subword_prefix", "##"}}};
  const Tokenizer tokenizer = read(marked.json(false));
  EXPECT_TRUE(tokenizer.is_of_library());
  EXPECT_EQ(*tokenizer.encode("ab"), Ids{2});
  const Tokenizer unigram = read(
      R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0], ["aa", -1.5]]},
          "decoder": {"type": "Fuse"}})");
  EXPECT_TRUE(unigram.is_of_library());
  EXPECT_EQ(*unigram.encode("aa"), Ids{2});
}

TEST(BytePairs, MergesOfUnknownTokensAreAnError) {
  const Model broken{.tokens = {"a", "b", "abc"}, .merges = {"a b"}};
  const Result<Tokenizer> tokenizer = Tokenizer::from_json(broken.json(false));
  ASSERT_FALSE(tokenizer);
  EXPECT_EQ(tokenizer.error().code, ErrorCode::corrupt);
  EXPECT_THAT(tokenizer.error().message, testing::HasSubstr("ab"));
}

}  // namespace
}  // namespace hearth
