// SPDX-License-Identifier: GPL-3.0-or-later
// A tensor-type file for llama-quantize: one rule per family of tensors, `regex=type`. The tool lower-cases each regex,
// searches (std::regex, ECMAScript) the GGUF name and takes the first that matches. Here every tensor that it would
// quantize gets exactly one rule, anchored at both ends, so that its own mixing never decides.
#include "core/export_targets/emission.h"
#include "core/export_targets/ggml_plan.h"
#include "core/export_targets/ggml_types.h"

#include <algorithm>
#include <map>

namespace quantloupe::export_targets {

extern const ExportTarget llama_cpp;

namespace {

std::string rulesOf(const std::vector<GgmlTarget>& targets)
{
    std::string rules;
    for (const auto& [type, names] : ggmlRules(targets))
        for (const auto& regex : exactRegexes(names))
            rules.append("^").append(regex).append("$=").append(ggmlTypeName(type)).append("\n");
    return rules;
}

std::string commandOf(const std::vector<GgmlTarget>& targets, const ModelCatalog& model)
{
    std::string command("llama-quantize");
    if (std::any_of(targets.begin(), targets.end(), [](const GgmlTarget& target) { return target.requantized; }))
        command += " --allow-requantize";
    const auto* embedding = findGgmlTarget(targets, kGgmlEmbedding);
    // Where the embedding serves as output head too, the tool may treat it as either, so both options say the same.
    const auto* output = findGgmlTarget(targets, kGgmlOutput) ? findGgmlTarget(targets, kGgmlOutput) : embedding;
    if (embedding)
        command.append(" --token-embedding-type ").append(ggmlTypeName(embedding->type));
    if (output)
        command.append(" --output-tensor-type ").append(ggmlTypeName(output->type));
    const auto rules = defaultExportName(llama_cpp, model);
    const auto stem = rules.substr(0, rules.size() - llama_cpp.suffix.size());
    const auto input = model.format == "gguf" && !model.path.empty() ? model.path : stem + ".gguf";
    command.append(" --tensor-type-file ").append(shellQuoted(rules));
    command.append(" ").append(shellQuoted(input)).append(" ").append(shellQuoted(stem + "-quantized.gguf"));
    return command.append(" ").append(ggmlFileType(ggmlBaseType(targets)));
}

/// The type label inside the GGUF file stays that of the base type, so the truth is written down beside it.
std::string readmeOf(const std::vector<GgmlTarget>& targets, const std::string& command, const ModelCatalog& model)
{
    std::map<std::string, std::pair<std::size_t, std::uint64_t>> byType;
    std::uint64_t bytes = 0;
    for (const auto& target : targets) {
        const auto size = byteCount(target.parameters, target.type).value_or(0);
        auto& entry = byType[ggmlTypeName(target.type)];
        ++entry.first;
        entry.second += size;
        bytes += size;
    }
    std::string text("Tensor types for llama-quantize, made by Quantloupe.\n\n");
    if (model.format != "gguf")
        text += "Convert the checkpoint to GGUF first, in its own precision.\n";
    text += "Run: " + command + "\n\nTensors and bytes by type, small unquantized tensors aside:\n";
    for (const auto& [type, entry] : byType)
        text +=
            "  " + type + ": " + std::to_string(entry.first) + " tensors, " + std::to_string(entry.second) + " bytes\n";
    return text + "  total: " + std::to_string(bytes) + " bytes\n";
}

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    Remarks remarks;
    const auto targets = collectGgmlTargets(plan, model, remarks);
    if (!targets)
        return tl::unexpected<Error>(targets.error());
    if (targets->empty())
        return failure(
            ErrorCode::Unsupported, model.path, "the model holds no tensor that llama-quantize would quantize");
    if (recipe.keyValueCache)
        remarks.add("the KV cache is chosen when llama.cpp runs, with --cache-type-k and --cache-type-v",
            recipe.keyValueCache->toString());
    ExportResult result;
    result.command = commandOf(*targets, model);
    result.files = {
        {"", rulesOf(*targets)}, {".readme.txt", readmeOf(*targets, result.command, model)}, planFile(recipe)};
    result.warnings = remarks.lines();
    return result;
}

}  // namespace

const ExportTarget llama_cpp {
    .name = "llama.cpp",
    .title = "llama.cpp tensor types",
    .description =
        "A rule file for llama-quantize and the command that uses it. It knows ggml types only: integer schemes "
        "become the nearest one, activation schemes and range estimators do not travel.",
    .suffix = ".tensor-types.txt",
    .write = &write,
    .read = &readLlamaCppRules,
};

}  // namespace quantloupe::export_targets
