// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/model/model.h"

#include "core/model/parameter_count.h"

#include <set>
#include <utility>

namespace quantloupe {
namespace {

/// Of plain integers the values are codes or counts, not weights; e8m0 holds the scales of others.
bool holdsWeights(const TensorView& view)
{
    if (view.decoder && !view.decoder->description().empty())
        return true;  // packed: its dtype is that of codes
    switch (view.dtype) {
    case DType::F64:
    case DType::F32:
    case DType::F16:
    case DType::BF16:
    case DType::F8_E4M3:
    case DType::F8_E5M2: return view.decodable();
    default: return isBlockType(view.dtype) && view.decodable();
    }
}

}  // namespace

bool ModelTensor::quantizable() const
{
    if (auxiliary || parts.role == TensorRole::Norm || parts.role == TensorRole::Bias
        || parts.role == TensorRole::Position)
        return false;
    return view.shape.size() >= 2 && view.elements() > 0 && holdsWeights(view);
}

std::uint64_t Model::parameters() const
{
    return countParameters(
        tensors, config.tiedEmbeddings, [](const ModelTensor& tensor) -> const Shape& { return tensor.view.shape; });
}

std::uint64_t Model::bytes() const
{
    std::set<std::pair<const std::byte*, std::size_t>> counted;
    std::uint64_t sum = 0;
    for (const auto& tensor : tensors) {
        const auto& bytes = tensor.view.bytes;
        if (bytes.empty() || counted.emplace(bytes.data(), bytes.size()).second)
            sum += tensor.bytes();
    }
    return sum;
}

std::optional<std::size_t> Model::find(std::string_view name) const
{
    for (std::size_t i = 0; i < tensors.size(); ++i)
        if (tensors[i].name == name)
            return i;
    return std::nullopt;
}

std::vector<std::size_t> Model::quantizableTensors() const
{
    std::vector<std::size_t> indices;
    for (std::size_t i = 0; i < tensors.size(); ++i)
        if (tensors[i].quantizable())
            indices.push_back(i);
    return indices;
}

}  // namespace quantloupe
