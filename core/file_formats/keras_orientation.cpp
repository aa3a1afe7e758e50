// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/keras_variables.h"

#include <algorithm>
#include <string_view>

namespace quantloupe {
namespace {

bool isOneOfModules(std::string_view module, std::initializer_list<std::string_view> names)
{
    return std::find(names.begin(), names.end(), module) != names.end();
}

/// The last component of the layer's name.
std::string_view moduleOf(const KerasVariable& variable)
{
    return std::string_view(variable.layer).substr(variable.layer.rfind('/') + 1);
}

void orientDepthwise(TensorView& view)
{
    auto& shape = view.shape;
    const auto channels = shape[shape.size() - 2] * shape.back();
    shape[shape.size() - 2] = 1;
    shape.back() = channels;
    view.transposed = view.convolution = true;
}

/// Kernels of attention's EinsumDense layers. false when it is another one.
bool orientAttention(TensorView& view, std::string_view module)
{
    auto& shape = view.shape;
    if (shape.size() != 3)
        return false;
    if (isOneOfModules(module, {"attention_output"}))
        shape = {shape[0] * shape[1], shape[2]};
    else if (!isOneOfModules(module, {"query", "key", "value"}))
        return false;
    else if (shape[0] >= shape[1])  // otherwise [heads, in, size], a stack of matrices
        shape = {shape[0], shape[1] * shape[2]};
    view.transposed = true;
    return true;
}

}  // namespace

void orientKerasVariable(TensorView& view, const KerasVariable& variable)
{
    const auto rank = view.shape.size();
    const auto module = moduleOf(variable);
    if (variable.name == "weight" && rank == 2 && isOneOfModules(module, {"c_attn", "c_proj", "c_fc"}))
        view.transposed = true;  // Transformers' own layers
    if (!variable.name.ends_with("kernel") || rank < 2)
        return;
    if (variable.name == "depthwise_kernel" && rank >= 3)
        return orientDepthwise(view);
    if (orientAttention(view, module))
        return;
    const bool convolution =
        variable.kind.find("conv") != std::string::npos || module.find("conv") != std::string_view::npos || rank > 3;
    view.convolution = rank > 2 && convolution;
    view.transposed = rank == 2 || view.convolution;
}

NameParts partsOfKerasVariable(const KerasVariable& variable)
{
    auto dotted = variable.fullName();
    std::replace(dotted.begin(), dotted.end(), '/', '.');
    auto parts = readName(dotted);
    if (parts.role == TensorRole::Other && variable.kind.find("normalization") != std::string::npos)
        parts.role = TensorRole::Norm;
    return parts;
}

}  // namespace quantloupe
