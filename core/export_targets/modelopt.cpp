// SPDX-License-Identifier: GPL-3.0-or-later
// hf_quant_config.json of NVIDIA ModelOpt: one algorithm with modules that are left out, or a table of layers. Source:
// interop notes on recipes, section 5.
#include "core/export_targets/emission.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace quantloupe::export_targets {
namespace {

using nlohmann::ordered_json;
using Kind = Granularity::Kind;

bool isSymmetricInteger(const Scheme& scheme, Format format, Kind kind)
{
    return scheme.format == format && scheme.granularity.kind == kind
        && (scheme.symmetry == Symmetry::Symmetric || scheme.symmetry == Symmetry::SymmetricFull);
}

bool isInput(const std::optional<Scheme>& inputs, Format format, Kind kind)
{
    return inputs && inputs->format == format && inputs->granularity.kind == kind;
}

Result<ordered_json> algorithmOf(const ModulePlan& module)
{
    const auto& scheme = *module.scheme();
    const auto& inputs = module.planned->activations;
    const bool awq =
        std::find(scheme.algorithms.begin(), scheme.algorithms.end(), Algorithm::Awq) != scheme.algorithms.end();
    if (scheme.format == Format::Fp8E4M3 && scheme.granularity.kind == Kind::Tensor
        && isInput(inputs, Format::Fp8E4M3, Kind::Tensor))
        return ordered_json {{"quant_algo", "FP8"}};
    if (scheme.format == Format::Fp8E4M3 && scheme.granularity.kind == Kind::Channel
        && isInput(inputs, Format::Fp8E4M3, Kind::Token))
        return ordered_json {{"quant_algo", "FP8_PER_CHANNEL_PER_TOKEN"}};
    if (scheme.format == Format::Nvfp4 && (!inputs || inputs->format == Format::Nvfp4))
        return ordered_json {{"quant_algo", "NVFP4"}, {"group_size", 16}};
    if (scheme.format == Format::Mxfp4 && inputs && inputs->format == Format::Fp8E4M3)
        return ordered_json {{"quant_algo", "W4A8_MXFP4_FP8"}, {"group_size", 32}};
    if (isSymmetricInteger(scheme, Format::Int4, Kind::Group) && awq
        && (!inputs || isInput(inputs, Format::Fp8E4M3, Kind::Tensor)))
        return ordered_json {{"quant_algo", inputs ? "W4A8_AWQ" : "W4A16_AWQ"},
            {"group_size", scheme.granularity.columns}, {"has_zero_point", false}, {"pre_quant_scale", true}};
    if (isSymmetricInteger(scheme, Format::Int8, Kind::Channel) && !inputs)
        return ordered_json {{"quant_algo", "W8A16"}};
    if (isSymmetricInteger(scheme, Format::Int8, Kind::Channel)
        && std::find(scheme.algorithms.begin(), scheme.algorithms.end(), Algorithm::Smooth) != scheme.algorithms.end())
        return ordered_json {{"quant_algo", "W8A8_SQ_PER_CHANNEL"}};
    return cannotExpress("ModelOpt", module,
        "it knows fp8_e4m3:tensor/fp8_e4m3:tensor, fp8_e4m3:channel/fp8_e4m3:token, nvfp4, mxfp4/fp8_e4m3, "
        "int4:gN+awq, int8:channel and int8:channel+smooth with quantized inputs");
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    const auto modules = modulePlans(plan, model);
    if (!modules)
        return tl::unexpected<Error>(modules.error());
    auto layers = ordered_json::object();
    auto excluded = ordered_json::array();
    for (const auto& module : *modules) {
        if (module.scheme() && !isPlainFloat(*module.scheme())) {
            auto algorithm = algorithmOf(module);
            if (!algorithm)
                return tl::unexpected<Error>(algorithm.error());
            layers[module.module] = std::move(*algorithm);
        } else if (module.linear) {
            excluded.push_back(module.module);
        }
    }
    if (layers.empty())
        return failure(ErrorCode::Unsupported, model.path, "the recipe quantizes nothing that ModelOpt could");
    const bool uniform =
        std::all_of(layers.begin(), layers.end(), [&](const ordered_json& layer) { return layer == *layers.begin(); });
    ordered_json quantization;
    if (uniform)
        quantization = *layers.begin();
    else
        quantization["quant_algo"] = "MIXED_PRECISION";
    ordered_json cache;
    if (recipe.keyValueCache && recipe.keyValueCache->format == Format::Fp8E4M3)
        cache = "FP8";
    else if (recipe.keyValueCache && recipe.keyValueCache->format == Format::Int8)
        cache = "INT8";
    Remarks remarks;
    if (recipe.keyValueCache && cache.is_null())
        remarks.add("the KV cache is FP8 or INT8 there", recipe.keyValueCache->toString());
    quantization["kv_cache_quant_algo"] = cache;
    if (uniform)
        quantization["exclude_modules"] = excluded;
    else
        quantization["quantized_layers"] = layers;
    auto withoutCache = recipe;
    withoutCache.keyValueCache.reset();
    remarkLosses(remarks, withoutCache, *modules, {Algorithm::Awq, Algorithm::Smooth}, true);
    const ordered_json document {
        {"producer", {{"name", "modelopt"}, {"version", "0.40.0"}}}, {"quantization", quantization}};
    return ExportResult {
        .files = {{"", document.dump(2) + "\n"}, planFile(recipe)}, .warnings = remarks.lines(), .command = {}};
}

}  // namespace

extern const ExportTarget modelopt;
const ExportTarget modelopt {
    .name = "modelopt",
    .title = "ModelOpt quantization metadata",
    .description =
        "hf_quant_config.json, which TensorRT-LLM and vLLM read beside a checkpoint: FP8, NVFP4, int4 with AWQ, int8, "
        "one for all layers or layer by layer. Only valid together with tensors stored that way.",
    .suffix = ".hf_quant_config.json",
    .write = &write,
};

}  // namespace quantloupe::export_targets
