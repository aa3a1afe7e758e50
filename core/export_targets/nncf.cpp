// SPDX-License-Identifier: GPL-3.0-or-later
// A Python script for NNCF: one pass per mode and group size, each of which ignores every node that is not its own.
// Source: interop notes on recipes, section 10. Nodes have the names of models exported from Hugging Face modules.
#include "core/export_targets/emission.h"

#include <algorithm>

namespace quantloupe::export_targets {
namespace {

using Kind = Granularity::Kind;

/// What one call takes.
struct Pass {
    std::string mode;
    std::int64_t group = -1;
    std::vector<std::string> modules {};
};

Result<Pass> passOf(const ModulePlan& module)
{
    const auto& scheme = *module.scheme();
    const bool asymmetric = scheme.symmetry == Symmetry::Asymmetric;
    const auto group = scheme.granularity.kind == Kind::Group ? std::int64_t {scheme.granularity.columns} : -1;
    const bool fits = scheme.granularity.kind == Kind::Group || scheme.granularity.kind == Kind::Channel;
    if (module.planned->activations)
        return cannotExpress("NNCF", module, "compress_weights leaves inputs floating");
    if (scheme.format == Format::Mxfp4)
        return Pass {"MXFP4", 32};
    if (scheme.format == Format::Nvfp4)
        return Pass {"NVFP4", 16};
    if (scheme.format == Format::Mxfp8E4M3)
        return Pass {"MXFP8_E4M3", 32};
    if (!fits || scheme.symmetry == Symmetry::AsymmetricFloat)
        return cannotExpress("NNCF", module, "scales belong to channels or groups there, zero points are integers");
    if (scheme.format == Format::Int8 && group == -1)
        return Pass {asymmetric ? "INT8_ASYM" : "INT8_SYM", -1};
    if (scheme.format == Format::Int4)
        return Pass {asymmetric ? "INT4_ASYM" : "INT4_SYM", group};
    if (scheme.format == Format::Nf4)
        return Pass {"NF4", group};
    if (scheme.format == Format::Fp8E4M3)
        return Pass {"FP8_E4M3", group};
    return cannotExpress("NNCF", module, "it has int8 by channel, int4, nf4, fp8_e4m3, mxfp4, mxfp8_e4m3 and nvfp4");
}

/// "model.layers.0.mlp.up_proj" as part of a node's name; what stands in front and behind differs by exporter.
std::string nodePattern(const std::vector<std::string>& modules)
{
    std::string pattern;
    for (const auto& regex : exactRegexes(modules))
        pattern.append(pattern.empty() ? "" : "|").append(regex);
    return "(?:.*[./])?(?:" + pattern + ")(?:/.*|\\.weight)?$";
}

std::string scriptOf(const std::vector<Pass>& passes)
{
    std::string text("# Made by Quantloupe. Use: python <this file> model.xml compressed.xml\n"
                     "# Each pass compresses its own nodes and ignores all others; what is compressed already stays.\n"
                     "import sys\n\n"
                     "import nncf\n"
                     "import openvino as ov\n\n"
                     "PASSES = [\n");
    for (const auto& pass : passes) {
        text.append("    (nncf.CompressWeightsMode.").append(pass.mode).append(", ");
        text.append(pass.mode.starts_with("INT8") ? "None" : std::to_string(pass.group));
        text.append(", r\"").append(nodePattern(pass.modules)).append("\"),\n");
    }
    text += "]\n\n\ndef compress(model):\n"
            "    for mode, group_size, nodes in PASSES:\n"
            "        options = {} if group_size is None else {\n"
            "            \"ratio\": 1.0, \"group_size\": group_size, \"all_layers\": True,\n"
            "            \"backup_mode\": nncf.BackupMode.NONE}\n"
            "        others = nncf.IgnoredScope(patterns=[\"(?!\" + nodes + \").*\"], validate=False)\n"
            "        model = nncf.compress_weights(model, mode=mode, ignored_scope=others, **options)\n"
            "    return model\n\n\n"
            "if __name__ == \"__main__\":\n"
            "    ov.save_model(compress(ov.Core().read_model(sys.argv[1])), sys.argv[2])\n";
    return text;
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    const auto modules = modulePlans(plan, model);
    if (!modules)
        return tl::unexpected<Error>(modules.error());
    Remarks remarks;
    std::vector<Pass> passes;
    for (const auto& module : *modules) {
        if (!module.scheme() || isPlainFloat(*module.scheme()))
            continue;
        auto own = passOf(module);
        if (!own)
            return tl::unexpected<Error>(own.error());
        auto pass = std::find_if(passes.begin(), passes.end(),
            [&](const Pass& known) { return known.mode == own->mode && known.group == own->group; });
        if (pass == passes.end())
            pass = passes.insert(passes.end(), std::move(*own));
        pass->modules.push_back(module.module);
        if (isInteger(module.scheme()->format) && module.scheme()->symmetry == Symmetry::Symmetric)
            remarks.add("symmetric grids take the full range there, one level more than sym", module.module);
    }
    if (passes.empty())
        return failure(ErrorCode::Unsupported, model.path, "the recipe quantizes nothing that NNCF could");
    remarkLosses(remarks, recipe, *modules, {}, false);
    auto warnings = remarks.lines();
    warnings.emplace_back("NNCF knows nodes, not modules: patterns expect nodes named after modules, as exports of "
                          "Hugging Face models have them");
    return ExportResult {
        .files = {{"", scriptOf(passes)}, planFile(recipe)}, .warnings = std::move(warnings), .command = {}};
}

}  // namespace

extern const ExportTarget nncf;
const ExportTarget nncf {
    .name = "nncf",
    .title = "NNCF script",
    .description =
        "A Python script that compresses an OpenVINO model pass by pass: int8 by channel, int4, nf4, fp8 and the block "
        "formats. Other widths and quantized inputs are refused.",
    .suffix = ".nncf.py",
    .write = &write,
};

}  // namespace quantloupe::export_targets
