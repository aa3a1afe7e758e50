// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/analysis_details.h"

#include "app/cli/progress_printer.h"

#include "core/analysis/inspect.h"

#include <tbb/task_arena.h>

#include <array>

namespace quantloupe::cli {
namespace {

Json channelsJson(const std::vector<ChannelShare>& channels)
{
    Json list = Json::array();
    for (const auto& channel : channels)
        list.push_back({{"index", channel.index}, {"share", number(channel.share)}});
    return list;
}

/// Shares of the error energy that the measurement has.
Json groupsJson(const LayerInspection& inspection)
{
    Json list = Json::array();
    for (const auto& group : inspection.topGroups)
        list.push_back({{"row", group.row}, {"column", group.column}, {"length", group.length},
            {"share", number(group.energy / inspection.measurement.error.errorEnergy)}});
    return list;
}

Json quantilesJson(const Histogram& errors)
{
    constexpr std::array quantiles {
        std::pair("0.001", 0.001),
        std::pair("0.01", 0.01),
        std::pair("0.05", 0.05),
        std::pair("0.25", 0.25),
        std::pair("0.5", 0.5),
        std::pair("0.75", 0.75),
        std::pair("0.95", 0.95),
        std::pair("0.99", 0.99),
        std::pair("0.999", 0.999),
    };
    Json object = Json::object();
    for (const auto& [name, q] : quantiles)
        object[name] = errors.total() == 0 ? Json(nullptr) : number(errors.quantile(q));
    return object;
}

Json detailsJson(const LayerInspection& inspection)
{
    const auto& split = inspection.split;
    return {
        {"rounding_energy", split ? number(split->rounding) : Json(nullptr)},
        {"clipping_energy", split ? number(split->clipping) : Json(nullptr)},
        {"code_entropy_bits", number(inspection.entropyBits)},
        {"codes_used", inspection.codes == 0 ? Json(nullptr) : Json(inspection.codesUsed)},
        {"codes", inspection.codes == 0 ? Json(nullptr) : Json(inspection.codes)},
        {"top_output_channels", channelsJson(inspection.topOutputChannels)},
        {"top_input_channels", channelsJson(inspection.topInputChannels)},
        {"top_groups", groupsJson(inspection)},
        {"error_quantiles", quantilesJson(inspection.measurement.errorHistogram)},
    };
}

}  // namespace

Result<std::vector<Json>> resultDetails(
    const Session& session, const Model& model, const std::vector<ResultName>& results, const StudySnapshot& found)
{
    Progress progress;
    for (const auto& result : results)
        progress.totalBytes += model.tensors[result.tensor].bytes();
    progress.totalItems = static_cast<std::uint32_t>(results.size());
    const ProgressPrinter printer(progress, session.options.quiet);
    tbb::task_arena arena(static_cast<int>(session.threads()));
    std::vector<Json> details;
    for (const auto& result : results) {
        const auto& tensor = model.tensors[result.tensor];
        const auto& measured = *found.find(tensor.name, result.scheme);
        const auto inspection = arena.execute([&] {
            return inspectLayer(
                tensor, *found.findWeights(tensor.name), measured.scheme, session.stop, progress, &model);
        });
        if (!inspection)
            return tl::unexpected(inspection.error());
        releaseBytes(tensor.view);
        details.push_back(detailsJson(*inspection));
        ++progress.doneItems;
    }
    return details;
}

Result<std::vector<Finding>> curedFindings(const Session& session, const Model& model, const StudySnapshot& found)
{
    Progress progress;
    const ProgressPrinter printer(progress, session.options.quiet);
    tbb::task_arena arena(static_cast<int>(session.threads()));
    return arena.execute([&] { return findingsWithCures(model, found, session.stop, progress); });
}

Json cureJson(const std::optional<Cure>& cure)
{
    if (!cure)
        return nullptr;
    return {
        {"scheme", cure->scheme.toString()},
        {"sqnr_db_before", number(cure->sqnrBefore)},
        {"sqnr_db_after", number(cure->sqnrAfter)},
        {"bytes_before", cure->bytesBefore},
        {"bytes_after", cure->bytesAfter},
        {"rows_measured", cure->measuredRows},
        {"rows", cure->rows},
    };
}

}  // namespace quantloupe::cli
