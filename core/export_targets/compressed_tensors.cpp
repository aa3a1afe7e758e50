// SPDX-License-Identifier: GPL-3.0-or-later
// The `quantization_config` of compressed-tensors, as config.json carries it. Every quantized module is named by
// exactly one regular expression, anchored at both ends, and every linear module that stays is named by `ignore`, so
// that no matching by class decides.
#include "core/export_targets/emission.h"
#include "core/export_targets/quantization_config.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

namespace quantloupe::export_targets {
namespace {

using nlohmann::ordered_json;

/// What one config group says besides its targets.
struct Group {
    ordered_json weights;
    ordered_json activations;  ///< null: weight-only
    std::string format;
    std::vector<std::string> modules;
};

bool is(const Granularity& granularity, Granularity::Kind kind)
{
    return granularity.kind == kind;
}

tl::unexpected<Error> unsupported(const std::string& tensor, const Scheme& scheme, const std::string& why)
{
    return failure(
        ErrorCode::Unsupported, tensor, "compressed-tensors cannot express " + scheme.toString() + ": " + why);
}

ordered_json arguments(double bits, std::string_view type, bool symmetric)
{
    ordered_json json;
    json["num_bits"] = static_cast<int>(bits);
    json["type"] = type;
    json["symmetric"] = symmetric;
    json["strategy"] = "channel";
    json["group_size"] = nullptr;
    json["dynamic"] = false;
    return json;
}

/// Formats with a block of their own: name of the storage format and group size.
std::optional<ordered_json> blockArguments(const Scheme& scheme)
{
    if (scheme.format != Format::Mxfp4 && scheme.format != Format::Nvfp4)
        return std::nullopt;
    auto json = arguments(4, "float", true);
    json["strategy"] = scheme.format == Format::Mxfp4 ? "group" : "tensor_group";
    json["group_size"] = scheme.format == Format::Mxfp4 ? 32 : 16;
    return json;
}

Result<ordered_json> weightArguments(const Scheme& scheme, const CatalogTensor& tensor)
{
    auto json = blockArguments(scheme).value_or(ordered_json());
    if (json.is_null()) {
        const bool integer = isInteger(scheme.format) && codeBits(scheme.format) <= 8.0;
        if (!integer && scheme.format != Format::Fp8E4M3)
            return unsupported(tensor.name, scheme, "it stores integers of 2 to 8 bits, fp8_e4m3, mxfp4 and nvfp4");
        if (scheme.symmetry == Symmetry::AsymmetricFloat)
            return unsupported(tensor.name, scheme, "zero points are integers there, use asym");
        json = arguments(codeBits(scheme.format), integer ? "int" : "float", scheme.symmetry != Symmetry::Asymmetric);
        const auto& granularity = scheme.granularity;
        if (is(granularity, Granularity::Kind::Tensor)) {
            json["strategy"] = "tensor";
        } else if (is(granularity, Granularity::Kind::Group)) {
            json["strategy"] = "group";
            json["group_size"] = granularity.columns;
        } else if (is(granularity, Granularity::Kind::Block)) {
            json["strategy"] = "block";
            json["block_structure"] = {granularity.rows, granularity.columns};
        } else if (!is(granularity, Granularity::Kind::Channel)) {
            return unsupported(tensor.name, scheme, "weights take tensor, channel, group or block granularity");
        }
    }
    if (json["group_size"].is_number() && tensor.matrix.columns % json["group_size"].get<std::uint64_t>() != 0)
        return unsupported(
            tensor.name, scheme, "groups must divide the row of " + std::to_string(tensor.matrix.columns) + " weights");
    return json;
}

/// Null for floating inputs.
Result<ordered_json> inputArguments(const Scheme& scheme, const std::string& where)
{
    if (scheme.format == Format::Fp16 || scheme.format == Format::Bf16 || scheme.format == Format::Fp32)
        return ordered_json();
    const bool integer = isInteger(scheme.format) && codeBits(scheme.format) <= 8.0;
    const bool token = is(scheme.granularity, Granularity::Kind::Token);
    if ((!integer && scheme.format != Format::Fp8E4M3) || (!token && !is(scheme.granularity, Granularity::Kind::Tensor))
        || scheme.symmetry == Symmetry::AsymmetricFloat)
        return unsupported(where, scheme, "activations take integers or fp8_e4m3 per token or per tensor");
    auto json = arguments(codeBits(scheme.format), integer ? "int" : "float", scheme.symmetry != Symmetry::Asymmetric);
    json["strategy"] = token ? "token" : "tensor";
    json["dynamic"] = token;  // a token's scale is known when it is computed; a tensor's is stored
    return json;
}

std::vector<std::string> patterns(const std::vector<std::string>& modules)
{
    std::vector<std::string> texts;
    for (auto& regex : exactRegexes(modules)) {
        if (regex.find('(') != std::string::npos) {
            texts.push_back(std::string("re:^").append(regex).append("$"));
            continue;
        }
        std::erase(regex, '\\');  // one module: its plain name, which matches exactly
        texts.push_back(std::move(regex));
    }
    return texts;
}

/// What the schemes lose on the way, one line per kind.
void warnOfLosses(const Recipe& recipe, const Plan& plan, const ModelCatalog& model, std::vector<std::string>& warnings)
{
    std::vector<std::string> restricted, ranges, scales, tables, unstored, statics;
    for (const auto index : emissionOrder(model)) {
        const auto& planned = plan.tensors[index];
        const auto& name = model.tensors[index].name;
        if (!planned.scheme)
            continue;
        if (planned.scheme->format == Format::Fp16 || planned.scheme->format == Format::Bf16
            || planned.scheme->format == Format::Fp32) {
            unstored.push_back(name);
            continue;
        }
        if (isInteger(planned.scheme->format) && planned.scheme->symmetry == Symmetry::Symmetric)
            restricted.push_back(name);
        if (planned.scheme->range.kind != RangeEstimator::Kind::MinMax || !planned.scheme->algorithms.empty())
            ranges.push_back(name);
        if (planned.scheme->scales != Scheme::of(planned.scheme->format).scales)
            scales.push_back(name);
        if (model.tensors[index].parts.role == TensorRole::Embedding)
            tables.push_back(name);
        if (planned.activations && is(planned.activations->granularity, Granularity::Kind::Tensor))
            statics.push_back(name);
    }
    const auto warn = [&](const std::vector<std::string>& names, const std::string& text) {
        if (!names.empty())
            warnings.push_back(text + ": " + shortList(names));
    };
    warn(restricted, "symmetric grids take the full range there, one level more than sym (symf is the same grid)");
    warn(ranges, "range estimators and algorithms do not travel, they are the checkpoint writer's choice");
    warn(scales, "how scales are stored does not travel, it is the checkpoint writer's choice");
    warn(tables, "few loaders take quantized embeddings");
    warn(unstored, "floating schemes are the checkpoint's own type there, these are listed as ignored");
    warn(statics, "activations per tensor need calibrated scales in the checkpoint");
    if (recipe.keyValueCache && !is(recipe.keyValueCache->granularity, Granularity::Kind::Tensor))
        warnings.push_back("the KV cache takes one scale per tensor there, not " + recipe.keyValueCache->toString());
}

Result<ordered_json> cacheArguments(const Recipe& recipe)
{
    if (!recipe.keyValueCache)
        return ordered_json();
    auto scheme = *recipe.keyValueCache;
    scheme.granularity = {Granularity::Kind::Tensor};
    return inputArguments(scheme, "kv_cache");
}

Result<ordered_json> makeConfig(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    if (model.naming != NamingWorld::HuggingFace)
        return failure(ErrorCode::Unsupported, model.path,
            "compressed-tensors needs the module names of a Hugging Face checkpoint");

    std::vector<Group> groups;
    std::vector<std::string> ignored;
    for (const auto index : emissionOrder(model)) {
        const auto& planned = plan.tensors[index];
        const auto& tensor = model.tensors[index];
        const bool floating = planned.scheme
            && (planned.scheme->format == Format::Fp16 || planned.scheme->format == Format::Bf16
                || planned.scheme->format == Format::Fp32);
        if (!planned.scheme || floating) {
            if (isLinearModule(tensor))
                if (auto module = moduleOf(tensor))
                    ignored.push_back(std::move(*module));
            continue;
        }
        if (model.config.architecture == "gpt2" && tensor.parts.block)
            return failure(ErrorCode::Unsupported, tensor.name,
                "is a Conv1D, stored the other way round: compressed-tensors takes Linear modules");
        auto module = moduleOf(tensor);
        if (!module)
            return tl::unexpected<Error>(module.error());
        auto weights = weightArguments(*planned.scheme, tensor);
        if (!weights)
            return tl::unexpected<Error>(weights.error());
        auto inputs = planned.activations ? inputArguments(*planned.activations, tensor.name)
                                          : Result<ordered_json>(ordered_json());
        if (!inputs)
            return tl::unexpected<Error>(inputs.error());
        const std::string format(compressedTensorsFormat(*planned.scheme, inputs->is_null()));
        auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& known) {
            return known.weights == *weights && known.activations == *inputs && known.format == format;
        });
        if (group == groups.end())
            group = groups.insert(groups.end(), Group {*weights, *inputs, format, {}});
        group->modules.push_back(std::move(*module));
    }
    if (groups.empty())
        return failure(
            ErrorCode::Unsupported, model.path, "the recipe quantizes nothing that compressed-tensors could store");
    const auto cache = cacheArguments(recipe);
    if (!cache)
        return tl::unexpected<Error>(cache.error());

    ordered_json config;
    config["quant_method"] = "compressed-tensors";
    config["version"] = "0.12.0";
    const bool one = std::all_of(
        groups.begin(), groups.end(), [&](const Group& group) { return group.format == groups.front().format; });
    config["format"] = one ? groups.front().format : std::string("mixed-precision");
    config["quantization_status"] = "compressed";
    for (std::size_t i = 0; i < groups.size(); ++i) {
        auto& json = config["config_groups"][std::string("group_").append(std::to_string(i))];
        json["targets"] = patterns(groups[i].modules);
        json["weights"] = groups[i].weights;
        json["input_activations"] = groups[i].activations;
        json["output_activations"] = nullptr;
        json["format"] = groups[i].format;
    }
    config["ignore"] = patterns(ignored);
    // A tied head is a module without a tensor of its own.
    if (!std::any_of(model.tensors.begin(), model.tensors.end(),
            [](const CatalogTensor& tensor) { return tensor.parts.role == TensorRole::LmHead; }))
        config["ignore"].push_back("lm_head");
    config["kv_cache_scheme"] = *cache;
    config["global_compression_ratio"] = nullptr;
    return config;
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    const auto config = makeConfig(recipe, plan, model);
    if (!config)
        return tl::unexpected<Error>(config.error());
    ExportResult result;
    const ordered_json document {{"quantization_config", *config}};
    result.files = {{"", document.dump(2) + "\n"}, planFile(recipe)};
    warnOfSplitFusedTensors(plan, model, result.warnings);
    warnOfLosses(recipe, plan, model, result.warnings);
    return result;
}

}  // namespace

// The reader is in compressed_tensors_reading.cpp.
extern const ExportTarget compressed_tensors;
const ExportTarget compressed_tensors {
    .name = "compressed-tensors",
    .title = "compressed-tensors configuration",
    .description =
        "The quantization_config for config.json of a checkpoint that vLLM and Transformers load. Integers of 2 to 8 "
        "bits, FP8 and the four-bit block formats; only valid together with tensors stored that way.",
    .suffix = ".quantization_config.json",
    .write = &write,
    .read = &readCompressedTensors,
};

}  // namespace quantloupe::export_targets

namespace quantloupe {

std::string_view compressedTensorsFormat(const Scheme& scheme, bool weightOnly)
{
    switch (scheme.format) {
    case Format::Mxfp4: return "mxfp4-pack-quantized";
    case Format::Nvfp4: return "nvfp4-pack-quantized";
    case Format::Fp8E4M3: return "float-quantized";
    default: return weightOnly ? "pack-quantized" : "int-quantized";
    }
}

Result<nlohmann::ordered_json> compressedTensorsConfig(
    const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    return export_targets::makeConfig(recipe, plan, model);
}

void warnOfSplitFusedTensors(const Plan& plan, const ModelCatalog& model, std::vector<std::string>& warnings)
{
    std::map<std::string, std::pair<std::string, std::vector<std::string>>> groups;
    std::vector<std::string> split;
    for (const auto index : emissionOrder(model)) {
        const auto& tensor = model.tensors[index];
        if (tensor.parts.fusedGroup.empty())
            continue;
        const auto& planned = plan.tensors[index];
        auto text = planned.scheme ? planned.scheme->toString() : std::string();
        if (planned.activations)
            text.append("/").append(planned.activations->toString());
        auto [entry, added] = groups.try_emplace(tensor.parts.fusedGroup, text, std::vector<std::string> {});
        entry->second.second.push_back(tensor.name);
        if (!added && entry->second.first != text)
            split.push_back(tensor.name);
    }
    if (!split.empty())
        warnings.push_back("vLLM fuses these with their neighbours and refuses different schemes: " + shortList(split));
}

}  // namespace quantloupe
