// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/analysis_details.h"

#include "app/cli/progress_printer.h"

#include "core/analysis/error_causes.h"

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

Json outliersJson(const OutlierShare& share)
{
    return {{"channels", share.channels}, {"of", share.of}, {"share", number(share.share)}};
}

Json causesJson(const ErrorCauses& causes)
{
    return {
        {"clipping_share", causes.clipping ? number(*causes.clipping) : Json(nullptr)},
        {"loudest_output_channels", outliersJson(causes.loudestRows)},
        {"loudest_input_channels", outliersJson(causes.loudestColumns)},
        {"loudest_group_share", number(causes.loudestGroup.share)},
        {"outlier_weight_output_channels", outliersJson(causes.weightRows)},
        {"outlier_weight_input_channels", outliersJson(causes.weightColumns)},
        {"outlier_activation_channels", causes.activations ? outliersJson(*causes.activations) : Json(nullptr)},
        {"sentences", causes.sentences()},
    };
}

/// Everything that was tried, best first.
Result<Json> curesJson(const Session& session, const Model& model, const ResultName& result,
    const WeightStatistics& weights, const Scheme& scheme, Progress& progress)
{
    const auto cures = tryCures(model.tensors[result.tensor], weights, scheme, &model, session.stop, progress);
    if (!cures && cures.error().code == ErrorCode::Unsupported)
        return Json::array();
    if (!cures)
        return tl::unexpected(cures.error());
    Json list = Json::array();
    for (const auto& cure : *cures)
        list.push_back(cureJson(cure));
    return list;
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

Result<std::vector<Json>> resultDetails(const Session& session, const Model& model,
    const std::vector<ResultName>& results, const StudySnapshot& found, bool withCures)
{
    Progress progress;
    for (const auto& result : results)
        progress.totalBytes += model.tensors[result.tensor].bytes() * (withCures ? 2 : 1);
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
        const auto& weights = *found.findWeights(tensor.name);
        details.push_back(detailsJson(*inspection));
        details.back()["causes"] = causesJson(causesOf(*inspection, weights, found.calibration.find(tensor.name)));
        if (withCures) {
            auto cures =
                arena.execute([&] { return curesJson(session, model, result, weights, measured.scheme, progress); });
            if (!cures)
                return tl::unexpected(cures.error());
            details.back()["cures"] = std::move(*cures);
        }
        releaseBytes(tensor.view);
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
        {"text", cure->sentence()},
        {"kept_channels", cure->isMixture() ? Json(cure->kept) : Json(nullptr)},
        {"gain_db", number(cure->gain())},
        {"gain_db_per_added_bit", number(cure->gainPerAddedBit())},
        {"output_sqnr_db_before", cure->outputs ? number(cure->outputs->before) : Json(nullptr)},
        {"output_sqnr_db_after", cure->outputs ? number(cure->outputs->after) : Json(nullptr)},
        {"sqnr_db_before", number(cure->sqnrBefore)},
        {"sqnr_db_after", number(cure->sqnrAfter)},
        {"bytes_before", cure->bytesBefore},
        {"bytes_after", cure->bytesAfter},
        {"rows_measured", cure->measuredRows},
        {"rows", cure->rows},
    };
}

}  // namespace quantloupe::cli
