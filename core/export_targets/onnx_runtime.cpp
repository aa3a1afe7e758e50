// SPDX-License-Identifier: GPL-3.0-or-later
// A plan for ONNX Runtime's weight-only quantizer, and the launcher that applies it. Source: interop notes on recipes,
// sections 13.2 and 13.3. Nodes have the names that exporters give the MatMul of a module.
#include "core/export_targets/emission.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>

namespace quantloupe::export_targets {
namespace {

using nlohmann::ordered_json;
using Kind = Granularity::Kind;

constexpr std::string_view kLauncher =
    R"(# Made by Quantloupe. Use: python <this file> plan.json model.onnx quantized.onnx
# Needs the packages onnx, onnxruntime and onnx-ir: onnxruntime itself asks for the last one only when it quantizes.
import json
import sys

from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer, RTNWeightOnlyQuantConfig

with open(sys.argv[1], encoding="utf-8") as file:
    plan = json.load(file)
config = RTNWeightOnlyQuantConfig(customized_weight_config=plan["customized_weight_config"])
quantizer = MatMulNBitsQuantizer(sys.argv[2], block_size=plan["block_size"], is_symmetric=plan["is_symmetric"],
                                 nodes_to_exclude=plan["nodes_to_exclude"], algo_config=config)
quantizer.process()
quantizer.model.save_model_to_file(sys.argv[3], use_external_data_format=True)
)";

/// "/model/layers.0/mlp/up_proj/MatMul" of "model.layers.0.mlp.up_proj": dots become slashes, but not before numbers.
std::string nodeOf(const std::string& module)
{
    std::string node("/");
    for (std::size_t i = 0; i < module.size(); ++i) {
        const bool number = i + 1 < module.size() && std::isdigit(static_cast<unsigned char>(module[i + 1])) != 0;
        node.push_back(module[i] == '.' && !number ? '/' : module[i]);
    }
    return node + "/MatMul";
}

Result<ordered_json> settingOf(const ModulePlan& module)
{
    const auto& scheme = *module.scheme();
    if (scheme.format != Format::Int4 && scheme.format != Format::Int8)
        return cannotExpress("ONNX Runtime", module, "weights alone are int4 or int8");
    if (scheme.symmetry == Symmetry::AsymmetricFloat)
        return cannotExpress("ONNX Runtime", module, "zero points are integers there, use asym");
    if (module.planned->activations)
        return cannotExpress("ONNX Runtime", module, "inputs stay floating in weight-only quantization");
    const auto group = scheme.granularity.columns;
    if (scheme.granularity.kind != Kind::Group || group < 16 || (group & (group - 1)) != 0)
        return cannotExpress("ONNX Runtime", module, "groups are powers of two from 16 on");
    return ordered_json {{"bits", static_cast<int>(codeBits(scheme.format))}, {"group_size", group},
        {"scheme", scheme.symmetry == Symmetry::Asymmetric ? "asym" : "sym"}};
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    const auto modules = modulePlans(plan, model);
    if (!modules)
        return tl::unexpected<Error>(modules.error());
    Remarks remarks;
    auto settings = ordered_json::object();
    auto excluded = ordered_json::array();
    for (const auto& module : *modules) {
        if (module.scheme() && !isPlainFloat(*module.scheme())) {
            auto setting = settingOf(module);
            if (!setting)
                return tl::unexpected<Error>(setting.error());
            settings[nodeOf(module.module)] = std::move(*setting);
            if (!module.linear)
                remarks.add("the tool replaces MatMul nodes only, this is none", module.module);
            if (module.scheme()->symmetry == Symmetry::Symmetric)
                remarks.add("symmetric scales come from the signed weight of largest size there", module.module);
        } else if (module.linear) {
            excluded.push_back(nodeOf(module.module));
        }
    }
    if (settings.empty())
        return failure(ErrorCode::Unsupported, model.path, "the recipe quantizes nothing that ONNX Runtime could");
    const auto first = *settings.begin();
    const ordered_json document {{"block_size", first["group_size"]}, {"is_symmetric", first["scheme"] == "sym"},
        {"nodes_to_exclude", excluded}, {"customized_weight_config", settings}};
    remarkLosses(remarks, recipe, *modules, {}, false);
    auto warnings = remarks.lines();
    warnings.emplace_back("ONNX nodes have names of their own: those here are what exporters make of module paths");
    return ExportResult {
        .files = {{"", document.dump(2) + "\n"}, {".launcher.py", std::string(kLauncher)}, planFile(recipe)},
        .warnings = std::move(warnings),
        .command = {}};
}

}  // namespace

extern const ExportTarget onnx_runtime;
const ExportTarget onnx_runtime {
    .name = "onnxruntime",
    .title = "ONNX Runtime weight-only plan",
    .description =
        "int4 and int8 by group for each MatMul, with a launcher for MatMulNBitsQuantizer. Other widths, channels and "
        "quantized inputs are refused.",
    .suffix = ".onnxruntime.json",
    .write = &write,
};

}  // namespace quantloupe::export_targets
