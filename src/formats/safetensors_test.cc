#include "formats/safetensors.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <string>

#include "formats/test_files.h"

namespace hearth {
namespace {

using test_files::Bytes;
using test_files::MemoryFile;
using test_files::safetensors;
using test_files::small_safetensors;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

Result<SafetensorsHeader> read_bytes(const std::string& bytes) {
  const MemoryFile memory(bytes);
  EXPECT_TRUE(memory.ok());
  const auto file = File::open(memory.path());
  return read_safetensors_header(file.value());
}

TEST(Safetensors, ReadsNamesFormatsShapesAndPlaces) {
  const std::string bytes = small_safetensors();
  auto header = read_bytes(bytes);
  ASSERT_TRUE(header) << to_string(header.error());
  EXPECT_THAT(header->metadata, ElementsAre(Pair("format", "pt")));
  ASSERT_EQ(header->tensors.size(), 6u);
  const TensorInfo& b = header->tensors[1];
  EXPECT_EQ(b.name, "b.weight");
  EXPECT_EQ(b.format, NumberFormat::bf16);
  EXPECT_THAT(b.shape, ElementsAre(5));
  EXPECT_EQ(b.offset, bytes.size() - 54 + 24);
  EXPECT_EQ(b.bytes, 10u);
  EXPECT_THAT(header->tensors[2].shape, ElementsAre(1, 1, 2));
  EXPECT_THAT(header->tensors[3].shape, IsEmpty());
  EXPECT_EQ(header->tensors[3].format, NumberFormat::i32);
  EXPECT_EQ(header->tensors[3].bytes, 4u);
  ASSERT_EQ(header->unsupported.size(), 1u);
  EXPECT_EQ(header->unsupported[0].name, "f");
  EXPECT_THAT(header->unsupported[0].why, HasSubstr("I64"));
}

TEST(Safetensors, EmptyTensorsAreListedAsUnsupported) {
  auto header = read_bytes(safetensors(R"({"a":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},)"
                                       R"("b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                                       "xy"));
  ASSERT_TRUE(header) << to_string(header.error());
  EXPECT_EQ(header->tensors.size(), 1u);
  ASSERT_EQ(header->unsupported.size(), 1u);
  EXPECT_THAT(header->unsupported[0].why, HasSubstr("dimension of 0"));
}

TEST(Safetensors, AFileWithoutTensorsIsFine) {
  EXPECT_TRUE(read_bytes(safetensors("{}", "")));
  EXPECT_TRUE(read_bytes(safetensors("{\"__metadata__\":{}}   ", "")));
}

struct Hostile {
  const char* what;
  std::string bytes;
  const char* message;
};

void PrintTo(const Hostile& hostile, std::ostream* out) { *out << hostile.what; }

std::string entry(std::string_view name, std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return fmt::format(R"("{}":{{"dtype":{},"shape":{},"data_offsets":{}}})", name, dtype, shape, offsets);
}

/// One tensor "a" with these texts for dtype, shape and offsets, and ten bytes of data.
std::string one(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return safetensors(fmt::format("{{{}}}", entry("a", dtype, shape, offsets)), std::string(10, 'x'));
}

/// Two tensors of bytes at these offsets, and ten bytes of data.
std::string two(std::string_view first, std::string_view second) {
  const std::string dtype = "\"F8_E4M3\"";
  return safetensors(fmt::format("{{{},{}}}", entry("a", dtype, "[5]", first), entry("b", dtype, "[5]", second)),
                     std::string(10, 'x'));
}

class HostileSafetensors : public testing::TestWithParam<Hostile> {};

INSTANTIATE_TEST_SUITE_P(
    All, HostileSafetensors,
    testing::Values(
        Hostile{"empty", "", "shorter than"}, Hostile{"seven bytes", std::string(7, '\1'), "shorter than"},
        Hostile{"header length bomb", Bytes().number(UINT64_MAX).raw("{}").text(), "18446744073709551615"},
        Hostile{"header one byte longer", Bytes().number(uint64_t{3}).raw("{}").text(), "should have 3"},
        Hostile{"no header", Bytes().number(uint64_t{0}).text(), "does not start with"},
        Hostile{"a GGUF file", test_files::small_gguf().build(), ""},
        Hostile{"an array", safetensors("[]", ""), "does not start with"},
        Hostile{"space before", safetensors(" {}", ""), "does not start with"},
        Hostile{"broken JSON", safetensors("{\"a\":", ""), "not valid JSON"},
        Hostile{"nested JSON", safetensors("{\"a\":" + std::string(5000, '['), ""), "inside each other"},
        Hostile{"name twice",
                safetensors(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                            R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                            "x"),
                "stands twice"},
        Hostile{"entry is a number", safetensors("{\"a\":1}", ""), "must have exactly"},
        Hostile{"entry lacks shape", safetensors(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", "x"), "must have"},
        Hostile{"no name", safetensors(R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"), "without a"},
        Hostile{"metadata is a list", safetensors(R"({"__metadata__":[]})", ""), "not an object"},
        Hostile{"metadata holds a number", safetensors(R"({"__metadata__":{"a":1}})", ""), "not a string"},
        Hostile{"dtype is a number", one("1", "[10]", "[0,10]"), "dtype is not"},
        Hostile{"shape is a number", one("\"U8\"", "10", "[0,10]"), "shape is not"},
        Hostile{"negative dimension", one("\"U8\"", "[-10]", "[0,10]"), "not a length"},
        Hostile{"fractional dimension", one("\"U8\"", "[10.0]", "[0,10]"), "not a length"},
        Hostile{"dimension overflows", one("\"U8\"", "[9223372036854775808]", "[0,10]"), "not a length"},
        Hostile{"dimension beyond 64 bits", one("\"U8\"", "[18446744073709551616]", "[0,10]"), "not a length"},
        Hostile{"product overflows", one("\"U8\"", "[4294967296,4294967296,2]", "[0,10]"), "can be counted"},
        Hostile{"product overflows to size", one("\"U8\"", "[9223372036854775807,2,5]", "[0,10]"), "can be counted"},
        Hostile{"one offset", one("\"U8\"", "[10]", "[10]"), "two integers"},
        Hostile{"negative offset", one("\"U8\"", "[10]", "[-1,9]"), "two integers"},
        Hostile{"offset as text", one("\"U8\"", "[10]", "[\"0\",10]"), "two integers"},
        Hostile{"ends before it begins", one("\"U8\"", "[10]", "[10,0]"), "end before"},
        Hostile{"outside", one("\"U8\"", "[11]", "[0,11]"), "reach beyond"},
        Hostile{"far outside", one("\"U8\"", "[10]", "[18446744073709551605,18446744073709551615]"), "reach beyond"},
        Hostile{"size and shape differ", one("\"F16\"", "[10]", "[0,10]"), "need 20 bytes, and it has 10"},
        Hostile{"zero dimension with bytes", one("\"U8\"", "[0]", "[0,10]"), "need 0 bytes, and it has 10"},
        Hostile{"bytes left over", one("\"U8\"", "[9]", "[0,9]"), "end at 9 of 10"},
        Hostile{"hole in front", one("\"U8\"", "[9]", "[1,10]"), "leave a hole"},
        Hostile{"overlap", two("[0,6]", "[5,10]"), "overlap"}, Hostile{"inside", two("[0,10]", "[3,5]"), "overlap"},
        Hostile{"the same bytes", two("[0,10]", "[0,10]"), "overlap"},
        Hostile{"hole", two("[0,4]", "[5,10]"), "leave a hole"}));

TEST_P(HostileSafetensors, IsAnErrorOfOneLine) {
  auto header = read_bytes(GetParam().bytes);
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, ErrorCode::corrupt);
  EXPECT_THAT(header.error().message, HasSubstr(GetParam().message));
  EXPECT_THAT(header.error().message, HasSubstr("/proc/self/fd/")) << "the path is not named";
  EXPECT_EQ(to_string(header.error()).find('\n'), std::string::npos);
  EXPECT_LT(to_string(header.error()).size(), 600u);
}

TEST(Safetensors, CutShortAnywhereItIsAnError) {
  const std::string bytes = small_safetensors();
  ASSERT_TRUE(read_bytes(bytes));
  for (size_t length = 0; length < bytes.size(); ++length) {
    ASSERT_FALSE(read_bytes(bytes.substr(0, length))) << "cut to " << length << " of " << bytes.size();
  }
}

TEST(Safetensors, ThousandsOfMutationsReadSoundOrFail) {
  const std::string original = small_safetensors();
  std::mt19937 random(2);
  int sound = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string bytes = original;
    test_files::mutate(bytes, random);
    auto header = read_bytes(bytes);
    if (!header) {
      ASSERT_EQ(to_string(header.error()).find('\n'), std::string::npos) << "mutation " << i;
      continue;
    }
    ++sound;
    for (const TensorInfo& tensor : header->tensors) {
      uint64_t values = 1;
      for (const int64_t dimension : tensor.shape) values *= static_cast<uint64_t>(dimension);
      ASSERT_EQ(tensor.bytes, bytes_of(tensor.format, values)) << "mutation " << i;
      ASSERT_LE(tensor.offset + tensor.bytes, bytes.size()) << "mutation " << i;
    }
  }
  EXPECT_GT(sound, 100) << "too few mutations reach what lies behind the checks";
  EXPECT_LT(sound, 4900);
}

}  // namespace
}  // namespace hearth
