#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace hearth::vulkan {

/// Numbers within names compare as numbers: tokens=2 before tokens=16.
struct NaturalOrder {
  bool operator()(const std::string& a, const std::string& b) const;
};

/// A table of what a driver's compiler says, kept in the repository as tab-separated text: comment lines of which the
/// first names the driver, a line of column names, then rows sorted by their first column.
struct Table {
  std::string driver;
  std::vector<std::string> notes;
  std::vector<std::string> columns;  ///< the first names the rows
  std::map<std::string, std::vector<std::string>, NaturalOrder> rows;

  std::string text() const;
};

/// Errors: not_found, corrupt.
Result<Table> read_table(const std::filesystem::path& file);

/// Errors: io.
Result<void> write_table(const std::filesystem::path& file, const Table& table);

/// What changed from `expected` to `actual`, a line for each row: new, gone, or "name: column old -> new, ...". Empty
/// when they are equal; drivers and notes are not compared.
std::vector<std::string> differences(const Table& expected, const Table& actual);

}  // namespace hearth::vulkan
