// SPDX-License-Identifier: GPL-3.0-or-later
// The configuration of Intel Neural Compressor 3: one algorithm with a global part and local ones, of which the last
// whose pattern matches from the start of a name wins, and replaces the global part as a whole. Source: interop notes
// on recipes, section 9.1.
#include "core/export_targets/emission.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace quantloupe::export_targets {
namespace {

using nlohmann::ordered_json;
using Kind = Granularity::Kind;

constexpr std::string_view kLauncher =
    R"(# Made by Quantloupe. Use: quantize_model(model, "<the .json beside this file>", run_fn)
import json

from neural_compressor.torch.quantization import convert, get_default_rtn_config, prepare  # noqa: F401
from neural_compressor.torch.quantization import GPTQConfig, RTNConfig


def quantize_model(model, path, run_fn=None):
    """run_fn(model) feeds calibration text; rtn needs none."""
    with open(path, encoding="utf-8") as file:
        (name, fields), = json.load(file).items()
    config = {"rtn": RTNConfig, "gptq": GPTQConfig}[name].from_dict(fields)
    model = prepare(model, config)
    if run_fn is not None:
        run_fn(model)
    return convert(model)
)";

Result<ordered_json> configFor(const ModulePlan& module)
{
    const auto& scheme = *module.scheme();
    ordered_json json;
    if (isInteger(scheme.format) && codeBits(scheme.format) <= 8.0) {
        if (scheme.symmetry == Symmetry::AsymmetricFloat)
            return cannotExpress("Neural Compressor", module, "zero points are integers there, use asym");
        json = {{"dtype", "int"}, {"bits", static_cast<int>(codeBits(scheme.format))},
            {"use_sym", scheme.symmetry != Symmetry::Asymmetric}};
    } else if (scheme.format == Format::Nf4) {
        json = {{"dtype", "nf4"}, {"bits", 4}, {"use_sym", true}};
    } else if (scheme.format == Format::Fp4Bnb) {
        json = {{"dtype", "fp4_e2m1_bnb"}, {"bits", 4}, {"use_sym", true}};
    } else if (scheme.format == Format::Fp4E2M1) {
        json = {{"dtype", "fp4_e2m1"}, {"bits", 4}, {"use_sym", true}};
    } else {
        return cannotExpress("Neural Compressor", module, "weights alone are integers of up to 8 bits, nf4 or fp4");
    }
    if (scheme.granularity.kind != Kind::Group && scheme.granularity.kind != Kind::Channel)
        return cannotExpress("Neural Compressor", module, "scales belong to channels or groups there");
    json["group_size"] = scheme.granularity.kind == Kind::Group ? std::int64_t {scheme.granularity.columns} : -1;
    if (scheme.range.kind == RangeEstimator::Kind::Mse)
        json["use_mse_search"] = true;
    return json;
}

bool isSolved(const Scheme& scheme)
{
    return std::find(scheme.algorithms.begin(), scheme.algorithms.end(), Algorithm::Gptq) != scheme.algorithms.end();
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    const auto modules = modulePlans(plan, model);
    if (!modules)
        return tl::unexpected<Error>(modules.error());
    Remarks remarks;
    ModulesBySettings<ordered_json> groups;
    std::size_t solved = 0, quantized = 0;
    for (const auto& module : *modules) {
        ordered_json config {{"dtype", "fp32"}};
        if (module.scheme() && !isPlainFloat(*module.scheme())) {
            auto own = configFor(module);
            if (!own)
                return tl::unexpected<Error>(own.error());
            config = std::move(*own);
            ++quantized;
            solved += isSolved(*module.scheme()) ? 1 : 0;
        } else if (!module.linear) {
            continue;
        }
        addModule(groups, std::move(config), module.module);
    }
    if (quantized == 0)
        return failure(ErrorCode::Unsupported, model.path, "the recipe quantizes nothing that Neural Compressor could");
    if (solved != 0 && solved != quantized)
        return failure(ErrorCode::Unsupported, model.path,
            "Neural Compressor takes one algorithm for all layers, the recipe has gptq for some");
    auto local = ordered_json::object();
    for (auto& [config, members] : groups) {
        if (solved != 0)
            config.erase("use_mse_search");
        for (const auto& regex : exactRegexes(members))
            local["^" + regex + "$"] = config;
    }
    const ordered_json document {{solved != 0 ? "gptq" : "rtn", {{"global", {{"dtype", "fp32"}}}, {"local", local}}}};
    remarkLosses(remarks, recipe, *modules, {Algorithm::Gptq}, false);
    return ExportResult {
        .files = {{"", document.dump(2) + "\n"}, {".launcher.py", std::string(kLauncher)}, planFile(recipe)},
        .warnings = remarks.lines(),
        .command = {}};
}

}  // namespace

extern const ExportTarget neural_compressor;
const ExportTarget neural_compressor {
    .name = "neural-compressor",
    .title = "Intel Neural Compressor configuration",
    .description =
        "The rtn or gptq configuration of Neural Compressor 3 and a launcher: integers of up to 8 bits, nf4 and fp4 by "
        "channel or group, for each module. One algorithm for all, inputs stay floating.",
    .suffix = ".inc.json",
    .write = &write,
};

}  // namespace quantloupe::export_targets
