#pragma once

#include <string>

namespace hearth {

/// A piece of a prompt. Control tokens can be spelled out only in what a chat template wrote, never in what came with
/// the request, whatever that says. Tokens that a vocabulary declares as text of its own kind, such as <think> or
/// <table>, are matched in both.
struct TextSegment {
  std::string text;
  bool is_template = false;

  bool operator==(const TextSegment&) const = default;
};

}  // namespace hearth
