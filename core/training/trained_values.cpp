// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/training/trained_values.h"

#include "core/inference/pieces.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

namespace quantloupe {
namespace {

/// Rows of a weight gradient that one task takes.
constexpr std::size_t kGradientRows = 128;

void addVectorGradient(TrainedValues* values, std::span<const double> gradient)
{
    if (!values)
        return;
    for (std::size_t i = 0; i < gradient.size(); ++i)
        values->gradient[i] += static_cast<float>(gradient[i]);
}

}  // namespace

std::set<std::size_t> normVectorsOf(const Decoder& decoder)
{
    std::set<std::size_t> vectors;
    const auto add = [&](const NormLayer& norm) {
        vectors.insert(norm.tensor);
        if (norm.bias)
            vectors.insert(*norm.bias);
    };
    for (const auto& [attention, feedForward] : decoder.blocks) {
        add(attention.norm);
        add(feedForward.norm);
        for (const auto* norm :
            {&attention.queryNorm, &attention.keyNorm, &attention.outputNorm, &feedForward.outputNorm})
            if (*norm)
                add(**norm);
    }
    add(decoder.outputNorm);
    return vectors;
}

Result<void> addGradients(const PartGradients& part, const GradientPlace& place, const std::stop_token& stop)
{
    struct Piece {
        TrainedValues* values;
        const std::vector<const LayerGradient*>* flows;
        std::size_t firstRow, rows;
    };
    std::map<std::pair<std::size_t, std::uint64_t>, std::vector<const LayerGradient*>> flows;
    for (const auto& sequence : part.sequences) {
        for (const auto& gradient : sequence.layers)
            if (place(gradient.layer.tensor))
                flows[{gradient.layer.tensor, gradient.layer.firstRow}].push_back(&gradient);
        for (const auto& norm : sequence.norms) {
            addVectorGradient(place(norm.norm.tensor), norm.weight);
            if (norm.norm.bias)
                addVectorGradient(place(*norm.norm.bias), norm.bias);
        }
    }
    std::vector<Piece> pieces;
    for (const auto& [where, gradients] : flows)
        for (std::size_t row = 0; row < gradients.front()->layer.outputs; row += kGradientRows)
            pieces.push_back(
                {place(where.first), &gradients, row, std::min(kGradientRows, gradients.front()->layer.outputs - row)});
    forEachPiece(pieces.size(), stop, [&](std::size_t i) {
        const auto& [values, gradients, firstRow, rows] = pieces[i];
        const auto& layer = gradients->front()->layer;
        const auto start = (static_cast<std::size_t>(layer.firstRow) + firstRow) * layer.inputs;
        const kernels::MutableMatrix sum {values->gradient.data() + start, rows, layer.inputs, layer.inputs};
        for (const auto* gradient : *gradients)
            addWeightGradient(*gradient, firstRow, sum);
    });
    return stop.stop_requested() ? Result<void>(stopped("training")) : Result<void>();
}

Result<double> clipGradients(
    std::span<TrainedValues* const> all, double clipNorm, const Model& model, std::uint64_t step)
{
    double squares = 0.0;
    for (const auto* values : all)
        for (const float gradient : values->gradient)
            squares += static_cast<double>(gradient) * static_cast<double>(gradient);
    const double norm = std::sqrt(squares);
    if (!std::isfinite(norm))
        return failure(ErrorCode::Malformed, model.path.string(),
            "gradients overflow in step " + std::to_string(step) + ": train at a lower rate");
    if (clipNorm > 0.0 && norm > clipNorm)
        for (auto* values : all)
            for (float& gradient : values->gradient)
                gradient = static_cast<float>(static_cast<double>(gradient) * clipNorm / norm);
    return norm;
}

}  // namespace quantloupe
