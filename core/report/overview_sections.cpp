// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/not_a_number.h"
#include "core/study/error_metric.h"
#include "core/report/report_context.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace quantloupe {

namespace {

void addRow(ReportTable& table, const char* what, std::string value)
{
    table.rows.push_back({std::string(what), std::move(value)});
}

void addCount(ReportTable& table, const char* what, const std::optional<std::uint64_t>& value)
{
    if (value)
        addRow(table, what, std::to_string(*value));
}

/// "BF16 (291 tensors)", most bytes first.
std::string storedTypes(const ModelCatalog& model)
{
    struct Share {
        std::uint64_t bytes = 0;
        std::size_t tensors = 0;
    };
    std::map<std::string, Share> shares;
    for (const CatalogTensor& tensor : model.tensors) {
        Share& share = shares[tensor.storedAs()];
        share.bytes += tensor.bytes;
        ++share.tensors;
    }
    std::vector<std::pair<std::string, Share>> ordered(shares.begin(), shares.end());
    std::stable_sort(ordered.begin(), ordered.end(),
        [](const auto& left, const auto& right) { return left.second.bytes > right.second.bytes; });
    std::string text;
    for (const auto& [name, share] : ordered)
        text += (text.empty() ? "" : ", ") + name + " (" + std::to_string(share.tensors) + " tensors)";
    return text;
}

ReportTable modelCard(const ModelCatalog& model)
{
    ReportTable table {"model", "The model", {"Property", "Value"}, {}};
    if (!model.config.architecture.empty())
        addRow(table, "Architecture", model.config.architecture);
    addRow(table, "Source", model.path);
    addRow(table, "Format", model.format);
    addRow(table, "Parameters", formatCount(model.parameters()) + " (" + std::to_string(model.parameters()) + ")");
    addRow(table, "Size as stored", formatBytes(model.bytes()) + " (" + std::to_string(model.bytes()) + " bytes)");
    addRow(table, "Stored types", storedTypes(model));
    addRow(table, "Tensors", std::to_string(model.tensors.size()));
    addCount(table, "Blocks", model.config.layers);
    addCount(table, "Hidden size", model.config.hiddenSize);
    addCount(table, "Attention heads", model.config.heads);
    addCount(table, "Key/value heads", model.config.keyValueHeads);
    addCount(table, "Vocabulary", model.config.vocabulary);
    addCount(table, "Experts", model.config.experts);
    if (model.config.tiedEmbeddings)
        addRow(table, "Embeddings", "tied to the output head");
    addRow(table, "Fingerprint", model.fingerprint);
    return table;
}

ReportTable headline(const ReportContext& context)
{
    ReportTable table {"headline", "What the recipe comes to", {"Figure", "As stored", "Under the recipe"}, {}};
    const Plan& plan = *context.plan;
    const auto baseBits =
        static_cast<double>(plan.baseBytes) * 8.0 / static_cast<double>(context.study.model.parameters());
    table.rows.push_back({std::string("Size"), formatBytes(plan.baseBytes), formatBytes(plan.bytes)});
    table.rows.push_back({std::string("Bits per weight, kept tensors included"), fixedNumber(baseBits, 3),
        fixedNumber(plan.bitsPerWeight, 3)});
    const double ratio =
        plan.bytes == 0 ? notANumber : static_cast<double>(plan.baseBytes) / static_cast<double>(plan.bytes);
    table.rows.push_back({std::string("Compression (×)"), fixedNumber(1.0, 2), fixedNumber(ratio, 2)});
    const double error = context.tradeOff.current ? context.tradeOff.current->error : notANumber;
    table.rows.push_back({std::string("Relative weight error"), scientificNumber(0.0, 2), scientificNumber(error, 2)});
    const double sqnr = error > 0.0 ? -10.0 * std::log10(error)
        : std::isnan(error)         ? notANumber
                                    : std::numeric_limits<double>::infinity();
    table.rows.push_back(
        {std::string("SQNR (dB)"), fixedNumber(std::numeric_limits<double>::infinity(), 2), fixedNumber(sqnr, 2)});
    return table;
}

}  // namespace

std::vector<ReportBlock> summaryBlocks(const ReportContext& context)
{
    std::vector<ReportBlock> blocks;
    const ModelCatalog& model = context.study.model;
    if (model.synthetic) {
        blocks.push_back(
            ReportParagraph {"This model is synthetic: a generator made its weights, nobody trained them. "
                             "Its figures show how the workbench works and say nothing about a real model."});
    }
    if (context.plan) {
        const Plan& plan = *context.plan;
        std::string text = "The recipe takes the weights from " + formatBytes(plan.baseBytes) + " to "
            + formatBytes(plan.bytes) + " (" + formatNumber(fixedNumber(plan.bitsPerWeight, 2)) + " bits per weight).";
        if (context.tradeOff.current && std::isnan(context.tradeOff.current->error))
            text +=
                " Some tensors were not measured under their scheme in the recipe, so its total error is not known.";
        blocks.push_back(ReportParagraph {std::move(text)});
        blocks.push_back(headline(context));
    } else {
        blocks.push_back(
            ReportParagraph {"The study holds no recipe yet: what follows describes the model and the schemes "
                             "that were measured."});
    }
    blocks.push_back(modelCard(model));
    for (const std::string& warning : model.warnings)
        blocks.push_back(ReportParagraph {"Warning from the file: " + warning});
    return blocks;
}

std::vector<ReportBlock> findingBlocks(const ReportContext& context)
{
    if (context.options.findings.empty())
        return {};
    ReportTable table {"findings", "Findings, worst first", {"Severity", "Tensor", "Finding"}, {}};
    for (const ReportFinding& finding : context.options.findings) {
        const char* severity = finding.severity == ReportFinding::Severity::Problem ? "problem"
            : finding.severity == ReportFinding::Severity::Warning                  ? "warning"
                                                                                    : "note";
        table.rows.push_back(
            {std::string(severity), finding.tensor.empty() ? "the model" : finding.tensor, finding.text});
    }
    return {std::move(table)};
}

std::vector<ReportBlock> sizeBlocks(const ReportContext& context)
{
    struct RoleTotal {
        std::size_t tensors = 0;
        std::uint64_t parameters = 0, bytes = 0, planned = 0;
        double minimum = std::numeric_limits<double>::infinity(), maximum = -std::numeric_limits<double>::infinity();
        std::uint64_t counted = 0, beyond6Sigma = 0, nonFinite = 0;
    };
    std::map<TensorRole, RoleTotal> roles;
    const auto& tensors = context.study.model.tensors;
    std::uint64_t largest = 0, total = 0;
    bool ranges = false;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        RoleTotal& role = roles[tensors[i].parts.role];
        ++role.tensors;
        role.parameters += tensors[i].parameters();
        role.bytes += tensors[i].bytes;
        role.planned += context.plan ? context.plan->tensors[i].bytes : tensors[i].bytes;
        largest = std::max(largest, role.bytes);
        total += tensors[i].bytes;
        if (const WeightStatistics* weights = context.study.findWeights(tensors[i].name)) {
            role.minimum = std::min(role.minimum, weights->minimum);
            role.maximum = std::max(role.maximum, weights->maximum);
            role.counted += weights->moments.count;
            role.beyond6Sigma += weights->beyond6Sigma;
            role.nonFinite += weights->nonFinite;
            ranges = true;
        }
    }
    if (roles.empty())
        return {};

    const ByteUnit unit = byteUnit(largest);
    const auto size = [&](std::uint64_t bytes) {
        return fixedNumber(static_cast<double>(bytes) / unit.divisor, unit.divisor == 1.0 ? 0 : 3);
    };
    ReportTable table {"size_by_role", "Size and range by role",
        {"Role", "Tensors", "Parameters", "Stored (" + std::string(unit.name) + ")", "Share (%)"}, {}};
    if (context.plan)
        table.header.push_back("Recipe (" + std::string(unit.name) + ")");
    if (ranges) {
        for (const char* title : {"Minimum", "Maximum", "Beyond 6σ (ppm)", "Not finite"})
            table.header.emplace_back(title);
    }
    for (const auto& [name, role] : roles) {
        std::vector<ReportCell> row {std::string(nameOf(name)), fixedNumber(static_cast<double>(role.tensors), 0),
            fixedNumber(static_cast<double>(role.parameters), 0), size(role.bytes),
            fixedNumber(total == 0 ? 0.0 : 100.0 * static_cast<double>(role.bytes) / static_cast<double>(total), 2)};
        if (context.plan)
            row.emplace_back(size(role.planned));
        if (ranges) {
            const bool known = role.counted > 0;
            row.emplace_back(ReportNumber {known ? role.minimum : notANumber, 4});
            row.emplace_back(ReportNumber {known ? role.maximum : notANumber, 4});
            row.emplace_back(fixedNumber(
                known ? 1e6 * static_cast<double>(role.beyond6Sigma) / static_cast<double>(role.counted) : notANumber,
                1));
            row.emplace_back(
                fixedNumber(known || role.nonFinite > 0 ? static_cast<double>(role.nonFinite) : notANumber, 0));
        }
        table.rows.push_back(std::move(row));
    }

    std::vector<ReportBlock> blocks;
    blocks.push_back(
        ReportFigure {ReportFigure::Kind::SizeByRole, "figure_size_by_role", "Where the bytes are, by role"});
    blocks.push_back(std::move(table));
    if (!ranges)
        return blocks;

    ReportFigure figure {ReportFigure::Kind::WeightRanges, "figure_weight_ranges", "Weight ranges over depth"};
    figure.data = {"weight_ranges", "Weight ranges over depth",
        {"Tensor", "Minimum", "1st percentile", "99th percentile", "Maximum", "Standard deviation"}, {}};
    for (const CatalogTensor& tensor : tensors) {
        if (const WeightStatistics* weights = context.study.findWeights(tensor.name)) {
            figure.data.rows.push_back({tensor.name, ReportNumber {weights->minimum},
                ReportNumber {weights->percentile1}, ReportNumber {weights->percentile99},
                ReportNumber {weights->maximum}, ReportNumber {weights->moments.standardDeviation()}});
        }
    }
    blocks.push_back(std::move(figure));
    return blocks;
}

}  // namespace quantloupe
