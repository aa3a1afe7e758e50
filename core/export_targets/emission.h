// SPDX-License-Identifier: GPL-3.0-or-later
// What the targets have in common: order, exact regular expressions, quoting, short lists of names.
#pragma once

#include "core/export_targets/export_target.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quantloupe {

/// Indices of the plan's tensors from input to output: embedding, blocks by number and role, the rest. The same order
/// in every file, so that two exports compare line by line.
std::vector<std::size_t> emissionOrder(const ModelCatalog& model);

/// Every character that means something in a regular expression (ECMAScript and Python) gets a backslash.
std::string escapeRegex(std::string_view text);

/// Regular expressions, without anchors, that match exactly the given names and no other, in order of appearance.
/// Names that differ only in their first two numbers share one: `blk\.(0|1|5)\.ffn_down\.weight`.
std::vector<std::string> exactRegexes(const std::vector<std::string>& names);

/// One module with a weight, by its Hugging Face path.
struct ModulePlan {
    std::string module;  ///< "model.layers.0.mlp.up_proj"
    const CatalogTensor* tensor = nullptr;
    const PlannedTensor* planned = nullptr;
    bool linear = false;  ///< of a class that tools quantize unless they are told not to

    const std::optional<Scheme>& scheme() const { return planned->scheme; }
};

/// All weights of modules, in emission order; names of GGUF are translated. What is no weight of a module is left out,
/// unless it is to be quantized. Errors: Unsupported naming the tensor (no module, no Hugging Face name, characters
/// that patterns cannot take).
Result<std::vector<ModulePlan>> modulePlans(const Plan& plan, const ModelCatalog& model);

/// The path by which tools know the module of a weight, names of GGUF translated; nullopt where it has none.
std::optional<std::string> modulePathOf(const CatalogTensor& tensor, const ModelCatalog& model);

/// Modules by their settings, in the order in which settings come first.
template<class Settings>
using ModulesBySettings = std::vector<std::pair<Settings, std::vector<std::string>>>;

template<class Settings>
void addModule(ModulesBySettings<Settings>& groups, Settings settings, const std::string& module)
{
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& known) { return known.first == settings; });
    if (group == groups.end())
        group = groups.emplace(groups.end(), std::move(settings), std::vector<std::string>());
    group->second.push_back(module);
}

/// Whether a scheme is fp32, fp16 or bf16: the module stays unquantized for tools.
bool isPlainFloat(const Scheme& scheme);

/// Warnings about many tensors at once, one line per kind.
class Remarks
{
public:
    void add(const std::string& kind, const std::string& tensor) { m_tensors[kind].push_back(tensor); }
    std::vector<std::string> lines() const;

private:
    std::map<std::string, std::vector<std::string>> m_tensors {};
};

/// Adds what hardly any tool takes: range estimators, how scales are stored, algorithms other than `known`, activations
/// if so, the KV cache.
void remarkLosses(Remarks& remarks, const Recipe& recipe, const std::vector<ModulePlan>& modules,
    std::initializer_list<Algorithm> known, bool takesActivations);

/// A failure that names the tensor, the scheme and what the tool takes.
tl::unexpected<Error> cannotExpress(std::string_view tool, const ModulePlan& module, const std::string& why);

/// Whether a module is a linear layer that tools quantize unless they are told not to.
bool isLinearModule(const CatalogTensor& tensor);

/// The module that a weight belongs to. Errors: Unsupported.
Result<std::string> moduleOf(const CatalogTensor& tensor);

/// One word for a POSIX shell, in single quotes where it needs them.
std::string shellQuoted(std::string_view word);

/// Whether a name consists of the characters that every tool's command line and file takes: A–Z a–z 0–9 _ . / : -
bool isPlainName(std::string_view name);

/// "a, b, c and 17 more"
std::string shortList(const std::vector<std::string>& names);

/// The native recipe, which every export carries, so that it can be made again.
ExportedFile planFile(const Recipe& recipe);

}  // namespace quantloupe
