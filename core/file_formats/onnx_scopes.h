// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/file_formats/onnx_graph.h"

#include <map>
#include <optional>
#include <string_view>
#include <vector>

namespace quantloupe {

/// Which values the names in each graph stand for: constants, or outputs of nodes. A graph inside a node sees the names
/// of those around it.
class OnnxScopes
{
public:
    struct Maker {
        std::optional<std::size_t> constant {};
        const OnnxNode* node = nullptr;
        std::size_t graph = 0;  ///< where the node stands
    };
    /// Where a value comes from, looked at through nodes that change nothing about which weight it is.
    struct Origin {
        std::size_t constant = 0;
        bool flipped = false;  ///< rows and columns were swapped on the way
    };

    OnnxScopes(const WireFile& file, const OnnxModel& model);

    /// Errors: Malformed, a value that is made twice.
    Result<void> define(std::size_t graph, std::string_view name, const Maker& maker, Bytes at);

    const Maker* find(std::size_t graph, std::string_view name) const;
    /// The constant that a name stands for, itself or by Identity.
    std::optional<std::size_t> constant(std::size_t graph, std::string_view name) const;
    /// Looks through Identity, Cast, QuantizeLinear, DequantizeLinear and Transpose; nullopt where anything else stands
    /// between, or axes are exchanged other than the last two. `list` tells the ranks.
    Result<std::optional<Origin>> origin(
        std::size_t graph, std::string_view name, const std::vector<OnnxConstant>& list) const;

private:
    const WireFile& m_file;
    const OnnxModel& m_model;
    std::vector<std::map<std::string_view, Maker>> m_names;  ///< by graph
};

}  // namespace quantloupe
