// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/stored_layer_inputs.h"

#include "core/calibration/input_file.h"
#include "core/study/calibration_run.h"

#include <tbb/task_arena.h>

#include <utility>

namespace quantloupe {
namespace {

/// What a sum comes to for each token.
std::vector<float> perToken(const std::vector<double>& sums, std::uint64_t tokens)
{
    std::vector<float> means(sums.size());
    for (std::size_t i = 0; i < means.size(); ++i)
        means[i] = static_cast<float>(sums[i] / static_cast<double>(tokens));
    return means;
}

LayerInputs smallParts(const InputFigures& figures)
{
    const auto& sums = figures.inputs;
    return {.columns = figures.columns(),
        .tokens = sums.tokens,
        .mean = perToken(sums.sum, sums.tokens),
        .absMean = perToken(sums.absSum, sums.tokens),
        .absMax = sums.absMax()};
}

}  // namespace

StoredLayerInputs::StoredLayerInputs(StudyPointer study, std::filesystem::path path)
    : m_study(std::move(study))
    , m_path(std::move(path))
{
}

bool StoredLayerInputs::has(const std::string& tensor, std::optional<std::uint32_t> expert) const
{
    const auto* figures = m_study->calibration.find(tensor, expert);
    return figures && figures->inputs.tokens > 0;
}

Result<std::shared_ptr<const LayerInputs>> StoredLayerInputs::load(
    const std::string& tensor, std::optional<std::uint32_t> expert, const std::stop_token& stop) const
{
    if (!has(tensor, expert))
        return failure(ErrorCode::InvalidArgument, LayerName {tensor, expert}.text(),
            "calibration has not seen the inputs of this layer");
    const auto& figures = *m_study->calibration.find(tensor, expert);
    const auto key = figures.key();
    const std::lock_guard lock(m_mutex);
    if (const auto found = m_shared.find(key); found != m_shared.end())
        if (auto shared = found->second.lock())
            return shared;
    auto inputs = smallParts(figures);
    if (!figures.file.name.empty()) {
        const auto file = InputFile::open(inputFolderOf(m_path), figures.file, stop);
        if (!file)
            return tl::unexpected(file.error());
        if (file->columns() != inputs.columns || file->tokens() != inputs.tokens)
            return failure(ErrorCode::Conflict, (inputFolderOf(m_path) / figures.file.name).string(),
                "is not of the tokens that the study tells of");
        if (!file->moments().empty())
            // A thread that waits here must not begin other work: that might want the lock it holds.
            inputs.secondMoments = tbb::this_task_arena::isolate(
                [&] { return wholeMoments(MomentLayout(inputs.columns), file->moments(), stop); });
        if (stop.stop_requested())
            return failure(ErrorCode::Cancelled, key, "stopped on request");
        inputs.sample.assign(file->sample().begin(), file->sample().end());
    }
    auto shared = std::make_shared<const LayerInputs>(std::move(inputs));
    m_shared[key] = shared;
    return shared;
}

}  // namespace quantloupe
