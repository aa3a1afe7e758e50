// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/not_a_number.h"
#include "core/report/report_context.h"

#include <algorithm>

namespace quantloupe {

namespace {

/// Rows of the frontier's table; the figure draws every point.
constexpr std::size_t frontierRows = 24;

/// What the trade-off adds up.
std::string errorTitle(ErrorMetric metric)
{
    switch (metric) {
    case ErrorMetric::Fisher: return "Predicted KL (Fisher), summed";
    case ErrorMetric::Kfac: return "Predicted KL (K-FAC), summed";
    case ErrorMetric::OnePointKl: return "Estimated KL, summed";
    case ErrorMetric::MeasuredKl: return "Measured KL, summed";
    default: return "Relative weight error";
    }
}

ReportTable placesTable(std::string id, std::string caption, const ByteUnit& unit, ErrorMetric metric)
{
    return {std::move(id), std::move(caption),
        {"Point", "Size (" + std::string(unit.name) + ")", "Bits per weight", errorTitle(metric)}, {}};
}

std::vector<ReportCell> placeRow(
    std::string label, std::uint64_t bytes, double bits, double error, const ByteUnit& unit)
{
    return {std::move(label), fixedNumber(static_cast<double>(bytes) / unit.divisor, unit.divisor == 1.0 ? 0 : 3),
        fixedNumber(bits, 3), scientificNumber(error, 3)};
}

ReportTable deviceTable(const ReportContext& context)
{
    Workload baseWorkload = context.workload;
    baseWorkload.keyValueBits = 16.0;
    const Plan base = unquantizedPlan(context.study.model);
    struct Row {
        const DeviceProfile* device;
        const char* what;
        Projection cost;
    };
    std::vector<Row> rows;
    std::uint64_t largest = 0;
    for (const DeviceProfile& device : context.options.devices) {
        rows.push_back({&device, "base", project(context.study.model, base, device, baseWorkload)});
        if (context.plan)
            rows.push_back({&device, "recipe", project(context.study.model, *context.plan, device, context.workload)});
    }
    for (const Row& row : rows)
        largest = std::max(largest, row.cost.totalBytes());

    const ByteUnit unit = byteUnit(largest);
    const std::string name(unit.name);
    ReportTable table {"savings", "Projected cost on each device",
        {"Device", "Plan", "Weights (" + name + ")", "KV cache (" + name + ")", "Activations (" + name + ")",
            "Total (" + name + ")", "Memory (GiB)", "Fits", "Prefill (tokens/s)", "Decode (tokens/s)",
            "Decode bound by", "Energy (J/token)"},
        {}};
    constexpr double gibibyte = 1024.0 * 1024.0 * 1024.0;
    const auto size = [&](std::uint64_t bytes) { return fixedNumber(static_cast<double>(bytes) / unit.divisor, 2); };
    for (const Row& row : rows) {
        const Projection& cost = row.cost;
        table.rows.push_back({row.device->name, std::string(row.what), size(cost.weightsBytes),
            size(cost.keyValueBytes), size(cost.activationBytes), size(cost.totalBytes()),
            fixedNumber(row.device->memoryBytes.value / gibibyte, 1), std::string(cost.fits ? "yes" : "no"),
            ReportNumber {cost.prefillTokensPerSecond, 4}, ReportNumber {cost.decodeTokensPerSecond, 4},
            std::string(cost.decodeMemoryBound ? "memory" : "compute"), ReportNumber {cost.energyPerToken, 3}});
    }
    return table;
}

ReportTable sourcesTable(const std::vector<DeviceProfile>& devices)
{
    ReportTable table {
        "device_figures", "Where the devices' figures come from", {"Device", "Figure", "Value", "Unit", "Source"}, {}};
    for (const DeviceProfile& device : devices) {
        const auto add = [&](std::string what, const DeviceFigure& figure, const char* unit) {
            table.rows.push_back(
                {device.name, std::move(what), ReportNumber {figure.value, 4}, std::string(unit), figure.source});
        };
        add("memory", device.memoryBytes, "bytes");
        add("memory bandwidth", device.memoryBandwidth, "bytes/s");
        add("share of the bandwidth reached", device.bandwidthEfficiency, "");
        add("share of the arithmetic reached", device.computeEfficiency, "");
        for (const ComputeRate& compute : device.compute)
            add("peak rate, " + compute.type, compute.rate, "operations/s");
        add("energy per byte", device.energyPerByte, "J");
        add("energy per operation", device.energyPerOperation, "J");
        add("idle power", device.idlePower, "W");
    }
    return table;
}

}  // namespace

std::vector<ReportBlock> tradeOffBlocks(const ReportContext& context)
{
    const TradeOffPicture& picture = context.tradeOff;
    if (picture.uniform.empty() && picture.frontier.points.empty())
        return {};
    std::uint64_t largest = 0;
    for (const TradeOffPoint& point : picture.uniform)
        largest = std::max(largest, point.bytes);
    for (const FrontierPoint& point : picture.frontier.points)
        largest = std::max(largest, point.bytes);
    const ByteUnit unit = byteUnit(largest);

    std::vector<ReportBlock> blocks;
    const bool ofWeights = picture.metric == ErrorMetric::ModelError;
    blocks.push_back(ReportParagraph {
        (ofWeights ? std::string(
             "Size of the whole model against the weight error of its quantizable tensors, Σ(w−ŵ)²/Σw².")
                   : std::string(
                       "Size of the whole model against the KL divergence of its predictions from those of the model "
                       "as stored, in nats per token: what each tensor alone does, added up."))
        + " The frontier mixes schemes so that each size has the least error."});
    blocks.push_back(ReportFigure {ReportFigure::Kind::TradeOff, "figure_trade_off",
        ofWeights ? "Size against weight error" : "Size against divergence"});
    ReportTable uniform = placesTable("uniform", "One scheme for everything, and the recipe", unit, picture.metric);
    for (const TradeOffPoint& point : picture.uniform)
        uniform.rows.push_back(placeRow(point.label, point.bytes, point.bitsPerWeight, point.error, unit));
    if (picture.current)
        uniform.rows.push_back(placeRow(
            "the recipe", picture.current->bytes, picture.current->bitsPerWeight, picture.current->error, unit));
    blocks.push_back(std::move(uniform));

    const auto& points = picture.frontier.points;
    if (points.empty())
        return blocks;
    ReportTable mixed = placesTable("frontier", "The mixed-precision frontier", unit, picture.metric);
    for (const std::size_t i : evenlySpread(points.size(), frontierRows))
        mixed.rows.push_back(placeRow(std::to_string(i + 1) + " of " + std::to_string(points.size()), points[i].bytes,
            points[i].bitsPerWeight, points[i].error, unit));
    blocks.push_back(std::move(mixed));
    return blocks;
}

std::vector<ReportBlock> recipeBlocks(const ReportContext& context)
{
    if (!context.recipe)
        return {};
    const Recipe& recipe = *context.recipe;
    ReportTable rules {
        "rules", "Rules, the last that matches wins; what is kept wins over all", {"Tensors", "Scheme"}, {}};
    rules.rows.push_back({std::string("everything else"), recipe.defaultPlan.toString()});
    for (const RecipeRule& rule : recipe.rules)
        rules.rows.push_back({rule.match, rule.plan.toString()});
    for (const std::string& glob : recipe.keep)
        rules.rows.push_back({glob, std::string("kept as stored")});
    std::vector<ReportBlock> blocks;
    if (!recipe.notes.empty())
        blocks.push_back(ReportParagraph {recipe.notes});
    blocks.push_back(std::move(rules));
    blocks.push_back(ReportParagraph {"The recipe as a file:"});
    blocks.push_back(ReportCode {"json", recipe.toJson()});
    return blocks;
}

std::vector<ReportBlock> savingsBlocks(const ReportContext& context)
{
    const ReportOptions& options = context.options;
    if (options.devices.empty())
        return {};
    std::vector<ReportBlock> blocks;
    const Workload& workload = context.workload;
    blocks.push_back(ReportParagraph {
        "All figures here are projected from device data sheets by a roofline model; none was measured. Context "
        + std::to_string(workload.context) + " tokens, batch " + std::to_string(workload.batch)
        + ", KV cache at 16 bits per value for the base and " + formatNumber({workload.keyValueBits, 3})
        + " for the recipe."});
    blocks.push_back(ReportFigure {
        ReportFigure::Kind::MemoryStack, "figure_memory", "Memory by use, against what the devices have (projected)"});
    blocks.push_back(deviceTable(context));
    for (std::size_t i = 0; i < options.devices.size(); ++i) {
        const DeviceProfile& device = options.devices[i];
        ReportFigure latency {ReportFigure::Kind::Latency, "figure_latency_" + std::to_string(i + 1),
            "Speed on " + device.name + " (projected)"};
        latency.device = device.id;
        blocks.push_back(std::move(latency));
        ReportFigure roofline {ReportFigure::Kind::Roofline, "figure_roofline_" + std::to_string(i + 1),
            "Operations of a decode step on " + device.name + " (projected)"};
        roofline.device = device.id;
        const Plan plan = context.plan ? *context.plan : unquantizedPlan(context.study.model);
        roofline.data = {"roofline_" + std::to_string(i + 1), roofline.caption,
            {"Operation", "Operations", "Bytes", "Seconds", "Bound by"}, {}};
        for (const RooflinePoint& point : project(context.study.model, plan, device, workload).decodeOperations) {
            roofline.data.rows.push_back({point.name, ReportNumber {point.operations}, ReportNumber {point.bytes},
                scientificNumber(point.seconds, 3), std::string(point.memoryBound ? "memory" : "compute")});
        }
        blocks.push_back(std::move(roofline));
    }
    std::vector<std::string> told;
    for (const DeviceProfile& device : options.devices) {
        const Plan plan = context.plan ? *context.plan : unquantizedPlan(context.study.model);
        for (const std::string& assumption : project(context.study.model, plan, device, workload).assumptions) {
            if (std::find(told.begin(), told.end(), assumption) == told.end()) {
                told.push_back(assumption);
                blocks.push_back(ReportParagraph {"Assumed: " + assumption});
            }
        }
    }
    blocks.push_back(sourcesTable(options.devices));
    return blocks;
}

}  // namespace quantloupe
