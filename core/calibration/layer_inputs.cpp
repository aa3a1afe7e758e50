// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/layer_inputs.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

namespace quantloupe {
namespace {

tl::unexpected<Error> unusableInputs(std::string reason)
{
    return failure(ErrorCode::InvalidArgument, "calibration", std::move(reason));
}

Result<void> checkPart(const std::vector<float>& part, std::size_t size, const char* name)
{
    if (!part.empty() && part.size() != size)
        return unusableInputs(std::string(name) + " holds " + std::to_string(part.size()) + " values, not "
            + std::to_string(size) + ", one for each input channel");
    if (!std::all_of(part.begin(), part.end(), [](float x) { return std::isfinite(x); }))
        return unusableInputs(std::string(name) + " holds a value that is not finite");
    return {};
}

bool isSymmetric(const std::vector<double>& moments, std::size_t columns, std::size_t i, std::size_t j)
{
    const double below = moments[i * columns + j], above = moments[j * columns + i];
    if (below == above)
        return std::isfinite(below);
    const double scale = std::sqrt(moments[i * columns + i]) * std::sqrt(moments[j * columns + j]);
    return std::abs(below - above) <= 1e-4 * scale;
}

Result<void> checkMoments(const std::vector<double>& moments, std::size_t columns, const std::stop_token& stop)
{
    if (moments.size() / columns != columns || moments.size() % columns != 0)
        return unusableInputs("the second moments hold " + std::to_string(moments.size()) + " values, not "
            + std::to_string(columns) + " × " + std::to_string(columns));
    for (std::size_t i = 0; i < columns; ++i) {
        const double own = moments[i * columns + i];
        if (!(own >= 0.0 && std::isfinite(own)))
            return unusableInputs(
                "the second moment of channel " + std::to_string(i) + " is not a number of 0 or more");
    }
    // Square after square: rows of one side are columns of the other. The first fault of each row of squares.
    constexpr std::size_t square = 64;
    struct Fault {
        std::size_t row = 0, column = 0;
    };
    std::vector<std::optional<Fault>> faults((columns + square - 1) / square);
    tbb::parallel_for(std::size_t {0}, faults.size(), [&](std::size_t part) {
        const std::size_t top = part * square;
        for (std::size_t left = 0; left <= top && !stop.stop_requested(); left += square)
            for (std::size_t i = top; i < std::min(top + square, columns); ++i)
                for (std::size_t j = left; j < std::min(left + square, i); ++j)
                    if (!isSymmetric(moments, columns, i, j)) {
                        faults[part] = {i, j};
                        return;
                    }
    });
    for (const auto& fault : faults)
        if (fault)
            return unusableInputs("the second moments of channels " + std::to_string(fault->column) + " and "
                + std::to_string(fault->row) + " are not symmetric, or not finite");
    if (stop.stop_requested())
        return failure(ErrorCode::Cancelled, "calibration", "stopped on request");
    return {};
}

}  // namespace

Result<void> checkLayerInputs(const LayerInputs& inputs, const std::stop_token& stop)
{
    if (inputs.columns == 0)
        return unusableInputs("there are no input channels");
    for (const auto& [part, name] : {std::pair(&inputs.mean, "the mean"), std::pair(&inputs.absMean, "the mean of |x|"),
             std::pair(&inputs.absMax, "the largest |x|")})
        if (auto checked = checkPart(*part, inputs.columns, name); !checked)
            return checked;
    if (inputs.sample.size() % inputs.columns != 0)
        return unusableInputs(
            "the sample does not hold whole tokens of " + std::to_string(inputs.columns) + " input channels");
    if (auto checked = checkPart(inputs.sample, inputs.sample.size(), "the sample"); !checked)
        return checked;
    return inputs.secondMoments.empty() ? Result<void> {} : checkMoments(inputs.secondMoments, inputs.columns, stop);
}

std::vector<float> meanSquares(const LayerInputs& inputs)
{
    std::vector<float> squares(inputs.columns);
    for (std::size_t i = 0; i < squares.size(); ++i)
        squares[i] =
            static_cast<float>(inputs.secondMoments[i * inputs.columns + i] / static_cast<double>(inputs.tokens));
    return squares;
}

}  // namespace quantloupe
