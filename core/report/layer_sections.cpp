// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/not_a_number.h"
#include "core/study/error_metric.h"
#include "core/report/report_context.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace quantloupe {

namespace {

constexpr std::size_t rankingLength = 20;

/// Tensors under one scheme, largest relative error first; equal ones by name, so that the order never wavers.
std::vector<std::size_t> ranked(const ReportContext& context, const std::string& scheme)
{
    struct Entry {
        std::size_t tensor;
        double error;
    };
    std::vector<Entry> entries;
    const auto& tensors = context.study.model.tensors;
    for (const std::size_t i : measuredInDepthOrder(context.study)) {
        if (const auto* measurement = context.study.find(tensors[i].name, scheme)) {
            const double error = measurement->error.relativeError();
            entries.push_back({i, std::isnan(error) ? -1.0 : error});
        }
    }
    std::stable_sort(entries.begin(), entries.end(), [&](const Entry& left, const Entry& right) {
        return left.error != right.error ? left.error > right.error
                                         : tensors[left.tensor].name < tensors[right.tensor].name;
    });
    std::vector<std::size_t> order;
    for (const Entry& entry : entries)
        order.push_back(entry.tensor);
    return order;
}

ReportTable rankingTable(const ReportContext& context, const std::string& scheme)
{
    ReportTable table {"ranking",
        "The " + std::to_string(rankingLength) + " tensors that " + scheme + " hurts most, by relative weight error",
        {"Rank", "Tensor", "Relative error", "SQNR (dB)", "Largest error", "Part of the model's error (%)"}, {}};
    const auto order = ranked(context, scheme);
    // A tied output head is the embedding once more.
    const auto tied = tiedHead(context.study.model);
    double total = 0.0;
    for (const std::size_t i : order)
        if (tied != i)
            total += context.study.find(context.study.model.tensors[i].name, scheme)->error.errorEnergy;
    for (std::size_t rank = 0; rank < std::min(order.size(), rankingLength); ++rank) {
        const std::string& name = context.study.model.tensors[order[rank]].name;
        const ErrorStatistics& error = context.study.find(name, scheme)->error;
        table.rows.push_back(
            {fixedNumber(static_cast<double>(rank + 1), 0), name, scientificNumber(error.relativeError(), 2),
                fixedNumber(error.sqnrDb(), 2), ReportNumber {error.maxAbsError, 3},
                fixedNumber(total > 0.0 ? 100.0 * error.errorEnergy / total : notANumber, 2)});
    }
    return table;
}

ReportTable sensitivityTable(const ReportContext& context, const std::vector<std::string>& schemes)
{
    ReportTable table {"sensitivity", "SQNR (dB) of every measured tensor under every scheme", {"Tensor"}, {}};
    table.header.insert(table.header.end(), schemes.begin(), schemes.end());
    for (const std::size_t i : measuredInDepthOrder(context.study)) {
        const std::string& name = context.study.model.tensors[i].name;
        std::vector<ReportCell> row {name};
        for (const std::string& scheme : schemes) {
            const auto* measurement = context.study.find(name, scheme);
            row.emplace_back(fixedNumber(measurement ? measurement->error.sqnrDb() : notANumber, 2));
        }
        table.rows.push_back(std::move(row));
    }
    return table;
}

}  // namespace

std::vector<ReportBlock> layerBlocks(const ReportContext& context)
{
    const auto& tensors = context.study.model.tensors;
    if (tensors.empty())
        return {};
    std::uint64_t largest = 0;
    for (const CatalogTensor& tensor : tensors)
        largest = std::max(largest, tensor.bytes);
    const ByteUnit unit = byteUnit(largest);
    const std::string unitName(unit.name);
    ReportTable table {"layers", "Every tensor",
        {"Tensor", "Role", "Shape", "Stored as", "Scheme", "Stored (" + unitName + ")", "Recipe (" + unitName + ")",
            "Bits per weight", "SQNR (dB)", "Relative error", "Clipped (%)"},
        {}};
    const int decimals = unit.divisor == 1.0 ? 0 : 3;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const CatalogTensor& tensor = tensors[i];
        const std::uint64_t bytes = context.plan ? context.plan->tensors[i].bytes : tensor.bytes;
        const std::uint64_t parameters = tensor.parameters();
        const bool kept = !context.plan || !context.plan->tensors[i].scheme;
        const auto* measurement = context.planned(i);
        // A kept tensor loses nothing; an unmeasured one loses something unknown. The table must not confuse the two.
        const double lossless = context.plan && kept ? 0.0 : notANumber;
        table.rows.push_back({tensor.name, std::string(nameOf(tensor.parts.role)), formatShape(tensor.shape),
            tensor.storedAs(), context.plannedScheme(i),
            fixedNumber(static_cast<double>(tensor.bytes) / unit.divisor, decimals),
            fixedNumber(context.plan ? static_cast<double>(bytes) / unit.divisor : notANumber, decimals),
            fixedNumber(
                parameters == 0 ? notANumber : static_cast<double>(bytes) * 8.0 / static_cast<double>(parameters), 3),
            fixedNumber(measurement   ? measurement->error.sqnrDb()
                    : lossless == 0.0 ? std::numeric_limits<double>::infinity()
                                      : notANumber,
                2),
            scientificNumber(measurement ? measurement->error.relativeError() : lossless, 2),
            fixedNumber(measurement ? 100.0 * measurement->error.clippedRatio() : lossless, 3)});
    }
    return {ReportParagraph {
                "Error figures are those of the scheme that the recipe gives the tensor; a dash means not measured."},
        std::move(table)};
}

std::vector<ReportBlock> sensitivityBlocks(const ReportContext& context)
{
    auto reference = referenceScheme(context.study);
    if (!reference)
        return {};
    // What most tensors get interests more than the harshest scheme, where it was measured.
    if (context.recipe) {
        const std::vector<std::string> measured = context.study.schemes();
        const std::string chosen = context.recipe->defaultPlan.weights.toString();
        if (std::find(measured.begin(), measured.end(), chosen) != measured.end())
            reference = chosen;
    }
    std::vector<ReportBlock> blocks;
    blocks.push_back(ReportParagraph {
        "Weight error compares schemes of one tensor well. It does not know how much the model's output "
        "depends on a tensor, so it ranks tensors against each other only roughly."});
    ReportFigure map {ReportFigure::Kind::SensitivityMap, "figure_sensitivity", "SQNR by tensor and scheme"};
    map.data = sensitivityTable(context, context.study.schemes());
    blocks.push_back(std::move(map));

    ReportFigure ranking {
        ReportFigure::Kind::Ranking, "figure_ranking", "Tensors with the largest relative error under " + *reference};
    ranking.scheme = *reference;
    blocks.push_back(std::move(ranking));
    blocks.push_back(rankingTable(context, *reference));

    ReportFigure boxes {ReportFigure::Kind::RoleBoxes, "figure_roles", "Relative error by role under " + *reference};
    boxes.scheme = *reference;
    blocks.push_back(std::move(boxes));

    // The one distribution worth seeing without asking for it: that of the tensor that suffers most.
    if (const auto order = ranked(context, *reference); !order.empty()) {
        const std::string& worst = context.study.model.tensors[order.front()].name;
        ReportFigure histogram {ReportFigure::Kind::ErrorHistogram, "figure_error_histogram",
            "Error distribution of " + worst + " under " + *reference};
        histogram.tensor = worst;
        histogram.scheme = *reference;
        const Histogram& counts = context.study.find(worst, *reference)->errorHistogram;
        if (!counts.counts.empty()) {
            histogram.data = {"error_histogram", histogram.caption, {"Error (weight units)", "Weights"}, {}};
            for (std::size_t bin = 0; bin < counts.counts.size(); ++bin) {
                histogram.data.rows.push_back(
                    {ReportNumber {counts.center(bin), 4}, fixedNumber(static_cast<double>(counts.counts[bin]), 0)});
            }
            blocks.push_back(std::move(histogram));
        }
    }
    return blocks;
}

}  // namespace quantloupe
