// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/inference/layer_finder.h"

#include "core/model/hold_readable.h"

#include <utility>

namespace quantloupe {
namespace {

constexpr std::size_t kMaxExtent = 1U << 30U;  ///< of BLAS, whose extents are int

std::string extents(std::uint64_t rows, std::uint64_t columns)
{
    return "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
}

}  // namespace

LayerFinder::LayerFinder(const Model& model)
    : m_model(&model)
{
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = model.tensors[i];
        const auto name = ggufName(tensor.name, model.config.architecture);
        if (!name)
            continue;
        if (tensor.parts.expert)
            m_experts.emplace(std::pair(*name, *tensor.parts.expert), i);
        else
            m_tensors.emplace(*name, i);
    }
}

void LayerFinder::fail(ErrorCode code, std::string where, std::string reason)
{
    if (!m_error)
        m_error = Error {code, std::move(where), std::nullopt, std::move(reason)};
}

std::optional<std::size_t> LayerFinder::find(const std::string& name) const
{
    const auto found = m_tensors.find(name);
    return found == m_tensors.end() ? std::nullopt : std::optional(found->second);
}

MatrixShape LayerFinder::shapeOf(std::size_t tensor) const
{
    return matrixShape(m_model->tensors[tensor].view);
}

std::optional<std::size_t> LayerFinder::biasOf(const std::string& name, std::size_t outputs)
{
    const auto bias = find(name + ".bias");
    if (bias && shapeOf(*bias).elements() != outputs)
        fail(ErrorCode::Malformed, m_model->tensors[*bias].name,
            "has " + std::to_string(shapeOf(*bias).elements()) + " values for " + std::to_string(outputs) + " outputs");
    return bias;
}

void LayerFinder::require(const LinearLayer& layer, std::size_t outputs, std::size_t inputs)
{
    if (layer.outputs == 0 || layer.inputs == 0 || layer.outputs > kMaxExtent || layer.inputs > kMaxExtent)
        fail(ErrorCode::Malformed, m_model->tensors[layer.tensor].name,
            "is " + extents(layer.outputs, layer.inputs) + ", which no layer is");
    if ((outputs != 0 && layer.outputs != outputs) || (inputs != 0 && layer.inputs != inputs))
        fail(ErrorCode::Malformed, m_model->tensors[layer.tensor].name,
            "is " + extents(layer.outputs, layer.inputs) + ", where "
                + extents(outputs == 0 ? layer.outputs : outputs, inputs == 0 ? layer.inputs : inputs) + " is needed");
}

LinearLayer LayerFinder::linear(const std::string& name, std::size_t outputs, std::size_t inputs)
{
    const auto tensor = find(name + ".weight");
    if (!tensor) {
        fail(ErrorCode::Malformed, m_model->path.string(), "the tensor that GGUF calls " + name + ".weight is missing");
        return {};
    }
    const auto shape = shapeOf(*tensor);
    LinearLayer layer {.tensor = *tensor, .outputs = shape.rows, .inputs = shape.columns};
    require(layer, outputs, inputs);
    layer.bias = biasOf(name, layer.outputs);
    return layer;
}

bool LayerFinder::hasExperts(const std::string& name) const
{
    return find(name + ".weight").has_value() || m_experts.contains({name + ".weight", 0U});
}

std::optional<LinearLayer> LayerFinder::findExpert(const std::string& name, unsigned expert, std::size_t experts) const
{
    if (const auto own = m_experts.find({name + ".weight", expert}); own != m_experts.end()) {
        const auto shape = shapeOf(own->second);
        return LinearLayer {.tensor = own->second, .outputs = shape.rows, .inputs = shape.columns};
    }
    const auto stack = find(name + ".weight");
    if (!stack || m_model->tensors[*stack].view.shape.size() != 3 || shapeOf(*stack).rows % experts != 0)
        return std::nullopt;
    const auto shape = shapeOf(*stack);
    const auto rows = shape.rows / experts;
    return LinearLayer {.tensor = *stack, .firstRow = expert * rows, .outputs = rows, .inputs = shape.columns};
}

NormLayer LayerFinder::norm(const std::string& name, std::size_t size)
{
    if (const auto layer = normIfThere(name, size))
        return *layer;
    fail(ErrorCode::Malformed, m_model->path.string(), "the tensor that GGUF calls " + name + ".weight is missing");
    return {};
}

std::optional<NormLayer> LayerFinder::normIfThere(const std::string& name, std::size_t size)
{
    const auto tensor = find(name + ".weight");
    if (!tensor)
        return std::nullopt;
    if (shapeOf(*tensor).elements() != size)
        fail(ErrorCode::Malformed, m_model->tensors[*tensor].name,
            "has " + std::to_string(shapeOf(*tensor).elements()) + " values, where " + std::to_string(size)
                + " are needed");
    return NormLayer {*tensor, biasOf(name, size)};
}

std::vector<float> LayerFinder::vector(const std::string& name)
{
    const auto tensor = find(name);
    if (!tensor)
        return {};
    const auto held = holdReadable(m_model->tensors[*tensor], {});
    if (!held) {
        fail(held.error().code, held.error().where, held.error().reason);
        return {};
    }
    const auto shape = shapeOf(*tensor);
    std::vector<float> values(shape.elements());
    decodeRows(m_model->tensors[*tensor].view, 0, shape.rows, values);
    return values;
}

}  // namespace quantloupe
