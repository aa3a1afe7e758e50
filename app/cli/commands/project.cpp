// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/inputs.h"
#include "app/cli/output.h"

#include "core/projection/model_figures.h"
#include "core/projection/projection.h"

#include <algorithm>

namespace quantloupe::cli {
namespace {

struct ProjectOptions {
    std::string model;
    RecipeChoice recipe;
    std::string device = "ryzen-9-7950x";
    Workload workload;
};

const char* boundOf(bool memoryBound)
{
    return memoryBound ? "memory" : "compute";
}

/// One row of the result: its key, its title, and how it is read.
struct Figure {
    const char* key;
    const char* title;
    Json (*value)(const Projection&);
};

constexpr Figure kFigures[] = {
    {"weights_bytes", "weights", [](const Projection& p) { return Json(p.weightsBytes); }},
    {"kv_cache_bytes", "KV cache", [](const Projection& p) { return Json(p.keyValueBytes); }},
    {"activation_bytes", "activations", [](const Projection& p) { return Json(p.activationBytes); }},
    {"total_bytes", "together", [](const Projection& p) { return Json(p.totalBytes()); }},
    {"fits", "fits", [](const Projection& p) { return Json(p.fits); }},
    {"prefill_tokens_per_s", "prefill, tokens/s", [](const Projection& p) { return number(p.prefillTokensPerSecond); }},
    {"decode_tokens_per_s", "decode, tokens/s", [](const Projection& p) { return number(p.decodeTokensPerSecond); }},
    {"energy_j_per_token", "energy, J/token", [](const Projection& p) { return number(p.energyPerToken); }},
};

Json jsonOf(const Projection& projection)
{
    Json json = Json::object();
    for (const auto& figure : kFigures)
        json[figure.key] = figure.value(projection);
    json["bound"] = boundOf(projection.decodeMemoryBound);
    json["prefill_bound"] = boundOf(projection.prefillMemoryBound);
    Json operations = Json::array();
    for (const auto& point : projection.decodeOperations)
        operations.push_back({{"name", point.name}, {"operations", number(point.operations)},
            {"bytes", number(point.bytes)}, {"seconds", number(point.seconds)}, {"bound", boundOf(point.memoryBound)}});
    json["decode_operations"] = std::move(operations);
    return json;
}

Cell shown(const Figure& figure, const std::optional<Projection>& projection)
{
    if (!projection)
        return "";
    const auto value = figure.value(*projection);
    if (value.is_boolean())
        return value.get<bool>() ? "yes" : "no";
    if (value.is_number_unsigned()) {
        Cell cell(value.get<std::uint64_t>());
        cell.shown = byteText(value.get<double>());
        return cell;
    }
    return {value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>(), 4};
}

Findings findingsOf(const DeviceProfile& device, const Workload& workload, const Projection& base,
    const std::optional<Projection>& quantized, const std::optional<Plan>& plan)
{
    Findings findings;
    findings.json = {
        {"device", device.id}, {"device_name", device.name}, {"context", workload.context}, {"batch", workload.batch}};
    findings.table = TextTable({"on " + device.name, "as stored", "quantized"});
    for (const auto& figure : kFigures) {
        findings.json[figure.key] = {
            {"base", figure.value(base)}, {"quantized", quantized ? figure.value(*quantized) : Json(nullptr)}};
        findings.table.add({figure.title, shown(figure, base), shown(figure, quantized)});
    }
    findings.table.add({"decode is bound by", boundOf(base.decodeMemoryBound),
        quantized ? boundOf(quantized->decodeMemoryBound) : ""});
    findings.json["bound"] = boundOf((quantized ? *quantized : base).decodeMemoryBound);
    findings.json["bits_per_weight"] = plan ? number(plan->bitsPerWeight) : Json(nullptr);
    findings.json["base"] = jsonOf(base);
    findings.json["quantized"] = quantized ? jsonOf(*quantized) : Json(nullptr);
    findings.json["assumptions"] = base.assumptions;
    findings.text = findings.table.text();
    for (const auto& assumption : base.assumptions)
        findings.text += "\nAssumed: " + printable(assumption) + "\n";
    findings.text += "\nProjected, not measured: " + std::to_string(workload.context) + " tokens of context, batch "
        + std::to_string(workload.batch) + ".\n";
    return findings;
}

Result<void> projectModel(const Session& session, const ProjectOptions& options)
{
    if (auto writable = requireWritable(session, {".json", ".csv"}); !writable)
        return writable;
    const auto device = findDevice(session, options.device);
    if (!device)
        return tl::unexpected(device.error());
    const auto model = openNamedModel(session, options.model);
    if (!model)
        return tl::unexpected(model.error());
    const auto catalog = catalogOf(**model);
    const auto recipe = chooseRecipe(session, options.recipe, catalog);
    if (!recipe)
        return tl::unexpected(recipe.error());

    const auto base = project(catalog, unquantizedPlan(catalog), *device, options.workload);
    std::optional<Plan> plan;
    std::optional<Projection> quantized;
    if (*recipe) {
        const auto workload = workloadUnder(**recipe, catalog, options.workload);
        plan = resolve(**recipe, catalog);
        quantized = project(catalog, *plan, *device, workload);
    }
    return present(session, findingsOf(*device, options.workload, base, quantized, plan));
}

Action setUpProject(CLI::App& command)
{
    auto options = std::make_shared<ProjectOptions>();
    command.add_option("MODEL", options->model, "Checkpoint to project")->required();
    addRecipeOptions(command, options->recipe);
    command.add_option("--device", options->device, "Device by its id, or a profile file (*.json)")
        ->type_name("DEVICE")
        ->capture_default_str();
    addWorkloadOptions(command, options->workload);
    command.footer(
        "Memory is exact for the weights and computed from the architecture for the rest; times are a roofline\n"
        "from the device's figures; nothing is measured. 'bound' is what limits decoding.");
    return [options](Session& session) { return projectModel(session, *options); };
}

}  // namespace

extern const Command projectCommand;
const Command projectCommand {
    "project", "Projects memory, latency and energy on a device", StudyOption | OutOption, setUpProject};

}  // namespace quantloupe::cli
