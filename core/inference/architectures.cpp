// SPDX-License-Identifier: GPL-3.0-or-later
// Sources: the model definitions of transformers and the graphs of llama.cpp.
#include "core/inference/architectures.h"

#include <algorithm>

namespace quantloupe {
namespace {

constexpr auto kPlusOne = NormKind::RmsPlusOne;
constexpr auto kPairs = PositionKind::Pairs;
constexpr auto kTanh = Activation::GeluTanh;

constexpr Architecture kGpt2 {.name = "gpt2",
    .norm = NormKind::Layer,
    .positions = PositionKind::Learned,
    .activation = kTanh,
    .normEpsilon = 1e-5};

constexpr Architecture kHuggingFace[] = {
    {.name = "llama"},
    {.name = "mistral"},
    {.name = "qwen2"},
    {.name = "qwen3"},
    {.name = "gemma", .norm = kPlusOne, .activation = kTanh, .scalesEmbedding = true},
    {.name = "gemma2",
        .norm = kPlusOne,
        .activation = kTanh,
        .scalesEmbedding = true,
        .normsOutputs = true,
        .windowPattern = 2},
    {.name = "gemma3",
        .norm = kPlusOne,
        .activation = kTanh,
        .rotaryBase = 1e6,
        .scalesEmbedding = true,
        .normsOutputs = true,
        .windowPattern = 6,
        .localRotaryBase = 1e4,
        .heads = 8,
        .keyValueHeads = 4,
        .headDimension = 256},
    {.name = "gemma3_text",
        .norm = kPlusOne,
        .activation = kTanh,
        .rotaryBase = 1e6,
        .scalesEmbedding = true,
        .normsOutputs = true,
        .windowPattern = 6,
        .localRotaryBase = 1e4,
        .heads = 8,
        .keyValueHeads = 4,
        .headDimension = 256},
    {.name = "phi3", .normEpsilon = 1e-5},
    {.name = "smollm3", .rotaryBase = 2e6, .noRotaryInterval = 4},
    kGpt2,
    {.name = "mixtral", .normEpsilon = 1e-5, .rotaryBase = 1e6},
    {.name = "qwen2_moe", .normalizesExperts = false},
    {.name = "qwen3_moe", .normalizesExperts = false},
};

/// Converters add Gemma's one to the norms, and turn the rows of llama's queries and keys so that pairs lie together.
constexpr Architecture kGguf[] = {
    {.name = "llama", .positions = kPairs},
    {.name = "qwen2"},
    {.name = "qwen3"},
    {.name = "gemma", .activation = kTanh, .scalesEmbedding = true},
    {.name = "gemma2",
        .activation = kTanh,
        .scalesEmbedding = true,
        .normsOutputs = true,
        .windowPattern = 2,
        .wideHeadLayers = 46},
    {.name = "gemma3",
        .activation = kTanh,
        .scalesEmbedding = true,
        .normsOutputs = true,
        .windowPattern = 6,
        .localRotaryBase = 1e4,
        .wideHeadLayers = 62},
    {.name = "phi3", .normEpsilon = 1e-5},
    {.name = "smollm3", .positions = kPairs, .noRotaryInterval = 4},
    kGpt2,
    {.name = "qwen2moe", .normalizesExperts = false},
    {.name = "qwen3moe"},
};

}  // namespace

std::span<const Architecture> architectures(NamingWorld world)
{
    return world == NamingWorld::Gguf ? std::span<const Architecture>(kGguf)
                                      : std::span<const Architecture>(kHuggingFace);
}

const Architecture* findArchitecture(std::string_view name, NamingWorld world)
{
    const auto rows = architectures(world);
    const auto found =
        std::find_if(rows.begin(), rows.end(), [&](const Architecture& row) { return row.name == name; });
    return found == rows.end() ? nullptr : &*found;
}

}  // namespace quantloupe
