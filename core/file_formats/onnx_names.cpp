// SPDX-License-Identifier: GPL-3.0-or-later
// Source: interop notes, section 4.6.
#include "core/file_formats/onnx_weights.h"

#include <algorithm>

namespace quantloupe {
namespace {

/// "/model/layers.0/self_attn/q_proj/MatMul" → "model.layers.0.self_attn.q_proj"; empty when there is no folder.
std::string modulePath(std::string_view node)
{
    const auto last = node.rfind('/');
    if (last == std::string_view::npos || last == 0)
        return {};
    auto path = std::string(node.substr(0, last));
    std::replace(path.begin(), path.end(), '/', '.');
    return path.front() == '.' ? path.substr(1) : path;
}

/// "model.layers.0.attn.q_proj.MatMul.weight_Q4" → "model.layers.0.attn.q_proj.weight": what quantizers and exporters
/// put into the names of weights.
std::string plainName(std::string name)
{
    for (const std::string_view suffix : {"_quantized", "_Q4", "_Q8", "_Q2", "_Bnb4", "_NF4"})
        if (name.ends_with(suffix)) {
            name.resize(name.size() - suffix.size());
            break;
        }
    for (const std::string_view part : {".MatMul.", ".Gemm.", ".Conv."})
        if (const auto at = name.find(part); at != std::string::npos)
            name.replace(at, part.size(), ".");
    return name;
}

}  // namespace

std::string onnxWeightName(const OnnxConstant& constant, std::size_t index)
{
    if (!constant.name.starts_with("onnx::") || constant.use == OnnxUse::None)
        return constant.name;
    if (const auto path = modulePath(constant.node); !path.empty())
        return path + ".weight";
    if (!constant.node.empty())
        return constant.name;
    return std::string(constant.operatorType) + "#" + std::to_string(index);
}

NameParts onnxNameParts(const OnnxConstant& constant, std::string_view name)
{
    auto parts = readName(plainName(std::string(name)));
    const bool plainWeight = constant.use != OnnxUse::None && parts.role == TensorRole::Other;
    if (plainWeight && constant.role == TensorRole::Other)
        if (const auto path = modulePath(constant.node); !path.empty()) {
            const auto fromLayer = readName(path + ".weight");
            if (fromLayer.role != TensorRole::Other)
                parts = fromLayer;
        }
    // A layer multiplies with it, whatever else its name tells of: folded normalizations leave theirs behind.
    const bool multiplies = constant.use != OnnxUse::None && constant.use != OnnxUse::Table;
    if (multiplies && (parts.role == TensorRole::Norm || parts.role == TensorRole::Bias))
        parts.role = TensorRole::Other;
    const bool certain = constant.role == TensorRole::Norm || constant.role == TensorRole::Bias;
    if (certain || parts.role == TensorRole::Other)
        parts.role = constant.role;
    return parts;
}

}  // namespace quantloupe
