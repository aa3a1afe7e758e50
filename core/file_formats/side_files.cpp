// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/text.h"
#include "core/file_formats/model_assembly.h"
#include "core/model/model_config.h"

#include <algorithm>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::string_view kPointer = "version https://git-lfs";

bool isPointer(Bytes file)
{
    return std::string_view(reinterpret_cast<const char*>(file.data()), file.size()).starts_with(kPointer);
}

bool isPlainName(std::string_view name)
{
    const bool drive = name.size() >= 2 && name[1] == ':';
    return !name.empty() && name.size() <= 255 && name != "." && name != ".." && !drive
        && name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

/// GPT-2's Conv1D layers keep their matrices as [in_features, out_features].
bool isConv1D(std::string_view name)
{
    return name.ends_with("c_attn.weight") || name.ends_with("c_proj.weight") || name.ends_with("c_fc.weight");
}

/// Without a config.json the shape of c_attn tells: three times as wide as it is high.
bool looksLikeGpt2(const Model& model)
{
    return std::any_of(model.tensors.begin(), model.tensors.end(), [](const ModelTensor& tensor) {
        const auto& shape = tensor.view.shape;
        return tensor.name.ends_with("attn.c_attn.weight") && shape.size() == 2 && shape[0] > 0
            && shape[1] / 3 == shape[0] && shape[1] % 3 == 0;
    });
}

}  // namespace

std::string_view foreignKind(Bytes head)
{
    static constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
        {kPointer, "a Git LFS pointer, not the file itself: fetch it with 'git lfs pull'"},
        {"PK\3\4", "a zip archive (PyTorch, Keras or NumPy), which cannot be read yet"},
        {"\x89HDF\r\n", "an HDF5 file, not a checkpoint that can be read"},
        {"\x93NUMPY", "a NumPy array, which cannot be read yet"},
        {"\x80\2", "a Python pickle (PyTorch), which is never loaded"},
        {"<!DOCTYPE", "a web page: the download went wrong"},
        {"<html", "a web page: the download went wrong"},
        {"{", "a JSON text: open the weights or the folder instead"},
    };
    const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
    for (const auto& [magic, kind] : kKinds)
        if (text.starts_with(magic))
            return kind;
    return text.empty() ? "empty" : "";
}

Result<MappedFilePointer> openBeside(
    const std::filesystem::path& folder, std::string_view name, const std::string& where, std::uint64_t offset)
{
    if (!isPlainName(name))
        return failure(ErrorCode::Malformed, where,
            "names the file " + inQuotes(name) + ", which is not a plain file name", offset);
    const auto path = folder / name;
    std::error_code ignored;
    if (std::filesystem::is_symlink(path, ignored)) {
        const auto target = std::filesystem::read_symlink(path, ignored);
        if (std::filesystem::is_symlink(folder / target, ignored))
            return failure(ErrorCode::CannotOpen, path.string(), "a symbolic link to another symbolic link");
    }
    auto file = MappedFile::open(path);
    if (!file)
        file.error().reason += ", but " + inQuotes(std::filesystem::path(where).filename().string()) + " names it";
    else if (isPointer((*file)->bytes()))  // of a clone without its large files: every shard is one
        return failure(
            ErrorCode::NotThisFormat, path.string(), "the file is " + std::string(foreignKind((*file)->bytes())), 0);
    return file;
}

void applyConfigBeside(Model& model, const std::filesystem::path& folder)
{
    const auto path = folder / "config.json";
    const bool hasHead = std::any_of(model.tensors.begin(), model.tensors.end(),
        [](const ModelTensor& tensor) { return tensor.parts.role == TensorRole::LmHead; });
    const bool hasEmbedding = std::any_of(model.tensors.begin(), model.tensors.end(),
        [](const ModelTensor& tensor) { return tensor.parts.role == TensorRole::Embedding; });
    const bool looksTied = hasEmbedding && !hasHead;

    ConfigFile config;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) {
        model.warnings.emplace_back(
            "There is no config.json beside the weights: the figures of the architecture are unknown.");
    } else {
        auto file = MappedFile::open(path);
        auto parsed = Result<ConfigFile>(tl::unexpected(file ? Error {} : file.error()));
        if (file) {
            const std::string_view text(
                reinterpret_cast<const char*>((*file)->bytes().data()), (*file)->bytes().size());
            parsed = parseModelConfig(text, path.string());
            model.settings = parseDecoderSettings(text, path.string()).value_or(DecoderSettings());
        }
        if (parsed)
            config = std::move(*parsed);
        else
            model.warnings.push_back("config.json is left out: " + describe(parsed.error()) + ".");
    }
    model.config = config.config;
    model.config.tiedEmbeddings = config.tied.value_or(looksTied);
    if (looksTied && config.tied == false)
        model.warnings.emplace_back(
            "config.json says that the output head is not tied to the embedding, but there is none.");
    if (!config.quantizationMethod.empty()) {
        model.warnings.push_back("The weights are already quantized (" + config.quantizationMethod
            + "): packed tensors are listed as stored, not decoded.");
    }
    const auto& architecture = model.config.architecture;
    if (architecture == "gpt2" || (architecture.empty() && looksLikeGpt2(model)))
        for (auto& tensor : model.tensors)
            tensor.view.transposed = tensor.view.shape.size() == 2 && isConv1D(tensor.name);
}

}  // namespace quantloupe
