// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/calibrated_tensor.h"

#include "core/algorithms/calibrated_quantization.h"
#include "core/algorithms/combinations.h"
#include "core/analysis/row_tiles.h"

#include <algorithm>
#include <utility>

namespace quantloupe {
namespace {

/// The original's scale search leaves the ranges of queries and keys alone: cutting them hurts what they find.
bool cutsRanges(TensorRole role)
{
    return role != TensorRole::Query && role != TensorRole::Key;
}

template<class T>
void append(std::vector<T>& whole, const std::vector<T>& part)
{
    whole.insert(whole.end(), part.begin(), part.end());
}

Result<void> requireWholeUnits(const ModelTensor& tensor, const Quantizer& quantizer, std::uint64_t rowsPerSlice)
{
    const bool spans = quantizer.wholeTensor() || rowsPerSlice % quantizer.rowsPerUnit() != 0;
    if (tensor.inputs->slices > 1 && spans)
        return failure(ErrorCode::Unsupported, tensor.name,
            "a stack of experts whose inputs differ cannot share scales under '" + quantizer.scheme().toString()
                + "': write channel or a group");
    return {};
}

}  // namespace

bool CalibratedTensor::keepsLevels() const
{
    return std::all_of(
        transforms.begin(), transforms.end(), [](const WeightTransform& transform) { return transform.isIdentity(); });
}

std::span<const float> CalibratedTensor::source(std::span<const float> rows, std::uint64_t firstRow,
    std::size_t columns, TransformScratch& scratch, std::vector<float>& buffer) const
{
    if (keepsLevels())
        return rows;
    buffer.resize(rows.size());
    for (std::size_t row = 0; row * columns < rows.size(); ++row) {
        const auto& transform = transforms[static_cast<std::size_t>((firstRow + row) / rowsPerSlice)];
        const auto one = transform.apply(rows.subspan(row * columns, columns), firstRow + row, columns, scratch);
        std::copy(one.begin(), one.end(), buffer.begin() + static_cast<std::ptrdiff_t>(row * columns));
    }
    return buffer;
}

Result<std::shared_ptr<const CalibratedTensor>> calibrateTensor(
    const ModelTensor& tensor, const Quantizer& quantizer, std::stop_token stop, const ProgressShare& progress)
{
    const auto shape = matrixShape(tensor.view);
    const auto slices = tensor.inputs->slices;
    if (slices == 0 || shape.rows % slices != 0)
        return failure(ErrorCode::InvalidArgument, tensor.name,
            "the calibration knows inputs of " + std::to_string(slices) + " layers in " + std::to_string(shape.rows)
                + " rows");
    auto whole = std::make_shared<CalibratedTensor>();
    whole->rowsPerSlice = shape.rows / slices;
    if (auto fits = requireWholeUnits(tensor, quantizer, whole->rowsPerSlice); !fits)
        return tl::unexpected(fits.error());

    const CalibrationOptions options {.clip = cutsRanges(tensor.parts.role)};
    const auto rows = static_cast<std::size_t>(whole->rowsPerSlice);
    auto unseen = withoutInputs(quantizer.scheme());
    std::erase(unseen.algorithms, Algorithm::BiasCorrection);
    std::vector<float> weights;
    auto remaining = progress;
    for (std::uint64_t slice = 0; slice < slices; ++slice) {
        const auto inputs = tensor.inputs->load(slice, stop);
        if (!inputs)
            return tl::unexpected(inputs.error());
        const bool seen = (*inputs)->tokens > 0;
        const auto& scheme = seen ? quantizer.scheme() : unseen;
        const auto own = rowsOf(tensor.view, slice * whole->rowsPerSlice, whole->rowsPerSlice, weights);
        const auto [share, rest] = remaining.split(1.0 / static_cast<double>(slices - slice));
        remaining = rest;
        auto rounded = quantizeWithInputs(own, rows, scheme, **inputs, options, stop, share);
        if (!rounded) {
            auto error = rounded.error();
            error.where = tensor.name + ", " + error.where;
            return tl::unexpected(std::move(error));
        }
        append(whole->weights, rounded->weights);
        append(whole->codes, rounded->codes);
        append(whole->grids, rounded->grids);
        if (uses(quantizer.scheme(), Algorithm::BiasCorrection))
            rounded->bias.resize(rows);
        append(whole->bias, rounded->bias);
        whole->transforms.push_back(std::move(rounded->transform));
    }
    return whole;
}

}  // namespace quantloupe
