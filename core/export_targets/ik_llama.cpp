// SPDX-License-Identifier: GPL-3.0-or-later
// The argument of --custom-q of ik_llama.cpp: `regex=type` separated by commas, types in the case of ggml's own names,
// the first regex that is found in a name wins. Source: interop notes on recipes, section 2.
#include "core/export_targets/ggml_plan.h"
#include "core/export_targets/ggml_types.h"

#include <algorithm>

namespace quantloupe::export_targets {

extern const ExportTarget ik_llama;

namespace {

Result<ExportResult> write(const Recipe& recipe, const Plan& plan, const ModelCatalog& model)
{
    Remarks remarks;
    const auto targets = collectGgmlTargets(plan, model, remarks);
    if (!targets)
        return tl::unexpected<Error>(targets.error());
    std::string rules;
    for (const auto& [type, names] : ggmlRules(*targets))
        for (const auto& regex : exactRegexes(names))
            rules.append(rules.empty() ? "" : ",").append("^").append(regex).append("$=").append(ggmlTypeName(type));
    if (rules.empty())
        return failure(ErrorCode::Unsupported, model.path, "the model holds no tensor that a rule could name");
    if (recipe.keyValueCache)
        remarks.add("the KV cache is chosen when the model runs", recipe.keyValueCache->toString());

    const auto file = defaultExportName(ik_llama, model);
    const auto stem = file.substr(0, file.size() - ik_llama.suffix.size());
    const auto input = model.format == "gguf" && !model.path.empty() ? model.path : stem + ".gguf";
    std::string command("llama-quantize");
    if (std::any_of(targets->begin(), targets->end(), [](const GgmlTarget& target) { return target.requantized; }))
        command += " --allow-requantize";
    const auto* embedding = findGgmlTarget(*targets, kGgmlEmbedding);
    const auto* output = findGgmlTarget(*targets, kGgmlOutput) ? findGgmlTarget(*targets, kGgmlOutput) : embedding;
    if (embedding)
        command.append(" --token-embedding-type ").append(ggmlTypeName(embedding->type));
    if (output)
        command.append(" --output-tensor-type ").append(ggmlTypeName(output->type));
    command.append(" --custom-q \"$(cat ").append(shellQuoted(file)).append(")\" ");
    command.append(shellQuoted(input)).append(" ").append(shellQuoted(stem + "-quantized.gguf")).append(" ");
    command.append(ggmlFileType(ggmlBaseType(*targets)));
    return ExportResult {
        .files = {{"", rules + "\n"}, planFile(recipe)}, .warnings = remarks.lines(), .command = std::move(command)};
}

}  // namespace

const ExportTarget ik_llama {
    .name = "ik_llama",
    .title = "ik_llama.cpp --custom-q",
    .description =
        "The rules of ik_llama.cpp's llama-quantize and the command that uses them. ggml's common types only; its own "
        "(iq4_ks, q6_0, …) have no scheme here.",
    .suffix = ".custom-q.txt",
    .write = &write,
};

}  // namespace quantloupe::export_targets
