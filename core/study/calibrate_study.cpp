// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/study/calibrate_study.h"

#include <algorithm>
#include <utility>

namespace quantloupe {

Result<CalibrationRun::Kind> calibrateStudy(Study& study, const Decoder& decoder, const WindowedText& windows,
    const std::string& textName, const StudyCalibration& how, std::stop_token stop, Progress& progress)
{
    const auto tokens = tokensOf(windows);
    std::uint64_t context = 0;
    for (const auto& window : windows.windows)
        context = std::max<std::uint64_t>(context, window.length);
    auto run = CalibrationRun::begin(study,
        {.name = textName,
            .identity = identityOf(windows),
            .tokens = tokens,
            .context = context,
            .moments = how.moments},
        how.fresh);
    if (!run)
        return tl::unexpected(run.error());
    if (run->kind() == CalibrationRun::Kind::AlreadyThere)
        return run->kind();
    const GatheringOptions gathering {.moments = how.moments, .firstNumber = run->firstNumber(), .halfway = tokens / 2};
    auto stream = ResidualStream::inFile(
        run->streamFile(), run->streamIdentity(), static_cast<std::size_t>(tokens), decoder.hidden, stop);
    const InputSink sink = [&](GatheredInput gathered) -> Result<void> {
        const auto kept = run->keep(std::move(gathered), gathering.sampleTokens, stop);
        if (!kept)
            return tl::unexpected(kept.error());
        if (how.watch)
            how.watch(*kept);
        return {};
    };
    if (auto done = calibrate(decoder, windows, gathering, how.limits, run->known(), stream, sink, stop, progress);
        !done)
        return tl::unexpected(done.error());
    if (auto done = run->finish(); !done)
        return tl::unexpected(done.error());
    return run->kind();
}

}  // namespace quantloupe
