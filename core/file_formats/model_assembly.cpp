// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/model_assembly.h"

#include "core/base/text.h"
#include "core/file_formats/model_fingerprint.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace quantloupe {
namespace {

Result<void> refuseTwins(const Model& model, const std::vector<std::size_t>& order)
{
    for (std::size_t i = 1; i < order.size(); ++i) {
        const auto& first = model.tensors[std::min(order[i - 1], order[i])];
        const auto& second = model.tensors[std::max(order[i - 1], order[i])];
        if (first.name == second.name) {
            return failure(ErrorCode::Malformed, model.files[second.file].string(),
                "tensor " + inQuotes(second.name) + " is already in "
                    + inQuotes(model.files[first.file].filename().string()),
                second.offset);
        }
    }
    return {};
}

/// A group of one constrains nothing: GPT-2 has an "up" without a "gate".
void dropLonelyGroups(Model& model)
{
    std::map<std::string_view, int> members;
    for (const auto& tensor : model.tensors)
        ++members[tensor.parts.fusedGroup];
    std::vector<ModelTensor*> lonely;
    for (auto& tensor : model.tensors)
        if (members[tensor.parts.fusedGroup] == 1)
            lonely.push_back(&tensor);
    for (auto* tensor : lonely)
        tensor->parts.fusedGroup.clear();
}

void warnOfUndecodable(Model& model)
{
    std::map<std::string_view, std::size_t> counts;
    for (const auto& tensor : model.tensors)
        if (!tensor.view.decodable())
            ++counts[nameOf(tensor.view.dtype)];
    if (counts.empty())
        return;
    std::string text = "Tensors of these types are listed but cannot be decoded:";
    for (const auto& [name, count] : counts)
        text += (text.ends_with(':') ? " " : ", ") + std::string(name) + " (" + std::to_string(count) + ")";
    model.warnings.push_back(text + ".");
}

/// Of three extents a name decides: stacks of experts have as many. Four and five are kernels in any model of today.
void findConvolutions(Model& model)
{
    std::size_t count = 0;
    for (auto& tensor : model.tensors) {
        const auto rank = tensor.view.shape.size();
        // The decoder of a packed weight has its rows already.
        if (!model.operatorsKnown && tensor.packing().empty()
            && (rank == 4 || rank == 5 || (rank == 3 && tensor.name.find("conv") != std::string::npos)))
            tensor.view.convolution = true;
        count += tensor.view.convolution ? 1 : 0;
    }
    if (count != 0)
        model.warnings.push_back(std::to_string(count) + (count == 1 ? " tensor is a kernel" : " tensors are kernels")
            + " of convolutions: looked at as matrices whose rows are output channels.");
}

/// A GGUF may hold a tokenizer alone.
void warnOfNothing(Model& model)
{
    if (!model.tensors.empty())
        return;
    const auto only = model.config.vocabulary
        ? ", only a vocabulary of " + std::to_string(*model.config.vocabulary) + " tokens"
        : std::string();
    model.warnings.push_back("The model has no tensors" + only + ": there is nothing to quantize.");
}

void warnOfBlocks(Model& model)
{
    std::set<unsigned> blocks;
    for (const auto& tensor : model.tensors)
        if (tensor.parts.block)
            blocks.insert(*tensor.parts.block);
    if (model.config.layers && !blocks.empty() && blocks.size() < *model.config.layers) {
        model.warnings.push_back("The architecture has " + std::to_string(*model.config.layers)
            + " blocks, the tensors belong to " + std::to_string(blocks.size()) + ": part of the model is missing.");
    }
}

}  // namespace

std::vector<std::size_t> orderByName(const std::vector<ModelTensor>& tensors)
{
    std::vector<std::size_t> order(tensors.size());
    std::iota(order.begin(), order.end(), std::size_t {0});
    std::sort(
        order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return tensors[a].name < tensors[b].name; });
    return order;
}

std::string listed(const std::vector<std::string>& names)
{
    constexpr std::size_t kShown = 3;
    std::string text;
    for (std::size_t i = 0; i < std::min(kShown, names.size()); ++i)
        text.append(i ? ", " : "").append(inQuotes(names[i]));
    if (names.size() > kShown)
        text += " and " + std::to_string(names.size() - kShown) + " more";
    return text;
}

Result<void> completeModel(Model& model)
{
    std::set<std::shared_ptr<const MappedFile>> files;
    for (const auto& tensor : model.tensors)
        if (tensor.view.owner)
            files.insert(tensor.view.owner);
    for (const auto& file : files)
        if (file->hasShrunk())
            return failure(
                ErrorCode::CannotOpen, file->path().string(), "another program made the file shorter meanwhile");
    auto order = orderByName(model.tensors);
    if (auto unique = refuseTwins(model, order); !unique)
        return unique;
    joinPackedWeights(model);
    order = orderByName(model.tensors);
    if (auto unique = refuseTwins(model, order); !unique)  // a weight beside its packed form
        return unique;
    dropLonelyGroups(model);
    findConvolutions(model);
    warnOfUndecodable(model);
    warnOfBlocks(model);
    warnOfNothing(model);
    for (const auto& file : files)
        file->expect(MappedFile::Access::Scattered);
    model.fingerprint = fingerprintOf(model, order);
    for (const auto& file : files)
        file->expect(MappedFile::Access::Sequential);
    return {};
}

}  // namespace quantloupe
