// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/base/text.h"
#include "core/file_formats/model_assembly.h"
#include "core/model/model_config.h"

#include <algorithm>
#include <utility>

namespace quantloupe {
namespace {

constexpr std::string_view kPointer = "version https://git-lfs";

constexpr std::string_view kBarePickle =
    "a bare Python pickle, which is never loaded: save the weights with torch.save or as safetensors";

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

Result<MappedFilePointer> nameTheNamer(Result<MappedFilePointer> refused, const std::string& where)
{
    refused.error().reason += ", but " + inQuotes(std::filesystem::path(where).filename().string()) + " names it";
    return refused;
}

/// Of a clone without its large files every shard is a pointer.
Result<MappedFilePointer> refusePointer(const MappedFilePointer& file)
{
    if (isPointer(file->bytes()))
        return failure(ErrorCode::NotThisFormat, file->path().string(),
            "the file is " + std::string(foreignKind(file->bytes())), 0);
    return file;
}

}  // namespace

std::string_view foreignKindByName(std::string_view name)
{
    // Numbers one after the other, without a mark of any kind.
    constexpr std::string_view kShard = ".data-00000-of-00001";
    const auto at = name.size() < kShard.size() ? std::string_view::npos : name.size() - kShard.size();
    if (at != std::string_view::npos && name.substr(at, 6) == ".data-" && name.substr(at + 11, 4) == "-of-")
        return "the data of a TensorFlow checkpoint or SavedModel, which cannot be read: convert it to ONNX or "
               "safetensors";
    return {};
}

std::string_view foreignKind(Bytes head)
{
    static constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
        {kPointer, "a Git LFS pointer, not the file itself: fetch it with 'git lfs pull'"},
        {"PK\3\4", "a zip archive that is not a model"},
        {"PK\5\6", "a zip archive without members"},
        {"\x80\2", kBarePickle},
        {"\x80\3", kBarePickle},
        {"\x80\4", kBarePickle},
        {"\x80\5", kBarePickle},
        {"\x1f\x8b", "compressed by gzip: unpack it first"},
        {"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first"},
        {"\xfd"
         "7zXZ",
            "compressed by xz: unpack it first"},
        {"<?xml", "an XML text (OpenVINO keeps graphs in such files)"},
        {"<!DOCTYPE", "a web page: the download went wrong"},
        {"<html", "a web page: the download went wrong"},
        {"{", "a JSON text: open the weights or the folder instead"},
    };
    /// Formats whose mark is not at the front.
    struct Mark {
        std::size_t at;
        std::string_view text, kind;
    };
    static constexpr Mark kMarks[] = {
        {4, "ORTM", "a model in ONNX Runtime's own format (ORT): open the ONNX file it was made from"},
        {257, "ustar",
            "a tar archive: unpack it, or, if PyTorch 0.1 wrote it, load it there and save it with torch.save again"},
        // A table of LevelDB whose first entry has an empty key and tells the number of shards and version 1.
        {5, "\x1a\2\x08\1",
            "the index of a TensorFlow checkpoint or SavedModel, which cannot be read: convert it to ONNX or "
            "safetensors"},
    };
    const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
    for (const auto& [at, mark, kind] : kMarks)
        if (text.size() > at && text.substr(at).starts_with(mark))
            return kind;
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
    return file ? refusePointer(*file) : nameTheNamer(std::move(file), where);
}

Result<MappedFilePointer> openBelow(
    const std::filesystem::path& folder, std::string_view path, const std::string& where, std::uint64_t offset)
{
    constexpr std::size_t kMaxPath = 4'096;
    std::filesystem::path relative;
    auto rest = path.starts_with("./") ? path.substr(2) : path;
    for (bool last = false; !last;) {
        const auto slash = rest.find('/');
        last = slash == std::string_view::npos;
        const auto name = rest.substr(0, slash);
        if (!isPlainName(name) || path.size() > kMaxPath)
            return failure(ErrorCode::Malformed, where,
                "names the file " + inQuotes(path) + ", which is not a path below its own folder", offset);
        relative /= name;
        rest.remove_prefix(last ? rest.size() : slash + 1);
    }
    auto file = MappedFile::openBelow(folder, relative);
    return file ? refusePointer(*file) : nameTheNamer(std::move(file), where);
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
    const auto& architecture = model.config.architecture;
    if (!model.operatorsKnown && (architecture == "gpt2" || (architecture.empty() && looksLikeGpt2(model))))
        for (auto& tensor : model.tensors)
            tensor.view.transposed = tensor.view.shape.size() == 2 && isConv1D(tensor.name);
}

}  // namespace quantloupe
