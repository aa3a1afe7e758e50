// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/calibrate_gradients.h"

#include "core/base/atomic_file.h"
#include "core/base/hash.h"
#include "core/calibration/gather_gradients.h"
#include "core/calibration/second_moments.h"
#include "core/recipes/plan.h"
#include "core/study/calibration_run.h"

#include <set>
#include <system_error>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::string_view kGradientSuffix = ".gradient";

/// A name of its own for every state of a layer, so that the one that the study names stays until it names the next.
std::string gradientFileName(const GradientFigures& figures)
{
    FingerprintHasher hasher;
    hasher.add(std::string_view(figures.layer.text()));
    hasher.add(std::string_view(figures.text.identity));
    return hasher.hex() + std::string(kGradientSuffix);
}

void removeUnnamedGradients(const Study& study, const std::filesystem::path& folder)
{
    std::set<std::string> named;
    for (const auto& [layer, figures] : study.snapshot()->calibration.gradients)
        named.insert(figures->file.name);
    removeFiles(folder, [&](const std::string& name) {
        return name.find(kGradientSuffix) != std::string::npos && !named.contains(name);
    });
}

/// The layers that nothing is left to learn of, by text().
std::set<std::string> layersKnownFrom(const StudySnapshot& study, const std::string& identity)
{
    std::set<std::string> known;
    for (const auto& [layer, figures] : study.calibration.gradients)
        if (figures->text.identity == identity)
            known.insert(layer.text());
    return known;
}

}  // namespace

std::uint64_t gradientBytes(const ModelCatalog& model, bool fisher)
{
    constexpr std::uint64_t frame = 88;  // magic, header and checksum of gradient_file.h
    const auto tied = tiedHead(model);
    const auto isMatrix = [&](std::size_t i) {
        return model.tensors[i].quantizable && tied != i && model.tensors[i].shape.size() >= 2;
    };
    bool hasHead = false;
    for (std::size_t i = 0; i < model.tensors.size(); ++i)
        hasHead = hasHead || (isMatrix(i) && model.tensors[i].parts.role == TensorRole::LmHead);
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = model.tensors[i];
        const auto role = tensor.parts.role;
        // A tied embedding is a layer where it stands for the head.
        if (!isMatrix(i) || role == TensorRole::Position || (role == TensorRole::Embedding && hasHead))
            continue;
        const std::uint64_t slices = tensor.shape.size() == 3 ? tensor.shape.front() : 1;
        const auto outputs = tensor.matrix.rows / slices;
        const auto moments = outputs > mostGradientOutputs ? 0 : MomentLayout::sizeFor(outputs);
        const auto weights = fisher ? outputs * tensor.matrix.columns : 0;
        bytes += slices * (frame + sizeof(float) * (moments + weights));
    }
    return bytes;
}

Result<std::size_t> calibrateGradients(Study& study, const Decoder& decoder, const WindowedText& windows,
    const std::string& textName, const GradientCalibration& how, std::stop_token stop, Progress& progress)
{
    const auto folder = inputFolderOf(study.path());
    std::error_code problem;
    std::filesystem::create_directories(folder, problem);
    if (problem)
        return failure(ErrorCode::CannotWrite, folder.string(), problem.message());
    removeUnnamedGradients(study, folder);
    const auto text = windowsForGradients(windows, how.tokens == 0 ? gradientTokens : how.tokens);
    const auto known = layersKnownFrom(*study.snapshot(), gradientIdentity(text, how.fisher));
    std::size_t layers = 0;
    const GradientLayerSink sink = [&](GatheredGradients gathered) -> Result<void> {
        auto& figures = gathered.figures;
        figures.text.name = textName;
        auto written = writeGradientFile(folder, gradientFileName(figures), gathered, stop);
        if (!written)
            return tl::unexpected(written.error());
        figures.file = std::move(*written);
        if (auto kept = study.append(figures); !kept)
            return kept;
        ++layers;
        return {};
    };
    if (auto done = gatherGradients(decoder, text, how.fisher, how.limits, known, sink, stop, progress); !done)
        return tl::unexpected(done.error());
    removeUnnamedGradients(study, folder);
    return layers;
}

}  // namespace quantloupe
