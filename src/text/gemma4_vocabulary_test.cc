// Gemma 4's kind of vocabulary in a GGUF file: SentencePiece's spelling, merges of its own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "text/test_data.h"
#include "text/tokenizer.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using Ids = std::vector<uint32_t>;
using Json = nlohmann::json;

void put(GgufVocabulary& vocabulary, uint32_t id, const std::string& text, int32_t type) {
  if (vocabulary.tokens.size() <= id) vocabulary.tokens.resize(id + 1), vocabulary.token_types.resize(id + 1, 5);
  vocabulary.tokens[id] = text;
  vocabulary.token_types[id] = type;
}

bool is_byte(const std::string& token) { return token.size() == 6 && token.starts_with("<0x"); }

/// What llama.cpp's converter writes of a tokenizer.json.
GgufVocabulary as_gguf(const Json& tokenizer) {
  GgufVocabulary vocabulary{.model = "gemma4", .unknown = 3};
  for (const auto& [text, id] : tokenizer["model"]["vocab"].items()) put(vocabulary, id, text, is_byte(text) ? 6 : 1);
  for (const auto& token : tokenizer["added_tokens"]) {
    put(vocabulary, token["id"], token["content"], token["special"] ? 3 : 4);
  }
  for (const auto& merge : tokenizer["model"]["merges"]) {
    vocabulary.merges.push_back(merge.is_string() ? merge.get<std::string>()
                                                  : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  return vocabulary;
}

/// Gemma 3's tokens, written in Gemma 4's way: the same ids as in Python.
TEST(Gemma4Vocabulary, OfGemma3sTokensEqualsTheirTokenizerJson) {
  const Json json = Json::parse(test::tokenizer_file("gemma3", "tokenizer.json"));
  const Result<Tokenizer> tokenizer = Tokenizer::from_gguf(as_gguf(json));
  ASSERT_TRUE(tokenizer) << to_string(tokenizer.error());
  for (const auto& golden : test::goldens("gemma3")["texts"]) {
    const auto text = golden["text"].get<std::string>();
    if (text.find("\u2581") != std::string::npos) continue;  // a space, for such a vocabulary
    EXPECT_EQ(tokenizer->encode(text, {.allow_special = true}).value(), golden["ids"].get<Ids>()) << text;
  }
}

/// A few letters, spaces and line feeds with merges that are not in the order of the tokens.
Json small_tokenizer() {
  Json vocabulary = {{"<pad>", 0}, {"<eos>", 1}, {"<bos>", 2}, {"<unk>", 3}};
  const auto add = [&](const std::string& token) { vocabulary[token] = vocabulary.size(); };
  for (int byte = 0; byte < 256; ++byte) {
    const char* digits = "0123456789ABCDEF";
    add(std::string("<0x") + digits[byte / 16] + digits[byte % 16] + ">");
  }
  for (const char* token :
       {"a", "b", "\u2581", "\n", "ab", "\u2581a", "\u2581ab", "ba", "\u2581\u2581", "abab", "\n\n", "\n\n\n"}) {
    add(token);
  }
  const Json merges =
      Json::array({"b a", "\u2581 \u2581", "\u2581 a", "a b", "\n \n", "\u2581 ab", "\n\n \n", "ab ab"});
  const Json space = {{"String", " "}}, meta = {{"String", "\u2581"}};
  return {
      {"model",
       {{"type", "BPE"},
        {"vocab", vocabulary},
        {"merges", merges},
        {"byte_fallback", true},
        {"fuse_unk", true},
        {"unk_token", "<unk>"}}},
      {"added_tokens", Json::array()},
      {"normalizer", {{"type", "Replace"}, {"pattern", space}, {"content", "\u2581"}}},
      {"pre_tokenizer", {{"type", "Split"}, {"pattern", space}, {"behavior", "MergedWithPrevious"}, {"invert", false}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"}, {"pattern", meta}, {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}}}}}}};
}

TEST(Gemma4Vocabulary, EqualsTheTokenizerThatTransformersMakesOfIt) {
  const Json json = small_tokenizer();
  const Tokenizer expected = Tokenizer::from_json(json.dump()).value();
  const Tokenizer tokenizer = Tokenizer::from_gguf(as_gguf(json)).value();
  std::mt19937 random(1);
  const char* const parts[] = {"a", "b", " ", "\n", "\n\n", "ab", "\u00e9"};
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (size_t left = random() % 12; left > 0; --left) text += parts[random() % std::size(parts)];
    if (text.find("\n\n\n\n") != std::string::npos) continue;  // longer than any token: pairs come first there
    const Ids ids = tokenizer.encode(text).value();
    ASSERT_EQ(ids, expected.encode(text).value()) << text;
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

/// Some converters leave merges of line feeds out, which llama.cpp does not look for either.
TEST(Gemma4Vocabulary, RunsOfLineFeedsAreTokensWithoutMerges) {
  Json json = small_tokenizer();
  auto& merges = json["model"]["merges"];
  std::erase_if(merges.get_ref<Json::array_t&>(),
                [](const Json& merge) { return merge.get<std::string>().ends_with('\n'); });
  const Tokenizer tokenizer = Tokenizer::from_gguf(as_gguf(json)).value();
  const uint32_t a = tokenizer.id_of("a").value(), three = a + 11;
  EXPECT_THAT(tokenizer.encode("a\n\n\na").value(), ElementsAre(a, three, a));
  EXPECT_THAT(tokenizer.encode("a\na").value(), ElementsAre(a, a + 3, a));
}

}  // namespace
}  // namespace hearth
