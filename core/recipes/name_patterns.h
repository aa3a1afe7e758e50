// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/catalog.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quantloupe {

/// Whether a glob holds a wildcard, and so can name more than one tensor.
bool hasWildcard(std::string_view pattern);

/// The name with every part that is a number replaced by `*`: the tensors that play one role in all blocks share it.
std::string familyPattern(std::string_view tensorName);

/// Every glob that names several tensors of a model at once: role families, one block or one expert of them, block
/// decades, whole blocks. Built once, then asked for covers. Borrows the model.
class TensorPatterns
{
public:
    explicit TensorPatterns(const ModelCatalog& model);

    /// Globs that together match every tensor marked in `wanted` and none marked in `forbidden` (tensors marked in
    /// neither do not care). Widest globs first; what is left is named. Both vectors run over the model's tensors.
    /// Deterministic.
    std::vector<std::string> cover(const std::vector<char>& wanted, const std::vector<char>& forbidden) const;

private:
    static constexpr std::size_t kMaxNumbers = 3;
    /// What stands in a number's place.
    enum class Slot : std::uint8_t { Literal, Star, Decade };
    struct Pattern {
        std::array<Slot, kMaxNumbers> slots {};
        bool wholeBlock = false;
        bool crossing = false;               ///< `*` may reach tensors that are no members: to be checked one by one
        std::vector<std::uint32_t> members;  ///< tensors, ascending; the first gives the text
    };

    std::string textOf(const Pattern& pattern) const;

    const ModelCatalog& m_model;
    std::vector<Pattern> m_patterns;
};

}  // namespace quantloupe
