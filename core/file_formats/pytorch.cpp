// SPDX-License-Identifier: GPL-3.0-or-later
// PyTorch: state dicts in zip archives or in the older series of pickles, TorchScript archives, shards of either.
#include "core/file_formats/pytorch.h"

#include "core/base/text.h"
#include "core/file_formats/zip_directory.h"
#include "core/tensor/strided_rows.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace quantloupe {
namespace {

/// Names as they were before wrappers of training put theirs in front.
std::string_view withoutWrappers(std::string_view name)
{
    for (bool again = true; again;) {
        again = false;
        for (const std::string_view wrapper : {"module.", "_orig_mod.", "_fsdp_wrapped_module."})
            if (name.starts_with(wrapper) && name.size() > wrapper.size()) {
                name.remove_prefix(wrapper.size());
                again = true;
            }
    }
    return name;
}

/// Strides are left for setStrides(): its bytes are those from the first element to the last that strides reach.
Result<ModelTensor> makeTensor(
    const TorchContent& content, const TorchStateEntry& entry, const MappedFilePointer& file, std::uint32_t number)
{
    const auto& pickled = content.pickle.heap.tensors[entry.tensor];
    const auto storage = content.storage(content.pickle.heap.storages[pickled.storage]);
    if (!storage)
        return tl::unexpected(storage.error());
    const std::uint64_t width = traitsOf(pickled.dtype).blockBytes;
    const auto extent = strideExtent(pickled.shape, pickled.strides);
    std::uint64_t first = 0, size = 0, end = 0;
    if (!extent || __builtin_mul_overflow(pickled.begin, width, &first) || __builtin_mul_overflow(*extent, width, &size)
        || __builtin_add_overflow(first, size, &end) || (!storage->unpack && end > storage->bytes.size()))
        return failure(ErrorCode::Malformed, file->path().string(),
            "tensor " + inQuotes(entry.name) + " reaches beyond its storage", storage->offset);
    ModelTensor tensor;
    tensor.name = entry.name;
    tensor.parts = readName(withoutWrappers(entry.name));
    tensor.file = number;
    tensor.offset = storage->offset;
    tensor.view = {.dtype = pickled.dtype, .shape = pickled.shape, .owner = file};
    if (size == 0)
        return tensor;
    if (storage->unpack) {
        tensor.view.deferred = storage->unpack(first);
        tensor.view.packedBytes = size;
    } else {
        tensor.view.bytes = storage->bytes.subspan(first, size);
        tensor.offset += first;
    }
    return tensor;
}

/// Tensors that are the same elements once more, as tied output heads are.
void noticeAliases(Model& model, const std::vector<std::vector<std::uint64_t>>& strides)
{
    using Place = std::tuple<const std::byte*, Shape, std::vector<std::uint64_t>>;
    std::map<Place, std::size_t> first;
    std::vector<std::string> pairs;
    bool tied = false;
    for (std::size_t i = 0; i < model.tensors.size(); ++i) {
        const auto& tensor = model.tensors[i];
        if (tensor.view.bytes.empty())
            continue;
        const auto [found, isNew] =
            first.try_emplace(Place(tensor.view.bytes.data(), tensor.view.shape, strides[i]), i);
        if (isNew)
            continue;
        const auto& other = model.tensors[found->second];
        const auto is = [&](TensorRole a, TensorRole b) { return tensor.parts.role == a && other.parts.role == b; };
        tied |= is(TensorRole::LmHead, TensorRole::Embedding) || is(TensorRole::Embedding, TensorRole::LmHead);
        pairs.push_back(tensor.name + " = " + other.name);
    }
    if (tied)
        model.config.tiedEmbeddings = true;
    if (!pairs.empty())
        model.warnings.push_back(
            "Tensors that share their elements with another (tied weights): " + listed(pairs) + ".");
}

Result<void> addTorchFile(Model& model, std::vector<std::vector<std::uint64_t>>& strides, const MappedFilePointer& file)
{
    const auto bytes = file->bytes();
    const auto head = bytes.first(std::min<std::size_t>(bytes.size(), 4'096));
    if (!isTorchStream(head) && firstZipMember(head).empty())
        return failure(ErrorCode::NotThisFormat, file->path().string(),
            foreignKind(head).empty() ? "neither of PyTorch's archives nor of its older files"
                                      : "the file is " + std::string(foreignKind(head)),
            0);
    auto content = isTorchStream(head) ? readTorchStream(file) : readTorchZip(file);
    if (!content)
        return tl::unexpected(std::move(content.error()));
    const auto number = static_cast<std::uint32_t>(model.files.size());
    model.files.push_back(file->path());
    const auto name = file->path().filename().string();
    const auto& state = content->state;
    for (const auto& entry : state.entries) {
        auto tensor = makeTensor(*content, entry, file, number);
        if (!tensor)
            return tl::unexpected(std::move(tensor.error()));
        model.tensors.push_back(std::move(*tensor));
        strides.push_back(content->pickle.heap.tensors[entry.tensor].strides);
    }
    if (!state.foreign.empty())
        model.warnings.push_back(name
            + ": tensors that are quantized, sparse or of a type that is not read are left out: "
            + listed(state.foreign) + ".");
    if (!state.left.empty())
        model.warnings.push_back(name + ": the weights are those under " + inQuotes(state.taken)
            + "; there are others under " + listed(state.left) + ".");
    if (number == 0) {
        if (!state.taken.empty())
            model.metadata.emplace_back("pytorch.key", shortened(state.taken, 200));
        for (auto& pair : content->metadata)
            model.metadata.push_back(std::move(pair));
    }
    return {};
}

}  // namespace

Result<Model> readTorchFiles(std::span<const MappedFilePointer> files)
{
    Model model;
    model.format = "pytorch";
    std::vector<std::vector<std::uint64_t>> strides;
    for (const auto& file : files)
        if (auto added = addTorchFile(model, strides, file); !added)
            return tl::unexpected(std::move(added.error()));
    if (!files.empty())
        applyConfigBeside(model, files.front()->path().parent_path());
    noticeAliases(model, strides);
    for (std::size_t i = 0; i < strides.size(); ++i)
        setStrides(model.tensors[i].view, std::move(strides[i]));
    return model;
}

namespace file_formats {
namespace {

/// Members of such an archive lie in a folder.
bool matches(Bytes head)
{
    return isTorchStream(head) || firstZipMember(head).find('/') != std::string_view::npos;
}

Result<Model> open(const MappedFilePointer& file, const std::stop_token& /*stop*/)
{
    return readTorchFiles({&file, 1});
}

}  // namespace

extern const FileFormat pytorch;
const FileFormat pytorch {"pytorch", "PyTorch", "pt pth bin ckpt tar", matches, open};

}  // namespace file_formats
}  // namespace quantloupe
