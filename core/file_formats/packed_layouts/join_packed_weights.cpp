// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/text.h"
#include "core/file_formats/model_assembly.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

namespace quantloupe {
namespace packed_layouts {
#define QUANTLOUPE_ENTRY(name) extern const PackedLayout name;
#include "core/file_formats/packed_layouts/registry.inc"  // written by CMake from the one list
#undef QUANTLOUPE_ENTRY
}  // namespace packed_layouts

namespace {

/// Of config.json and, where that says nothing, quantize_config.json: an older habit of AutoGPTQ and AutoAWQ. What is
/// wrong with them the reader of the figures has told already, or the shapes will.
QuantizationSettings settingsBeside(const Model& model)
{
    if (model.files.empty())
        return {};
    QuantizationSettings found;
    for (const auto* name : {"config.json", "quantize_config.json", "quant_config.json"}) {
        const auto path = model.files.front().parent_path() / name;
        std::error_code ignored;
        if (!std::filesystem::exists(path, ignored))
            continue;
        const auto file = MappedFile::open(path);
        if (!file)
            continue;
        auto settings = parseQuantizationSettings(
            {reinterpret_cast<const char*>((*file)->bytes().data()), (*file)->bytes().size()}, path.string());
        if (!settings)
            continue;
        if (!settings->method.empty() || settings->weights.bits)
            return std::move(*settings);
    }
    return found;
}

/// A weight that was found, and the tensor that it takes the place of.
struct FoundWeight {
    std::size_t codes = 0;
    std::string name;
    PackedWeight weight;
    std::uint64_t bytes = 0;
};

struct Findings {
    std::vector<FoundWeight> weights;
    std::vector<bool> taken;                        ///< tensors that are parts of weights now
    std::set<std::string> names {};                 ///< of the weights
    std::map<std::string, std::size_t> refused {};  ///< how many are not built, by layout
    std::string firstReason {};                     ///< of these
    std::vector<std::string> misfits {};            ///< modules whose parts do not fit each other
    std::string firstMisfit {};                     ///< what is wrong with the first
};

/// The suffix that is one of a layout's and the end of this name; empty when there is none.
std::string_view anchorOf(const PackedLayout& layout, std::string_view name)
{
    for (auto rest = layout.anchors; !rest.empty();) {
        const auto suffix = rest.substr(0, rest.find(' '));
        if (name.size() > suffix.size() && name.ends_with(suffix))
            return suffix;
        rest.remove_prefix(std::min(rest.size(), suffix.size() + 1));
    }
    return {};
}

/// What becomes of a module that is packed in a known way. Errors: Malformed (its parts do not fit each other or the
/// rest of the model), Unsupported.
Result<std::optional<FoundWeight>> weightAt(const Model& model, const TensorIndex& index, StoredParts& parts,
    const PackedLayout& layout, const QuantizationSettings& settings, const Findings& findings)
{
    auto weight = layout.recognise(parts, settings);
    if (!weight)
        return tl::unexpected(std::move(weight.error()));
    if (!*weight)
        return std::nullopt;
    for (const auto part : parts.taken())
        if (findings.taken[part])
            return parts.malformed({}, "shares " + inQuotes(model.tensors[part].name) + " with another weight");
    auto name = parts.module() + std::string((*weight)->suffix);
    const auto same = index.find(name);
    const auto& own = parts.taken();
    if (findings.names.contains(name)
        || (same != index.end() && std::find(own.begin(), own.end(), same->second) == own.end()))
        return parts.malformed({}, "stands for " + inQuotes(name) + ", which is there by itself");
    return FoundWeight {parts.taken().front(), std::move(name), std::move(**weight), parts.takenBytes()};
}

/// The weight whose codes a tensor holds, by the first layout that knows it.
void findAt(const Model& model, const TensorIndex& index, std::size_t codes, const QuantizationSettings& settings,
    Findings& findings)
{
    for (const auto* layout : packedLayouts()) {
        const auto suffix = anchorOf(*layout, model.tensors[codes].name);
        if (suffix.empty())
            continue;
        StoredParts parts(model, index, codes, suffix);
        if (!parts.codesArePlain())
            return;
        auto weight = weightAt(model, index, parts, *layout, settings, findings);
        if (!weight && weight.error().code == ErrorCode::Unsupported) {
            if (findings.refused.empty())
                findings.firstReason = weight.error().reason;
            ++findings.refused[std::string(layout->name)];
            return;
        }
        if (!weight) {
            if (findings.misfits.empty())
                findings.firstMisfit = weight.error().reason;
            findings.misfits.push_back(parts.module());
            return;
        }
        if (!*weight)
            continue;
        for (const auto part : parts.taken())
            findings.taken[part] = true;
        findings.names.insert((*weight)->name);
        findings.weights.push_back(std::move(**weight));
        return;
    }
}

/// Puts the weights in the places of their codes and drops their other parts.
void replaceParts(Model& model, Findings& findings)
{
    std::vector<ModelTensor> tensors;
    auto found = findings.weights.begin();
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        auto& tensor = model.tensors[i];
        if (found != findings.weights.end() && found->codes == i) {
            tensor.name = std::move(found->name);
            tensor.parts = readName(tensor.name);
            tensor.view = {.dtype = tensor.view.dtype,
                .shape = std::move(found->weight.shape),
                .bytes = tensor.view.bytes,
                .owner = tensor.view.owner,
                .decoder = std::move(found->weight.decoder),
                .packedBytes = found->bytes};
            ++found;
        } else if (findings.taken[i]) {
            continue;
        }
        tensors.push_back(std::move(tensor));
    }
    model.tensors = std::move(tensors);
}

std::string countsText(const std::map<std::string, std::size_t>& counts)
{
    std::string text;
    for (const auto& [name, count] : counts)
        text += (text.empty() ? "" : "; ") + name + " (" + std::to_string(count) + ")";
    return text;
}

void tellOfPacking(Model& model, const std::string& method, const Findings& findings)
{
    std::map<std::string, std::size_t> decoded;
    for (const auto& found : findings.weights)
        ++decoded[found.weight.decoder->description()];
    if (!decoded.empty())
        model.warnings.push_back(
            "The weights are already quantized and decoded for analysis: " + countsText(decoded) + ".");
    if (!findings.refused.empty())
        model.warnings.push_back("Packed weights are listed as stored, not decoded: " + countsText(findings.refused)
            + ". The first " + findings.firstReason + ".");
    if (!findings.misfits.empty())
        model.warnings.push_back("Packed weights whose parts do not fit each other are listed as stored, not decoded: "
            + listed(findings.misfits) + ". Of the first, " + findings.firstMisfit + ".");
    if (decoded.empty() && findings.refused.empty() && findings.misfits.empty() && !method.empty())
        model.warnings.push_back("The weights are already quantized (" + method
            + "), but no tensors were found that are packed in a known way: all are listed as stored.");
}

}  // namespace

std::span<const PackedLayout* const> packedLayouts()
{
#define QUANTLOUPE_ENTRY(name) &packed_layouts::name,
    static constexpr std::array table {
#include "core/file_formats/packed_layouts/registry.inc"
    };
#undef QUANTLOUPE_ENTRY
    return table;
}

void joinPackedWeights(Model& model)
{
    const auto settings = settingsBeside(model);
    TensorIndex index;
    index.reserve(model.tensors.size());
    for (std::size_t i = 0; i < model.tensors.size(); ++i)
        index.emplace(model.tensors[i].name, i);
    Findings findings {.weights = {}, .taken = std::vector<bool>(model.tensors.size())};
    for (std::size_t i = 0; i < model.tensors.size(); ++i)
        if (!findings.taken[i])
            findAt(model, index, i, settings, findings);
    tellOfPacking(model, settings.method, findings);
    if (!findings.weights.empty())
        replaceParts(model, findings);
}

}  // namespace quantloupe
