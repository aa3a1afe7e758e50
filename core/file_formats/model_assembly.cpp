// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/model_assembly.h"

#include "core/base/hash.h"
#include "core/base/text.h"
#include "core/file_formats/packed_layouts/packed_layout.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

namespace quantloupe {
namespace {

constexpr std::size_t kSampleBytes = 64;
constexpr std::size_t kMaxSamples = 2'048;

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

/// In the order of names, so that a checkpoint has the same fingerprint whole or in shards. The first and last bytes of
/// the tensors tell fine-tunes of one architecture apart; they cost a page or two each, so of the tens of thousands of
/// tensors that large mixtures of experts have, some spread over the whole must do. What must be unpacked first is told
/// apart by its checksum.
std::string fingerprintOf(const Model& model, const std::vector<std::size_t>& order)
{
    const auto step = (order.size() + kMaxSamples - 1) / kMaxSamples;
    FingerprintHasher hasher;
    for (std::size_t i = 0; i < order.size(); ++i) {
        const auto& tensor = model.tensors[order[i]];
        hasher.add(tensor.name);
        hasher.add(nameOf(tensor.view.dtype));
        hasher.add(std::uint64_t {tensor.view.shape.size()});
        for (const auto extent : tensor.view.shape)
            hasher.add(extent);
        if (i % step != 0)
            continue;
        if (tensor.view.deferred)
            hasher.add(tensor.view.deferred->digest());
        const auto sample = std::min(kSampleBytes, tensor.view.bytes.size());
        hasher.add(tensor.view.bytes.first(sample));
        hasher.add(tensor.view.bytes.last(sample));
    }
    return hasher.hex();
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
    if (auto joined = joinPackedWeights(model); !joined)
        return joined;
    order = orderByName(model.tensors);
    if (auto unique = refuseTwins(model, order); !unique)  // a weight beside its packed form
        return unique;
    dropLonelyGroups(model);
    findConvolutions(model);
    warnOfUndecodable(model);
    warnOfBlocks(model);
    for (const auto& file : files)
        file->expect(MappedFile::Access::Scattered);
    model.fingerprint = fingerprintOf(model, order);
    for (const auto& file : files)
        file->expect(MappedFile::Access::Sequential);
    return {};
}

}  // namespace quantloupe
