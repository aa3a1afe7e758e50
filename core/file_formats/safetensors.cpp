// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/file_formats/safetensors.h"

#include "core/base/byte_cursor.h"
#include "core/base/text.h"
#include "core/file_formats/safetensors_header.h"

namespace quantloupe {
namespace {

constexpr std::size_t kShownText = 200;

void addTensors(Model& model, const MappedFilePointer& file, SafetensorsHeader header)
{
    const auto number = static_cast<std::uint32_t>(model.files.size());
    model.files.push_back(file->path());
    for (auto& [key, value] : header.metadata) {
        if (key == "quantloupe.synthetic" && value == "true")
            model.synthetic = true;
        if (number == 0)  // shards repeat it
            model.metadata.emplace_back(shortened(key, kShownText), shortened(value, kShownText));
    }
    if (header.unknownKeys > 0) {
        model.warnings.push_back(file->path().filename().string()
            + ": keys in tensor entries that the format does not know: " + std::to_string(header.unknownKeys) + ".");
    }
    for (auto& entry : header.entries) {
        ModelTensor tensor;
        tensor.parts = readName(entry.name);
        tensor.name = std::move(entry.name);
        tensor.view = {.dtype = entry.dtype,
            .shape = std::move(entry.shape),
            .bytes = file->bytes().subspan(entry.begin, entry.end - entry.begin),
            .owner = file};
        tensor.file = number;
        tensor.offset = entry.begin;
        model.tensors.push_back(std::move(tensor));
    }
}

}  // namespace

Result<Model> readSafetensorsFiles(std::span<const MappedFilePointer> files)
{
    Model model;
    model.format = "safetensors";
    model.naming = NamingWorld::HuggingFace;
    for (const auto& file : files) {
        auto header = readSafetensorsHeader(file->bytes(), file->path().string());
        if (!header)
            return tl::unexpected(std::move(header.error()));
        addTensors(model, file, std::move(*header));
    }
    if (!files.empty())
        applyConfigBeside(model, files.front()->path().parent_path());
    return model;
}

namespace file_formats {
namespace {

bool matches(Bytes head)
{
    ByteCursor cursor(head);
    const auto length = cursor.read<std::uint64_t>();
    const auto first = cursor.read<char>();
    return length && *length <= 100'000'000 && first == '{';
}

Result<Model> open(const MappedFilePointer& file, const std::stop_token& /*stop*/)
{
    return readSafetensorsFiles({&file, 1});
}

}  // namespace

extern const FileFormat safetensors;
const FileFormat safetensors {"safetensors", "Safetensors", "safetensors", matches, open};

}  // namespace file_formats
}  // namespace quantloupe
