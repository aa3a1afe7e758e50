// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/recipes/plan.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

enum class LintSeverity : std::uint8_t { Note, Warning, Error };
enum class LintKind : std::uint8_t {
    NoMatch,      ///< a rule or a `keep` that matches no tensor that can be quantized
    Shadowed,     ///< later rules, or `keep`, decide every tensor that a rule matches
    Conflict,     ///< rules disagree about tensors; the later one decides
    Redundant,    ///< a rule that changes nothing
    ShortGroup,   ///< groups or blocks do not divide a row: the last is shorter, or filled up
    SplitFusion,  ///< tensors that runtimes join have different schemes
    OtherModel,   ///< the recipe was made for another model
    Target,       ///< what a tool would do otherwise
};
std::string_view nameOf(LintSeverity severity);
std::string_view nameOf(LintKind kind);

/// One remark about a recipe.
struct LintFinding {
    LintKind kind = LintKind::NoMatch;
    LintSeverity severity = LintSeverity::Warning;
    std::optional<std::size_t> rule {};   ///< index into Recipe::rules
    std::vector<std::string> tensors {};  ///< concerned, in file order
    std::string text;                     ///< a clause
    bool operator==(const LintFinding&) const = default;
};

/// What one line of a recipe reaches.
struct LintedRule {
    std::string match, scheme;             ///< scheme "keep" of what stays as stored
    std::size_t matches = 0;               ///< tensors that can be quantized and that the glob matches
    std::size_t decides = 0;               ///< of these, those for which it has the last word
    std::vector<std::string> examples {};  ///< at most three that it matches
    bool operator==(const LintedRule&) const = default;
};

struct LintReport {
    LintedRule defaults {};            ///< what no line names
    std::vector<LintedRule> keep {};   ///< in the order of Recipe::keep
    std::vector<LintedRule> rules {};  ///< in the order of Recipe::rules
    std::vector<LintFinding> findings {};

    std::size_t count(LintSeverity severity) const;
};

/// Reads a recipe as a reviewer would, against the model it is meant for.
LintReport lint(const Recipe& recipe, const ModelCatalog& model);

}  // namespace quantloupe
