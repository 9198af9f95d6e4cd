#include "formats/gguf.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <string>

#include "formats/test_files.h"

namespace hearth {
namespace {

using test_files::Bytes;
using test_files::GgufBuilder;
using test_files::MemoryFile;
using test_files::small_gguf;
using testing::ElementsAre;
using testing::HasSubstr;

Result<std::unique_ptr<Gguf>> open_bytes(const std::string& bytes) {
  const MemoryFile file(bytes);
  EXPECT_TRUE(file.ok());
  return Gguf::open(file.path());
}

TEST(Gguf, ReadsMetadataOfEveryType) {
  auto gguf = open_bytes(small_gguf().build());
  ASSERT_TRUE(gguf) << to_string(gguf.error());
  const GgufMetadata& m = (*gguf)->metadata();
  EXPECT_EQ((*gguf)->version(), 3u);
  EXPECT_EQ(m.get_string("general.architecture"), "llama");
  EXPECT_EQ(m.get_u32("a.u8"), 200u);
  EXPECT_EQ(m.get_i64("a.i8"), -3);
  EXPECT_EQ(m.get_u32("a.u16"), 60000u);
  EXPECT_EQ(m.get_i64("a.i16"), -300);
  EXPECT_EQ(m.get_u32("a.u32"), 4000000000u);
  EXPECT_EQ(m.get_i64("a.i32"), -70000);
  EXPECT_EQ(m.get_u64("a.u64"), uint64_t{1} << 40);
  EXPECT_EQ(m.get_i64("a.i64"), -(int64_t{1} << 40));
  EXPECT_EQ(m.get_f32("a.f32"), 0.5f);
  EXPECT_EQ(m.get_f32("a.f64"), 0.25f);
  EXPECT_EQ(m.get_bool("a.bool"), true);
  EXPECT_EQ(m.keys().front(), "general.architecture");
  EXPECT_EQ(m.keys().size(), 18u);

  const auto tokens = m.get_string_array("tokens");
  ASSERT_TRUE(tokens);
  ASSERT_EQ((*tokens)->size(), 4u);
  EXPECT_EQ((**tokens)[0], "<s>");
  EXPECT_EQ((**tokens)[1], "");
  EXPECT_EQ((**tokens)[2], "hello");
  EXPECT_EQ((**tokens)[3], "\xc3\xa4");
  EXPECT_THAT(m.get_f32_array("scores").value(), ElementsAre(0.0f, -1.0f, -2.5f, 3.0f));
  EXPECT_THAT(m.get_i32_array("types").value(), ElementsAre(3, 1, 1, -1));
  EXPECT_THAT(m.get_bool_array("pattern").value(), ElementsAre(true, false, true));
  EXPECT_TRUE(m.get_u32_array("empty").value().empty());
  EXPECT_TRUE(m.is_array("pattern"));
  EXPECT_TRUE(m.is_array("empty"));
  EXPECT_FALSE(m.is_array("a.u8"));
  EXPECT_FALSE(m.is_array("absent"));
}

TEST(Gguf, GettersNameTheKeyAndBothTypes) {
  auto gguf = open_bytes(small_gguf().key("nan", std::nanf("")).build());
  ASSERT_TRUE(gguf);
  const GgufMetadata& m = (*gguf)->metadata();
  EXPECT_EQ(m.get_u32("absent").error().code, ErrorCode::not_found);
  EXPECT_THAT(m.get_u32("absent").error().message, HasSubstr("absent"));
  EXPECT_EQ(m.get_u32("absent", 7), 7u);
  EXPECT_EQ(m.get_string("absent", "x"), "x");
  EXPECT_EQ(m.get_f32("absent", 1.5f), 1.5f);
  EXPECT_EQ(m.get_bool("absent", true), true);

  // A default does not hide a value of the wrong type.
  EXPECT_EQ(m.get_u32("general.architecture", 7).error().code, ErrorCode::corrupt);
  EXPECT_THAT(m.get_u32("a.i32").error().message,
              HasSubstr("key a.i32 must be an integer from 0 to 4294967295 and is -70000 (i32)"));
  EXPECT_FALSE(m.get_u32("a.u64"));
  EXPECT_FALSE(m.get_u64("a.i8"));
  EXPECT_FALSE(m.get_u32("a.f32"));
  EXPECT_FALSE(m.get_u32("a.bool"));
  EXPECT_FALSE(m.get_bool("a.u8"));
  EXPECT_EQ(m.get_f32("a.u8"), 200.0f) << "as converters spell whole numbers";
  EXPECT_FALSE(m.get_f32("a.u64")) << "a digit would be lost";
  EXPECT_FALSE(m.get_f32("nan"));
  EXPECT_FALSE(m.get_string("tokens"));
  EXPECT_FALSE(m.get_u32_array("types")) << "-1 does not fit";
  EXPECT_FALSE(m.get_u32_array("a.u8"));
  EXPECT_FALSE(m.get_i32_array("tokens"));
  EXPECT_FALSE(m.get_bool_array("types"));
  EXPECT_FALSE(m.get_string_array("scores"));
}

TEST(Gguf, ListsTensorsOutermostDimensionFirst) {
  const std::string bytes = small_gguf().build();
  const MemoryFile file(bytes);
  auto gguf = Gguf::open(file.path());
  ASSERT_TRUE(gguf) << to_string(gguf.error());
  EXPECT_EQ((*gguf)->tensors().size(), 4u);
  const TensorInfo matrix = (*gguf)->find("matrix").value();
  EXPECT_EQ(matrix.format, NumberFormat::f16);
  EXPECT_THAT(matrix.shape, ElementsAre(5, 3));
  EXPECT_EQ(matrix.bytes, 30u);
  EXPECT_EQ(bytes.substr(matrix.offset, matrix.bytes), std::string(30, '\3'));
  EXPECT_EQ((*gguf)->find("q4_k").value().bytes, 144u);

  std::vector<std::byte> out(10);
  ASSERT_TRUE((*gguf)->read(matrix, 20, out));
  EXPECT_EQ(out[9], std::byte{3});
  EXPECT_EQ((*gguf)->read(matrix, 21, out).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ((*gguf)->read(matrix, UINT64_MAX, out).error().code, ErrorCode::invalid_argument);
}

TEST(Gguf, UnsupportedTypesAreNamedWhenTheTensorIsAskedFor) {
  auto gguf = open_bytes(small_gguf().tensor("future", 9999, {32}, "").build());
  ASSERT_TRUE(gguf) << to_string(gguf.error());
  EXPECT_TRUE((*gguf)->contains("nvfp4"));
  const auto known = (*gguf)->find("nvfp4");
  EXPECT_EQ(known.error().code, ErrorCode::unsupported);
  EXPECT_THAT(known.error().message, HasSubstr("tensor nvfp4: its type NVFP4 is not supported"));
  EXPECT_THAT((*gguf)->find("future").error().message, HasSubstr("tensor future: its type 9999 is not known"));
  EXPECT_EQ((*gguf)->find("absent").error().code, ErrorCode::not_found);
  EXPECT_FALSE((*gguf)->contains("absent"));
}

TEST(Gguf, AlignmentComesFromTheFile) {
  GgufBuilder gguf;
  gguf.alignment = 128;
  gguf.key("general.alignment", uint32_t{128}).tensor("a", 0, {1}, "AAAA").tensor("b", 0, {1}, "BBBB");
  const std::string bytes = gguf.build();
  auto opened = open_bytes(bytes);
  ASSERT_TRUE(opened) << to_string(opened.error());
  EXPECT_EQ(bytes.substr((*opened)->find("b").value().offset, 4), "BBBB");
  gguf.version = 2;
  EXPECT_TRUE(open_bytes(gguf.build()));
}

struct Hostile {
  const char* what;
  std::string bytes;
  ErrorCode code;
  const char* message;
};

void PrintTo(const Hostile& hostile, std::ostream* out) { *out << hostile.what; }

std::vector<Hostile> hostile_files() {
  constexpr uint64_t kHuge = uint64_t{1} << 60;
  const auto corrupt = ErrorCode::corrupt, unsupported = ErrorCode::unsupported;
  std::vector<Hostile> files;
  const auto add = [&](const char* what, ErrorCode code, const char* message, auto change) {
    GgufBuilder gguf = small_gguf();
    change(gguf);
    files.push_back({what, gguf.build(), code, message});
  };
  const auto with_dimensions = [](std::vector<uint64_t> dimensions, uint32_t type = 0) {
    return [=](GgufBuilder& g) { g.tensors.push_back({"bad", type, dimensions, 0}); };
  };

  add("magic", corrupt, "does not start with", [](auto& g) { g.magic = "GGML"; });
  add("version 1", unsupported, "version 1", [](auto& g) { g.version = 1; });
  add("version 4", unsupported, "version 4", [](auto& g) { g.version = 4; });
  add("version 0", unsupported, "version 0", [](auto& g) { g.version = 0; });
  add("big endian", unsupported, "big-endian", [](auto& g) { g.version = 0x03000000; });
  add("tensor bomb", corrupt, "number of tensors", [](auto& g) { g.claimed_tensors = kHuge; });
  add("key bomb", corrupt, "number of keys", [](auto& g) { g.claimed_keys = kHuge; });
  add("one tensor too many", corrupt, "", [](auto& g) { g.claimed_tensors = g.tensors.size() + 1; });
  add("one key too many", corrupt, "", [](auto& g) { g.claimed_keys = g.keys.size() + 1; });
  add("key twice", corrupt, "key a.u8 is there twice", [](auto& g) { g.key("a.u8", uint8_t{1}); });
  add("empty key", corrupt, "empty key", [](auto& g) { g.key("", uint8_t{1}); });
  add("value type", corrupt, "has the type 13", [](auto& g) { g.raw_key("k", 13, Bytes()); });
  add("bool 2", corrupt, "must be 0 or 1", [](auto& g) { g.raw_key("k", 7, Bytes().number(uint8_t{2})); });
  add("string bomb", corrupt, "string of 1152921504606846976 bytes",
      [](auto& g) { g.raw_key("k", 8, Bytes().number(kHuge)); });
  add("string overflow", corrupt, "string of 18446744073709551615",
      [](auto& g) { g.raw_key("k", 8, Bytes().number(UINT64_MAX)); });
  add("key length bomb", corrupt, "a key is a string of",
      [](auto& g) { g.keys.push_back(Bytes().number(kHuge).text()); });
  for (const uint32_t type : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 10u, 11u, 12u}) {
    // Times the element's size this overflows to 0 for the larger ones.
    add("array bomb", corrupt, "more than the rest of the file",
        [&](auto& g) { g.raw_key("k", 9, Bytes().number(type).number(uint64_t{1} << 61)); });
  }
  add("array of bool 2", corrupt, "only 0 and 1",
      [](auto& g) { g.raw_key("k", 9, Bytes().number(uint32_t{7}).number(uint64_t{1}).number(uint8_t{2})); });
  add("array of strings bomb", corrupt, "string of",
      [](auto& g) { g.raw_key("k", 9, Bytes().number(uint32_t{8}).number(uint64_t{2}).string("ok").number(kHuge)); });
  add("array of arrays", unsupported, "array of arrays", [](auto& g) {
    g.raw_key("k", 9, Bytes().number(uint32_t{9}).number(uint64_t{1}).number(uint32_t{9}).number(kHuge));
  });
  add("array of an unknown type", corrupt, "array of type 77",
      [](auto& g) { g.raw_key("k", 9, Bytes().number(uint32_t{77}).number(uint64_t{1})); });
  for (const uint32_t alignment : {0u, 3u, 48u, 0xffffffffu}) {
    add("alignment", corrupt, "not a power of two",
        [&](auto& g) { g.keys[1] = GgufBuilder().key("general.alignment", alignment).keys[0]; });
  }
  add("alignment of the wrong type", corrupt, "general.alignment must be",
      [](auto& g) { g.keys[1] = GgufBuilder().key("general.alignment", "32").keys[0]; });
  add("alignment beyond the file", corrupt, "reaches beyond the 0 bytes",
      [](auto& g) { g.keys[1] = GgufBuilder().key("general.alignment", uint32_t{1} << 31).keys[0]; });

  add("tensor twice", corrupt, "tensor norm is there twice",
      [](auto& g) { g.tensor("norm", 0, {4}, std::string(16, 'x')); });
  add("tensor twice, one unsupported", corrupt, "tensor nvfp4 is there twice",
      [](auto& g) { g.tensor("nvfp4", 0, {4}, std::string(16, 'x')); });
  add("tensor without a name", corrupt, "without a name", [](auto& g) { g.tensors[0].name = ""; });
  add("five dimensions", corrupt, "5 dimensions", with_dimensions({1, 1, 1, 1, 1}));
  add("zero dimension", corrupt, "dimension of 0", with_dimensions({32, 0}));
  add("zero dimension first", corrupt, "dimension of 0", with_dimensions({0, kHuge}));
  add("product overflows", corrupt, "more values than", with_dimensions({uint64_t{1} << 32, uint64_t{1} << 32}));
  add("product overflows to 1", corrupt, "more values than", with_dimensions({UINT64_MAX, UINT64_MAX}));
  add("dimension overflows", corrupt, "more values than", with_dimensions({uint64_t{1} << 63}));
  add("bytes overflow", corrupt, "more bytes than", with_dimensions({uint64_t{1} << 62}));
  add("not whole blocks", corrupt, "not a multiple of Q8_0's blocks", with_dimensions({33, 32}, 8));
  add("not whole blocks, unsupported", corrupt, "not a multiple of NVFP4's", with_dimensions({32}, 40));
  add("larger than the file", corrupt, "reaches beyond", with_dimensions({uint64_t{1} << 20}));
  add("offset outside", corrupt, "reaches beyond", [](auto& g) { g.tensors[0].offset = 1 << 20; });
  add("offset just outside", corrupt, "reaches beyond",
      [](auto& g) { g.tensors[0].offset = (g.data.size() + 31) / 32 * 32; });
  add("offset overflows", corrupt, "reaches beyond", [](auto& g) { g.tensors[0].offset = UINT64_MAX - 31; });
  add("misaligned", corrupt, "not aligned to 32", [](auto& g) { g.tensors[0].offset = 8; });
  add("overlap", corrupt, "overlaps tensor", [](auto& g) { g.tensors[1].offset = g.tensors[2].offset; });
  add("overlap with an unsupported one", corrupt, "overlaps tensor",
      [](auto& g) { g.tensors[0].offset = g.tensors[4].offset + 64; });
  add("names are escaped", corrupt, "tensor a\\x0ab\\x1b[31m", [](auto& g) {
    g.tensors[0].name = "a\nb\x1b[31m";
    g.tensors[0].offset = 8;
  });
  return files;
}

class HostileGguf : public testing::TestWithParam<Hostile> {};

INSTANTIATE_TEST_SUITE_P(All, HostileGguf, testing::ValuesIn(hostile_files()));

TEST_P(HostileGguf, IsAnErrorOfOneLine) {
  auto gguf = open_bytes(GetParam().bytes);
  ASSERT_FALSE(gguf);
  EXPECT_EQ(gguf.error().code, GetParam().code) << to_string(gguf.error());
  EXPECT_THAT(gguf.error().message, HasSubstr(GetParam().message));
  EXPECT_THAT(gguf.error().message, HasSubstr("/proc/self/fd/")) << "the path is not named";
  EXPECT_EQ(to_string(gguf.error()).find('\n'), std::string::npos);
  EXPECT_LT(to_string(gguf.error()).size(), 600u);
}

TEST(Gguf, CutShortAnywhereItIsAnError) {
  const std::string bytes = small_gguf().build();
  ASSERT_TRUE(open_bytes(bytes));
  for (size_t length = 0; length < bytes.size(); ++length) {
    auto gguf = open_bytes(bytes.substr(0, length));
    ASSERT_FALSE(gguf) << "cut to " << length << " of " << bytes.size();
    ASSERT_EQ(gguf.error().code, ErrorCode::corrupt) << to_string(gguf.error());
  }
}

TEST(Gguf, ThousandsOfMutationsOpenSoundOrFail) {
  const std::string original = small_gguf().build();
  std::mt19937 random(1);
  int opened = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string bytes = original;
    test_files::mutate(bytes, random);
    const MemoryFile file(bytes);
    auto gguf = Gguf::open(file.path());
    if (!gguf) {
      ASSERT_EQ(to_string(gguf.error()).find('\n'), std::string::npos) << "mutation " << i;
      continue;
    }
    ++opened;
    ASSERT_EQ(test_files::broken_promise(**gguf), "") << "mutation " << i;
  }
  EXPECT_GT(opened, 100) << "too few mutations reach what lies behind the checks";
  EXPECT_LT(opened, 4900);
}

class SplitGguf : public testing::Test {
 protected:
  SplitGguf() : folder_(testing::TempDir() + "hearth_split_test." + std::to_string(::getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~SplitGguf() override { std::filesystem::remove_all(folder_); }

  static GgufBuilder part(uint16_t number, uint16_t count, int32_t tensors) {
    GgufBuilder gguf;
    gguf.key("split.no", number).key("split.count", count).key("split.tensors.count", tensors);
    const std::string letter(1, static_cast<char>('a' + number));
    gguf.tensor("tensor_" + letter, 0, {2}, std::string(8, letter[0]));
    return gguf;
  }

  std::filesystem::path write(const std::string& name, const GgufBuilder& gguf) {
    std::ofstream(folder_ / name, std::ios::binary) << gguf.build();
    return folder_ / name;
  }

  std::filesystem::path folder_;
};

TEST_F(SplitGguf, OpensAllPartsFromTheFirst) {
  const auto first = write("m-00001-of-00002.gguf", part(0, 2, 2).key("general.name", "first"));
  const auto second = write("m-00002-of-00002.gguf", part(1, 2, 2));
  auto gguf = Gguf::open(first);
  ASSERT_TRUE(gguf) << to_string(gguf.error());
  EXPECT_EQ((*gguf)->file_count(), 2u);
  EXPECT_EQ((*gguf)->metadata().get_string("general.name"), "first");
  const TensorInfo tensor = (*gguf)->find("tensor_b").value();
  EXPECT_EQ((*gguf)->file(tensor.file).path(), second);
  std::string text(8, ' ');
  ASSERT_TRUE((*gguf)->read(tensor, 0, std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(text, "bbbbbbbb");
  EXPECT_EQ(test_files::broken_promise(**gguf), "");

  auto not_first = Gguf::open(second);
  ASSERT_FALSE(not_first);
  EXPECT_THAT(to_string(not_first.error()), HasSubstr("give the first one, m-00001-of-00002.gguf"));
}

TEST_F(SplitGguf, PartsThatDoNotBelongTogetherAreErrors) {
  const auto first = write("m-00001-of-00002.gguf", part(0, 2, 2));
  auto missing = Gguf::open(first);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("m-00002-of-00002.gguf"));

  GgufBuilder first_again = part(0, 2, 2);
  first_again.tensors[0].name = "tensor_b";
  write("m-00002-of-00002.gguf", first_again);
  EXPECT_THAT(Gguf::open(first).error().message, HasSubstr("calls itself file 1 of 2"));
  write("m-00002-of-00002.gguf", part(1, 3, 2));
  EXPECT_THAT(Gguf::open(first).error().message, HasSubstr("calls itself file 2 of 3"));
  write("m-00002-of-00002.gguf", part(1, 2, 2).tensor("tensor_a", 0, {1}, "1234"));
  EXPECT_THAT(Gguf::open(first).error().message, HasSubstr("tensor_a is there twice"));
  write("m-00002-of-00002.gguf", part(1, 2, 2).tensor("more", 0, {1}, "1234"));
  EXPECT_THAT(Gguf::open(first).error().message, HasSubstr("should hold 2 tensors and hold 3"));
  EXPECT_THAT(Gguf::open(write("renamed.gguf", part(0, 2, 2))).error().message, HasSubstr("-00001-of-0000N.gguf"));
}

}  // namespace
}  // namespace hearth
