// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/stored_curvature.h"

#include "core/calibration/gradient_file.h"
#include "core/study/calibration_run.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

namespace quantloupe {

Result<std::shared_ptr<const LayerCurvature>> loadCurvature(
    const StudySnapshot& study, const std::filesystem::path& path, const LayerName& layer, const std::stop_token& stop)
{
    const auto found = study.calibration.gradients.find(layer);
    if (found == study.calibration.gradients.end())
        return std::shared_ptr<const LayerCurvature>();
    const auto& figures = *found->second;
    const auto folder = inputFolderOf(path);
    const auto file = GradientFile::open(folder, figures.file, stop);
    if (!file)
        return tl::unexpected(file.error());
    if (file->outputs() != figures.outputs() || file->columns() != figures.columns
        || file->predictions() != figures.text.predictions)
        return failure(ErrorCode::Conflict, (folder / figures.file.name).string(),
            "is not of the layer and text that the study tells of");
    const auto areFinite = [](std::span<const float> values) {
        return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
    };
    if (!areFinite(file->moments()) || !areFinite(file->fisher()))
        return failure(ErrorCode::Malformed, (folder / figures.file.name).string(),
            "holds gradients that are not finite: calibrate again with --fresh");
    const auto predictions = static_cast<double>(figures.text.predictions);
    const auto perPrediction = [predictions](
                                   auto sum) { return static_cast<float>(static_cast<double>(sum) / predictions); };
    LayerCurvature curvature {.outputs = figures.outputs(), .columns = static_cast<std::size_t>(figures.columns)};
    if (!file->moments().empty()) {
        const auto whole = wholeMoments(MomentLayout(curvature.outputs), file->moments(), stop);
        curvature.outputMoments.resize(whole.size());
        std::transform(whole.begin(), whole.end(), curvature.outputMoments.begin(), perPrediction);
    }
    if (stop.stop_requested())
        return failure(ErrorCode::Cancelled, layer.text(), "stopped on request");
    curvature.outputSquares.resize(figures.outputs());
    std::transform(figures.squares.begin(), figures.squares.end(), curvature.outputSquares.begin(), perPrediction);
    curvature.fisher.resize(file->fisher().size());
    std::transform(file->fisher().begin(), file->fisher().end(), curvature.fisher.begin(), perPrediction);
    return std::make_shared<const LayerCurvature>(std::move(curvature));
}

}  // namespace quantloupe
