// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/onnx_scopes.h"

#include "core/base/text.h"

#include <algorithm>

namespace quantloupe {
namespace {

constexpr int kMaxSteps = 32;  // a chain of more such nodes is a circle or a joke

/// Whether a permutation swaps the last two axes (true), changes nothing (false), or does something else.
std::optional<bool> swapsLastTwo(const std::vector<std::int64_t>& permutation)
{
    const auto rank = permutation.size();
    for (std::size_t i = 0; i + 2 < rank; ++i)
        if (permutation[i] != static_cast<std::int64_t>(i))
            return std::nullopt;
    if (rank < 2)
        return rank == 0 ? std::nullopt : std::optional(false);
    const auto last = static_cast<std::int64_t>(rank) - 1;
    if (permutation[rank - 2] == last && permutation[rank - 1] == last - 1)
        return true;
    return permutation[rank - 2] == last - 1 && permutation[rank - 1] == last ? std::optional(false) : std::nullopt;
}

}  // namespace

OnnxScopes::OnnxScopes(const WireFile& file, const OnnxModel& model)
    : m_file(file)
    , m_model(model)
    , m_names(model.graphs.size())
{
}

Result<void> OnnxScopes::define(std::size_t graph, std::string_view name, const Maker& maker, Bytes at)
{
    if (!m_names[graph].emplace(name, maker).second)
        return m_file.malformed(at, "the value " + inQuotes(name) + " is made twice");
    return {};
}

const OnnxScopes::Maker* OnnxScopes::find(std::size_t graph, std::string_view name) const
{
    if (name.empty())
        return nullptr;
    for (std::optional<std::size_t> at = graph; at; at = m_model.graphs[*at].parent) {
        const auto found = m_names[*at].find(name);
        if (found != m_names[*at].end())
            return &found->second;
    }
    return nullptr;
}

std::optional<std::size_t> OnnxScopes::constant(std::size_t graph, std::string_view name) const
{
    const auto* maker = find(graph, name);
    for (int step = 0; step < kMaxSteps && maker; ++step) {
        if (maker->constant)
            return maker->constant;
        if (!maker->node->is("Identity"))
            return std::nullopt;
        maker = find(maker->graph, maker->node->input(0));
    }
    return std::nullopt;
}

Result<std::optional<OnnxScopes::Origin>> OnnxScopes::origin(
    std::size_t graph, std::string_view name, const std::vector<OnnxConstant>& list) const
{
    const auto* maker = find(graph, name);
    bool flipped = false, reversed = false, dequantized = false;
    for (int step = 0; step < kMaxSteps && maker; ++step) {
        if (maker->constant) {
            const auto rank = list[*maker->constant].values.shape.size();
            if (reversed && rank != 2)  // Transpose without a permutation reverses all axes
                return std::nullopt;
            return Origin {*maker->constant, flipped};
        }
        const auto& node = *maker->node;
        if (node.is("Transpose")) {
            if (dequantized)  // the scales would lie the other way round
                return std::nullopt;
            const auto permutation = onnxIntegers(m_file, node, "perm");
            if (!permutation)
                return tl::unexpected(permutation.error());
            const auto swaps = permutation->empty() ? std::optional(true) : swapsLastTwo(*permutation);
            if (!swaps)
                return std::nullopt;
            reversed |= permutation->empty();
            flipped ^= *swaps;
        } else if (node.is("DequantizeLinear")) {
            dequantized = true;
        } else if (!node.is("Identity") && !node.is("Cast") && !node.is("QuantizeLinear")) {
            return std::nullopt;
        }
        maker = find(maker->graph, node.input(0));
    }
    return std::nullopt;
}

}  // namespace quantloupe
