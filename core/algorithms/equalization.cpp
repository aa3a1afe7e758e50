// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/algorithms/equalization.h"

#include <algorithm>
#include <cmath>

namespace quantloupe {
namespace {

bool sameExpert(const CatalogTensor& a, const CatalogTensor& b)
{
    return a.parts.block && a.parts.block == b.parts.block && a.parts.expert == b.parts.expert
        && a.parts.sharedExpert == b.parts.sharedExpert;
}

/// The one weight matrix of this role beside `tensor`; nothing if there are several, or none.
std::optional<std::size_t> sibling(const ModelCatalog& model, const CatalogTensor& tensor, TensorRole role)
{
    std::optional<std::size_t> found;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const CatalogTensor& other = model.tensors[i];
        if (other.parts.role != role || other.shape.size() != 2 || !other.quantizable || !sameExpert(tensor, other))
            continue;
        if (found)
            return std::nullopt;
        found = i;
    }
    return found;
}

/// Norms between v and o or between up and down have names of their own: attn_sub_norm, inner_attn_ln, ffn_layernorm.
bool hasNormBetween(const ModelCatalog& model, const CatalogTensor& tensor, bool attention)
{
    return std::any_of(model.tensors.begin(), model.tensors.end(), [&](const CatalogTensor& other) {
        if (other.parts.block != tensor.parts.block)
            return false;
        const auto contains = [&](const char* part) { return other.name.find(part) != std::string::npos; };
        return attention ? contains("attn_sub_norm") || contains("inner_attn_ln")
                         : contains("ffn_sub_norm") || contains("ffn_layernorm");
    });
}

std::optional<EqualizationPair> pairOfUp(const ModelCatalog& model, std::size_t up)
{
    const CatalogTensor& producer = model.tensors[up];
    const auto gate = sibling(model, producer, TensorRole::Gate);
    const auto down = sibling(model, producer, TensorRole::Down);
    if (!gate || !down || hasNormBetween(model, producer, false) || model.tensors[*gate].matrix != producer.matrix
        || model.tensors[*down].matrix.columns != producer.matrix.rows)
        return std::nullopt;
    return EqualizationPair {up, *down, static_cast<std::size_t>(producer.matrix.rows)};
}

std::optional<EqualizationPair> pairOfValue(const ModelCatalog& model, std::size_t value)
{
    const CatalogTensor& producer = model.tensors[value];
    const auto output = sibling(model, producer, TensorRole::Output);
    if (!output || hasNormBetween(model, producer, true))
        return std::nullopt;
    const auto rows = producer.matrix.rows;
    const auto columns = model.tensors[*output].matrix.columns;
    EqualizationPair pair {value, *output, static_cast<std::size_t>(rows)};
    if (columns == rows)
        return pair;
    const auto heads = model.config.heads.value_or(0);
    const auto keyValueHeads = model.config.keyValueHeads.value_or(0);
    if (heads == 0 || keyValueHeads == 0 || heads % keyValueHeads != 0 || rows % keyValueHeads != 0
        || columns != rows / keyValueHeads * heads)
        return std::nullopt;
    pair.readers = static_cast<std::size_t>(heads / keyValueHeads);
    pair.headDimension = static_cast<std::size_t>(rows / keyValueHeads);
    return pair;
}

}  // namespace

std::size_t EqualizationPair::channelOf(std::size_t column) const
{
    if (readers == 1)
        return column;
    return column / headDimension / readers * headDimension + column % headDimension;
}

std::vector<EqualizationPair> equalizationPairs(const ModelCatalog& model)
{
    std::vector<EqualizationPair> pairs;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const CatalogTensor& tensor = model.tensors[i];
        if (tensor.shape.size() != 2 || !tensor.quantizable)
            continue;
        std::optional<EqualizationPair> pair;
        if (tensor.parts.role == TensorRole::Up)
            pair = pairOfUp(model, i);
        else if (tensor.parts.role == TensorRole::Value)
            pair = pairOfValue(model, i);
        if (pair)
            pairs.push_back(*pair);
    }
    return pairs;
}

std::optional<EqualizationPair> equalizationPairOf(std::span<const EqualizationPair> pairs, std::size_t tensor)
{
    const auto found = std::find_if(pairs.begin(), pairs.end(),
        [tensor](const EqualizationPair& pair) { return pair.producer == tensor || pair.consumer == tensor; });
    return found == pairs.end() ? std::nullopt : std::optional(*found);
}

EqualizationFactors equalizationFactors(
    const EqualizationPair& pair, std::span<const float> producerRowAbsMax, std::span<const float> consumerColumnAbsMax)
{
    std::vector<float> readers(pair.channels);
    for (std::size_t column = 0; column < consumerColumnAbsMax.size(); ++column) {
        float& largest = readers[pair.channelOf(column)];
        largest = std::max(largest, consumerColumnAbsMax[column]);
    }
    EqualizationFactors factors {
        std::vector<float>(pair.channels, 1.0F), std::vector<float>(consumerColumnAbsMax.size())};
    std::vector<float> scales(pair.channels, 1.0F);
    for (std::size_t i = 0; i < pair.channels; ++i) {
        if (producerRowAbsMax[i] == 0.0F || readers[i] == 0.0F)
            continue;
        const double ratio = static_cast<double>(producerRowAbsMax[i]) / static_cast<double>(readers[i]);
        scales[i] = static_cast<float>(std::clamp(std::sqrt(ratio), 0x1p-60, 0x1p60));
        factors.producerRows[i] = 1.0F / scales[i];
    }
    for (std::size_t column = 0; column < consumerColumnAbsMax.size(); ++column)
        factors.consumerColumns[column] = scales[pair.channelOf(column)];
    return factors;
}

}  // namespace quantloupe
