// SPDX-License-Identifier: GPL-3.0-or-later
// Packed weights: which tensors a module is made of, and what their shapes, types and bytes say.
#include "core/base/byte_cursor.h"
#include "core/file_formats/model_assembly.h"
#include "tests/fuzz/packed_input.h"
#include "tests/fuzz/read_rows.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include <unistd.h>

using namespace quantloupe;

namespace {

constexpr std::size_t kMostBytes = 1U << 18U;

/// A folder for each config.json, made when first asked for.
std::filesystem::path folderWith(std::size_t config)
{
    const auto folder = std::filesystem::temp_directory_path() / ("quantloupe-fuzz-" + std::to_string(::getpid()))
        / std::to_string(config);
    static std::array<bool, tests::kPackedConfigs.size()> made {};
    if (!made[config]) {
        std::filesystem::create_directories(folder);
        std::ofstream(folder / "config.json") << tests::kPackedConfigs[config];
        static const int removed = std::atexit([] {
            std::error_code ignored;
            std::filesystem::remove_all(
                std::filesystem::temp_directory_path() / ("quantloupe-fuzz-" + std::to_string(::getpid())), ignored);
        });
        made[config] = removed == 0;
    }
    return folder;
}

/// Tensors whose bytes each have a block of memory of their own, so that reading past them is noticed.
class StoredTensors
{
public:
    /// nullopt when the input ends, or asks for too much.
    std::optional<ModelTensor> next(ByteCursor& input)
    {
        const auto name = input.read<std::uint8_t>(), type = input.read<std::uint8_t>(),
                   rank = input.read<std::uint8_t>();
        if (!name || !type || !rank)
            return std::nullopt;
        ModelTensor tensor;
        tensor.view.dtype = tests::kPackedTypes[*type % tests::kPackedTypes.size()];
        std::size_t size = traitsOf(tensor.view.dtype).blockBytes;
        for (unsigned i = 0; i < *rank % 6U; ++i) {
            tensor.view.shape.push_back(input.read<std::uint8_t>().value_or(0));
            size *= tensor.view.shape.back();
            if (size > kMostBytes)
                return std::nullopt;
        }
        const auto literal = input.take(input.read<std::uint8_t>().value_or(0));
        if (!literal)
            return std::nullopt;
        auto& bytes = m_bytes.emplace_back(std::make_unique<std::byte[]>(size));
        std::copy_n(literal->begin(), std::min(literal->size(), size), bytes.get());
        tensor.view.bytes = {bytes.get(), size};
        tensor.name = *name < 128 ? "a" : "b";
        tensor.name += tests::kPackedSuffixes[*name % 128U % tests::kPackedSuffixes.size()];
        tensor.parts = readName(tensor.name);
        return tensor;
    }

private:
    std::vector<std::unique_ptr<std::byte[]>> m_bytes;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    ByteCursor input({reinterpret_cast<const std::byte*>(data), size});
    const auto config = input.read<std::uint8_t>().value_or(0) % tests::kPackedConfigs.size();
    StoredTensors stored;
    Model model;
    model.files.push_back(folderWith(config) / "model.safetensors");
    while (auto tensor = stored.next(input))
        model.tensors.push_back(std::move(*tensor));
    if (completeModel(model))
        for (const auto& tensor : model.tensors)
            tests::readRows(tensor.view);
    return 0;
}
