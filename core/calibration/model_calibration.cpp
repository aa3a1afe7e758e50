// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/model_calibration.h"

namespace quantloupe {

std::uint64_t ModelCalibration::tokens() const
{
    std::uint64_t sum = 0;
    for (const auto& text : texts)
        sum += text.complete ? text.tokens : 0;
    return sum;
}

const InputFigures* ModelCalibration::find(const std::string& tensor, std::optional<std::uint32_t> expert) const
{
    const auto found = layers.find({tensor, expert});
    return found == layers.end() ? nullptr : found->second.get();
}

std::vector<ModelCalibration::FiguresPointer> ModelCalibration::inputs() const
{
    std::vector<FiguresPointer> all;
    for (const auto& [name, figures] : layers)
        if (figures->layers.front().layer == name)
            all.push_back(figures);
    return all;
}

void ModelCalibration::set(const FiguresPointer& figures)
{
    for (const auto& [layer, sums] : figures->layers)
        layers[layer] = figures;
}

}  // namespace quantloupe
