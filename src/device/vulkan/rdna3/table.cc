#include "device/vulkan/rdna3/table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>

namespace hearth::vulkan {
namespace {

constexpr std::string_view kDriver = "# driver: ";

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == '\t') {
      cells.emplace_back();
    } else {
      cells.back() += c;
    }
  }
  return cells;
}

}  // namespace

bool NaturalOrder::operator()(const std::string& a, const std::string& b) const {
  const auto is_digit = [](const std::string& text, size_t at) { return text[at] >= '0' && text[at] <= '9'; };
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a, i) && is_digit(b, j)) {
      size_t a_digits = 0, b_digits = 0;
      const unsigned long x = std::stoul(a.substr(i), &a_digits), y = std::stoul(b.substr(j), &b_digits);
      if (x != y) return x < y;
      i += a_digits;
      j += b_digits;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i, ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

std::string Table::text() const {
  std::string result = fmt::format("{}{}\n", kDriver, driver);
  for (const std::string& note : notes) result += fmt::format("# {}\n", note);
  result += fmt::format("{}\n", fmt::join(columns, "\t"));
  for (const auto& [name, cells] : rows) result += fmt::format("{}\t{}\n", name, fmt::join(cells, "\t"));
  return result;
}

Result<Table> read_table(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) return fail(ErrorCode::not_found, fmt::format("{} cannot be read", file.string()));
  Table table;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(kDriver)) {
      table.driver = line.substr(kDriver.size());
    } else if (line.starts_with("# ")) {
      table.notes.push_back(line.substr(2));
    } else if (table.columns.empty()) {
      table.columns = split(line);
    } else {
      auto cells = split(line);
      if (cells.size() != table.columns.size()) {
        return fail(ErrorCode::corrupt, fmt::format("{}: '{}' has {} columns instead of {}", file.string(), cells[0],
                                                    cells.size(), table.columns.size()));
      }
      table.rows[cells[0]] = {cells.begin() + 1, cells.end()};
    }
  }
  return table;
}

Result<void> write_table(const std::filesystem::path& file, const Table& table) {
  std::ofstream out(file);
  out << table.text();
  out.close();
  if (!out) return fail(ErrorCode::io, fmt::format("{} cannot be written", file.string()));
  return {};
}

std::vector<std::string> differences(const Table& expected, const Table& actual) {
  if (expected.columns != actual.columns) {
    return {fmt::format("columns: {} -> {}", fmt::join(expected.columns, " "), fmt::join(actual.columns, " "))};
  }
  std::vector<std::string> lines;
  for (const auto& [name, cells] : expected.rows) {
    const auto found = actual.rows.find(name);
    if (found == actual.rows.end()) {
      lines.push_back(fmt::format("gone: {}", name));
      continue;
    }
    std::vector<std::string> changes;
    for (size_t i = 0; i < cells.size(); ++i) {
      if (cells[i] != found->second[i]) {
        changes.push_back(fmt::format("{} {} -> {}", expected.columns[i + 1], cells[i], found->second[i]));
      }
    }
    if (!changes.empty()) lines.push_back(fmt::format("{}: {}", name, fmt::join(changes, ", ")));
  }
  for (const auto& [name, cells] : actual.rows) {
    if (!expected.rows.contains(name)) lines.push_back(fmt::format("new: {}", name));
  }
  return lines;
}

}  // namespace hearth::vulkan
