// SPDX-License-Identifier: GPL-3.0-or-later
// Small models written for a test, exported, and what came of it as plain bytes.
#pragma once

#include "core/analysis/weight_quantization.h"
#include "core/checkpoints/checkpoint_target.h"
#include "core/file_formats/file_format.h"
#include "core/file_formats/safetensors_header.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/tensor_figures.h"

#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace quantloupe::tests {

struct NamedMatrix {
    std::string name;
    Shape shape;
    std::vector<float> values;
};

/// A safetensors file of F32 tensors.
inline std::string safetensorsOf(const std::vector<NamedMatrix>& tensors)
{
    nlohmann::ordered_json header;
    std::uint64_t end = 0;
    std::string data;
    for (const auto& tensor : tensors) {
        const auto bytes = tensor.values.size() * sizeof(float);
        header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {end, end + bytes}}};
        data.append(reinterpret_cast<const char*>(tensor.values.data()), bytes);
        end += bytes;
    }
    const auto text = header.dump();
    return raw(std::uint64_t {text.size()}) + text + data;
}

inline std::vector<float> randomWeights(std::uint64_t count, unsigned seed)
{
    std::mt19937 random(seed);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (auto& value : values)  // no distribution: their values differ between libraries
        value = (static_cast<float>(random() >> 8U) * 0x1p-24F - 0.5F) * 0.2F;
    return values;
}

inline NamedMatrix randomMatrix(std::string name, Shape shape, unsigned seed)
{
    auto values = randomWeights(*elementCount(shape), seed);
    return {std::move(name), std::move(shape), std::move(values)};
}

inline CheckpointRequest requestFor(const ModelPointer& model, const Recipe& recipe)
{
    CheckpointRequest request {.model = model, .catalog = catalogOf(*model), .recipe = recipe, .plan = {}};
    request.plan = resolve(recipe, request.catalog);
    return request;
}

/// Every tensor that can be quantized, the output head too.
inline Recipe recipeOf(const std::string& scheme)
{
    Recipe recipe;
    recipe.defaultPlan = *LayerPlan::parse(scheme);
    return recipe;
}

inline Result<WrittenCheckpoint> exportTo(std::string_view target, const CheckpointRequest& request,
    const std::filesystem::path& path, const CheckpointOptions& options = {}, std::stop_token stop = {})
{
    const auto draft = findCheckpointTarget(target)->draft(request);
    if (!draft)
        return tl::unexpected(draft.error());
    Progress progress;
    return writeCheckpoint(*draft, weightQuantization(*request.model), path, options, std::move(stop), progress);
}

inline std::string bytesOf(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// The numbers of one tensor of a safetensors file; empty where it has no such tensor.
template<class Number>
std::vector<Number> storedNumbers(const std::filesystem::path& path, const std::string& name)
{
    const auto file = bytesOf(path);
    const auto header = readSafetensorsHeader(std::as_bytes(std::span<const char>(file)), path.string());
    std::vector<Number> numbers;
    if (!header)
        return numbers;
    for (const auto& entry : header->entries)
        if (entry.name == name) {
            numbers.resize(static_cast<std::size_t>((entry.end - entry.begin) / sizeof(Number)));
            std::memcpy(numbers.data(), file.data() + entry.begin, numbers.size() * sizeof(Number));
        }
    return numbers;
}

inline nlohmann::json jsonAt(const std::filesystem::path& path)
{
    return nlohmann::json::parse(bytesOf(path), nullptr, false);
}

/// Values of a tensor by its name; empty where there is none.
inline std::vector<float> valuesIn(const Model& model, const std::string& name)
{
    const auto index = model.find(name);
    return index ? valuesOf(model.tensors[*index].view) : std::vector<float>();
}

/// What a scheme makes of a matrix, scales as the scheme stores them (s32: as they are).
inline std::vector<float> fakeQuantized(const std::string& scheme, const NamedMatrix& matrix)
{
    const auto columns = static_cast<std::size_t>(matrix.shape.back());
    const auto quantizer = Quantizer::create(*Scheme::parse(scheme), columns);
    const auto rows = matrix.values.size() / columns;
    std::vector<UnitGrid> grids(quantizer->gridCount(rows));
    std::vector<float> out(matrix.values.size());
    quantizer->fit(matrix.values, rows, grids);
    quantizer->fakeQuantize(matrix.values, rows, grids, out);
    return out;
}

}  // namespace quantloupe::tests
